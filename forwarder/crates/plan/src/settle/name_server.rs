//! Names: what is refused of them, and what users ought to know.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use crate::{
    Actual, Listener, Target,
    desired::Asked,
    settled::{Network, Settled},
};
use fwd_base::{Error, HostName, Kind, Result, text::harmless};
use fwd_kernel::netns::{Name, resolv::Found};

/// Where name servers answer (RFC 1035 §4.2).
const PORT: u16 = 53;

/// # Errors
/// Other names are asked for in a network that has none at all.
pub(super) fn check(asked: &Asked, network: &Network) -> Result<()> {
    let Some(alias) = asked.options.aliases.first().filter(|_| !network.treatment.dns) else { return Ok(()) };
    let why = format!("network {} has no name server", network.name);
    Err(Error::new(Kind::Usage, "use", format!("--alias {alias}"), why)
        .remedy("make a network that has one: `fwd up --dns --network NAME`"))
}

/// The other names of an endpoint that had those of `found`: those asked for, each once; without any, it keeps what it has, unless all that
/// it is to have is said.
pub(super) fn aliases(asked: &Asked, found: &[HostName]) -> Vec<HostName> {
    let keeps = asked.options.aliases.is_empty() && !asked.no_others;
    let wanted: BTreeSet<&HostName> = asked.options.aliases.iter().collect();
    // Another order is no change.
    if keeps || wanted == found.iter().collect() {
        return found.to_vec();
    }
    let mut aliases: Vec<HostName> = Vec::new();
    for alias in &asked.options.aliases {
        if !aliases.contains(alias) {
            aliases.push(alias.clone());
        }
    }
    aliases
}

/// # Errors
/// Another process answers where the name server of a new network is to.
pub(super) fn check_port(network: &Network, actual: &Actual) -> Result<()> {
    let is_taken = |it: &Listener, gateway: IpAddr| {
        it.address == gateway || it.address.is_unspecified() && it.address.is_ipv4() == gateway.is_ipv4()
    };
    let taken = network.gateways().map(|gateway| gateway.addr()).find_map(|gateway| {
        let other = actual.host.resolvers.iter().find(|it| is_taken(it, gateway))?;
        Some((gateway, other))
    });
    let Some((gateway, other)) = taken.filter(|_| network.treatment.dns) else {
        return Ok(());
    };
    let who = other.process.clone().unwrap_or_else(|| "a socket of the host".into());
    let (address, transport) = (other.address, other.transport.name());
    let why = format!("{who} has {}/{transport}", SocketAddr::new(address, PORT));
    Err(Error::new(
        Kind::Conflict,
        "answer at",
        format!("{}, the gateway of network {}", SocketAddr::new(gateway, PORT), network.name),
        why,
    )
    .remedy("have it listen at its own addresses only (dnsmasq: --bind-dynamic with --interface), or leave out --dns"))
}

/// What users ought to know of names.
pub(super) fn warnings(actual: &Actual, settled: &Settled) -> Vec<String> {
    let Settled { network, endpoint, .. } = settled;
    let Some(target) = actual.target.as_ref().filter(|_| network.treatment.dns) else { return Vec::new() };
    if actual.attached().is_some() {
        return Vec::new();
    }
    let gateway = network.main_gateway();
    let mut warnings = Vec::new();
    if let (Some(name), Found::Theirs) = (&target.name, &target.resolver.found) {
        warnings.push(format!(
            "/etc/netns/{name}/resolv.conf is not fwd's and stays: for names of the network have it say `nameserver {gateway}`"
        ));
    }
    if target.name.is_none() {
        warnings.push(format!(
            "a namespace without a name has no resolv.conf of its own here: for names, have its programs ask {gateway}"
        ));
    }
    if host_name(target).is_none() && endpoint.aliases.is_empty() {
        let label = harmless(&target.label()).into_owned();
        warnings.push(format!(
            "{label} is no name that can be asked for: nobody finds it by one, unless --alias gives it another"
        ));
    }
    warnings
}

fn host_name(target: &Target) -> Option<HostName> {
    target.name.as_ref().map(Name::as_str)?.parse().ok()
}
