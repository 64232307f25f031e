//! Whether a network has IPv4, and which addresses.

use ipnet::Ipv4Net;

use crate::{
    Actual, Ipv4, Ipv6, Network, NetworkRecord,
    desired::{Asked, AskedNetwork},
    settle::same as is_same,
    settled, subnet,
};
use fwd_base::{Error, Kind, Result};

impl AskedNetwork {
    /// What a new network is to have.
    pub(in crate::settle) fn ipv4(&self) -> Ipv4 {
        self.options.ipv4.unwrap_or(Ipv4::On)
    }
}

/// Checks what is asked of a network that is to be made.
///
/// # Errors
/// [`Kind::Usage`]: it would have addresses of neither family, or those that are named are of none that it is to have.
pub(in crate::settle) fn check(asked: &AskedNetwork) -> Result<()> {
    let Some(Ipv4::Off) = asked.options.ipv4 else { return Ok(()) };
    let option = match &asked.options {
        Network { ipv6: Some(Ipv6::Off), .. } => {
            let why = "without IPv6 (--ipv6 off) it would have no addresses at all";
            let error = Error::new(Kind::Usage, "make", format!("network {} without IPv4", asked.name), why);
            return Err(error.remedy("leave out --ipv4 off or --ipv6 off"));
        }
        Network { subnet: Some(subnet), .. } => format!("--subnet {subnet}"),
        Network { gateway: Some(gateway), .. } => format!("--gateway {gateway}"),
        _ => return Ok(()),
    };
    let why = "the network is to have no IPv4 (--ipv4 off)";
    Err(Error::new(Kind::Usage, "use", option, why)
        .remedy("leave out one of the two; addresses of IPv6 are those of --subnet6"))
}

/// The gateway of a network that is to be made, with this bridge, if it is to have IPv4.
///
/// # Errors
/// What is asked for cannot be, or nothing is free.
pub(in crate::settle) fn gateway(asked: &AskedNetwork, actual: &Actual, bridge: &str) -> Result<Option<Ipv4Net>> {
    match asked.ipv4() {
        Ipv4::Off => Ok(None),
        Ipv4::On => subnet::gateway(subnet_of(asked, actual, bridge)?, asked.options.gateway).map(Some),
    }
}

fn subnet_of(asked: &AskedNetwork, actual: &Actual, bridge: &str) -> Result<Ipv4Net> {
    let host = &actual.host.net;
    // A bridge with ports and without a record: its pins were lost. It keeps its address.
    let adopted = host.link(bridge).and_then(|link| host.ipv4(link.index));
    match (asked.options.subnet, adopted) {
        (Some(given), Some(address)) => {
            is_same(&asked.name, "subnet", Some(&given), &address.trunc())
                .map_err(|error| error.remedy("leave out --subnet: the bridge is there, and keeps its address"))?;
            Ok(given)
        }
        (None, Some(address)) => Ok(address.trunc()),
        (Some(given), None) => {
            subnet::check(given)?;
            subnet::check_unused(actual, given)?;
            Ok(given)
        }
        (None, None) => subnet::free(actual),
    }
}

/// Checks what is asked of a network that exists.
///
/// # Errors
/// [`Kind::Conflict`].
pub(in crate::settle) fn same(asked: &AskedNetwork, record: &NetworkRecord) -> Result<()> {
    let name = &record.name;
    is_same(name, "IPv4", asked.options.ipv4.map(Ipv4::name).as_ref(), &record.ipv4().name())?;
    let said = |text: Option<String>| text.unwrap_or_else(|| "none".into());
    let has = said(record.subnet().map(|subnet| subnet.to_string()));
    is_same(name, "subnet", asked.options.subnet.map(|subnet| subnet.to_string()).as_ref(), &has)?;
    let has = said(record.gateway.map(|gateway| gateway.addr().to_string()));
    is_same(name, "gateway", asked.options.gateway.map(|gateway| gateway.to_string()).as_ref(), &has)
}

/// Refuses what an endpoint is to have of IPv4 in a network that has none.
///
/// # Errors
/// [`Kind::Unsupported`].
pub(in crate::settle) fn without(asked: &Asked, network: &settled::Network) -> Result<()> {
    let range = asked.options.range.map(|(first, last)| format!("range {first} to {last}"));
    let Some(object) = asked.options.ip.map(|ip| format!("address {ip}")).or(range) else { return Ok(()) };
    let why = format!("network {} has no IPv4", network.name);
    Err(Error::new(Kind::Unsupported, "use", object, why).remedy("leave it out, or name an address of IPv6 (--ip6)"))
}
