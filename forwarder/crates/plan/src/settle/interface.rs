//! The interface inside of a namespace: which is meant, what it may be called, and its hardware address.

use super::settled::Network;
use crate::{EndpointRecord, HardwareAddress, NS_IF, Records, UpRequest, names};
use fwd_base::{Error, Kind, Result, text::word};
use fwd_kernel::netlink::Mac;

/// The interface that an `up` is about, of the namespace with `cookie`: the one that is named, else the one that the namespace has in the
/// network that is named, else the usual one, or the only one.
#[must_use]
pub fn interface(request: &UpRequest, records: &Records, cookie: Option<u64>) -> String {
    let own = || records.endpoints.iter().filter(|endpoint| Some(endpoint.cookie) == cookie);
    let usual = |endpoint: &&EndpointRecord| endpoint.has_interface(NS_IF);
    let found = match (&request.ifname, &request.network) {
        (Some(ifname), _) => return ifname.clone(),
        (None, Some(network)) => own().find(|endpoint| endpoint.network == network.as_str()),
        (None, None) => own().find(usual).or_else(|| own().next()),
    };
    found.map_or_else(|| NS_IF.into(), |endpoint| endpoint.id.ifname.clone())
}

/// Checks what the interface of an endpoint that is to be made may be called.
///
/// # Errors
/// [`Kind::Usage`].
pub(super) fn check(ifname: &str) -> Result<()> {
    let why = match names::reserved(ifname) {
        Some(why) => why,
        None if names::is_ifname(ifname) => return Ok(()),
        None => "the kernel takes at most 15 visible characters of ASCII, without '/', ':' and '%'",
    };
    let error = Error::new(Kind::Usage, "use", format!("{} as the name of an interface", word(ifname)), why);
    Err(error.remedy("choose another, such as --ifname eth1"))
}

/// Checks the hardware address of an endpoint that is to be made.
///
/// # Errors
/// [`Kind::Usage`] if no endpoint can have it, [`Kind::Conflict`] if somebody in the network does.
pub(super) fn check_mac(mac: Mac, network: &Network, endpoints: &[EndpointRecord]) -> Result<()> {
    let refuse = |kind, why: String| {
        let error = Error::new(kind, "use", format!("hardware address {}", HardwareAddress(mac)), why);
        error.remedy("leave out --mac, or choose another, such as --mac 02:00:00:00:00:01")
    };
    if mac == Mac::default() || mac[0] & 1 != 0 {
        return Err(refuse(Kind::Usage, "it is no address of one interface (IEEE 802, all zero or of a group)".into()));
    }
    if mac == network.mac || mac == network.seen_mac() {
        return Err(refuse(Kind::Conflict, format!("the gateway of network {} has it", network.name)));
    }
    let owner = endpoints.iter().find(|endpoint| endpoint.network == network.name && endpoint.mac == mac);
    owner.map_or(Ok(()), |owner| Err(refuse(Kind::Conflict, format!("namespace {} has it", owner.label()))))
}
