//! The addresses of the host behind which an endpoint appears.

use std::{fmt::Display, net::IpAddr};

use super::announced;
use crate::{Actual, Announced, EndpointRecord, Sources, desired::Asked, host_address, settled::Network};
use fwd_base::{Error, Kind, Result};

/// What was asked for is what an endpoint has.
///
/// # Errors
/// What it has, in words.
pub(super) fn same(asked: Sources, found: Sources) -> Result<(), String> {
    differs(asked.v4, found.v4)?;
    differs(asked.v6, found.v6)
}

fn differs<T: Display + PartialEq>(asked: Option<T>, found: Option<T>) -> Result<(), String> {
    let has = found.as_ref().map_or_else(|| "the one that the host takes".into(), ToString::to_string);
    match asked {
        Some(asked) if found.as_ref() != Some(&asked) => {
            Err(format!("the address behind which it appears is {has}, not {asked}"))
        }
        _ => Ok(()),
    }
}

/// Nothing is there that was not asked for.
///
/// # Errors
/// What is, in words.
pub(super) fn exact(asked: Sources, found: Sources) -> Result<(), String> {
    let besides = Sources { v4: found.v4.filter(|_| asked.v4.is_none()), v6: found.v6.filter(|_| asked.v6.is_none()) };
    match besides.options().next() {
        Some((option, source)) => Err(format!("it was attached with {option} {source}")),
        None => Ok(()),
    }
}

/// Settles them: what is asked for, or what the endpoint had before, which is `kept`, or what its network says.
///
/// # Errors
/// One is none of the host's, or nothing of the network appears behind it.
pub(super) fn settled(
    asked: &Asked,
    actual: &Actual,
    network: &Network,
    kept: Option<&EndpointRecord>,
) -> Result<Sources> {
    let kept = kept.map(|record| record.source).unwrap_or_default();
    let sources = asked.options.source.or(kept).or(network.source);
    // What it had before stays, as that of an endpoint does that is there.
    let new = asked.options.source.or(sources.besides(kept));
    if asked.options.announce {
        possible(asked.options.source, network)?;
        announced::check(asked.options.source, actual, network)?;
    }
    check(new.not_of(Announced::asked(asked.options.announce, asked.options.source)), network, actual)?;
    Ok(sources)
}

/// Checks that something of a network can appear behind these.
///
/// # Errors
/// One is none of the host's, or nothing of the network appears behind it.
pub(crate) fn check(asked: Sources, network: &Network, actual: &Actual) -> Result<()> {
    possible(asked, network)?;
    asked.addresses().try_for_each(|address| of_host(address, actual))
}

/// Checks that a network has something that appears behind these.
///
/// # Errors
/// It has not.
fn possible(asked: Sources, network: &Network) -> Result<()> {
    let name = &network.name;
    for (option, source) in asked.options() {
        let refuse = |kind, why: String| Error::new(kind, "use", format!("source {source}"), why);
        if network.uplink.is_none() {
            let why = format!("network {name} is internal: nothing of it appears outside");
            return Err(refuse(Kind::Usage, why)
                .remedy(format!("leave out {option}, or use a network that was made without --internal")));
        }
        let is_v4 = option == Sources::V4;
        let (has, family) = if is_v4 { (network.gateway.is_some(), 4) } else { (network.gateway6.is_some(), 6) };
        if !has {
            return Err(refuse(Kind::Unsupported, format!("network {name} has no IPv{family}"))
                .remedy(format!("leave out {option}, or use a network that has IPv{family} (`fwd network ls`)")));
        }
        if !is_v4 && network.treatment.routed6 {
            let why = format!("network {name} is routed: its addresses of IPv6 leave as they are");
            return Err(refuse(Kind::Unsupported, why)
                .remedy(format!("leave out {option}, or use a network with --ipv6 masquerade")));
        }
    }
    Ok(())
}

/// The host must have the address.
fn of_host(source: IpAddr, actual: &Actual) -> Result<()> {
    host_address::check(source, actual).map_err(|(kind, why)| {
        let (length, family) = if source.is_ipv4() { (32, "-4") } else { (128, "-6") };
        let give = format!(
            "give it to the host first (`ip addr add {source}/{length} dev INTERFACE`), have it announced (--announce), or "
        );
        let give = if kind == Kind::NotFound { give.as_str() } else { "" };
        Error::new(kind, "use", format!("source {source}"), why)
            .remedy(format!("{give}name one that it has (`ip {family} address`)"))
    })
}
