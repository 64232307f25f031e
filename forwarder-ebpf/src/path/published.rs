//! Which endpoint a port of the host leads to.

pub(crate) mod host;

use aya_ebpf::btf_maps::lpm_trie::Key;
use forwarder_common::{
    abi::{Endpoint, HOST_SOCKET_BITS, Publication, Tuple},
    decide::unsolicited::publish,
};

use crate::kernel::{
    devices,
    fib::fwd_is_local,
    maps::{HOST_ADDRESSES, PUBLISHED, PUBLISHED_TO},
    packet::skb::Skb,
    records,
};

/// The publication of the socket that a packet with `tuple` is sent to, at its very address or (`at_all`) at all addresses of the host, and the
/// endpoint that it leads to.
#[inline(always)]
pub(crate) fn find(skb: Skb, tuple: &Tuple, at_all: bool) -> Option<(Publication, &'static Endpoint)> {
    // A destination of the loopback is forged: what is published there is for the host alone.
    if !publish::is_host_address(tuple.daddr) {
        return None;
    }
    let key = Key::new(HOST_SOCKET_BITS, publish::socket(tuple, at_all));
    let publication = *PUBLISHED.get(&key)?;
    let endpoint = records::endpoint(publication.endpoint)?;
    if !publish::is_for(&publication, tuple, endpoint) || !devices::fwd_is_there(publication.endpoint) {
        return None;
    }
    (!at_all || is_hosts(skb, tuple, endpoint)).then_some((publication, endpoint))
}

/// Whether the destination is an address of the host, for which ports were published at all of them.
///
/// Those that it had at the last command are known. One that has come since is asked for, which tells nothing without a default route.
#[inline(always)]
fn is_hosts(skb: Skb, tuple: &Tuple, endpoint: &Endpoint) -> bool {
    let known = records::uplink(endpoint.uplink).is_some_and(|uplink| uplink.v4 == tuple.daddr);
    known
        || HOST_ADDRESSES.get_ptr(&tuple.daddr).is_some()
        || fwd_is_local(skb, u32::from_ne_bytes(tuple.daddr), endpoint.network)
}

/// Whether `sender` may use the publication.
#[inline(always)]
pub(crate) fn admits(publication: &Publication, sender: [u8; 4]) -> bool {
    const BITS: u32 = HOST_SOCKET_BITS.wrapping_add(32);
    let key = || Key::new(BITS, publish::sent_by(publication, sender));
    publication.senders == 0 || PUBLISHED_TO.get(&key()).is_some_and(|cookie| *cookie == publication.netns_cookie)
}
