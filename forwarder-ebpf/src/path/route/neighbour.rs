//! To another endpoint of this host: straight there, in the same network and between networks that have allowed each other.

use forwarder_common::{
    abi::Endpoint,
    decide::route::{self, Peer},
    types::verdict::DropReason,
};

use super::Resolved;
use crate::{
    kernel::{devices, records},
    path::networks::is_outside,
};

/// What becomes of a packet to the endpoint with address `addr`; none if that is nobody's whom this endpoint has to do with.
#[inline(always)]
pub(super) fn neighbour(endpoint: &Endpoint, addr: [u8; 4]) -> Option<Resolved> {
    if is_outside(u32::from_ne_bytes(addr)) {
        return None;
    }
    to_peer(endpoint, records::host_veth_of(addr)?)
}

/// The same, to the endpoint behind `host_veth`: see [`route::peer`].
#[inline(always)]
pub(super) fn to_peer(endpoint: &Endpoint, host_veth: u32) -> Option<Resolved> {
    let (network, theirs) = (endpoint.network, records::network_of(host_veth)?);
    let resolved = match route::peer(network, endpoint.flags, theirs, || records::reaches(network, theirs)) {
        Peer::Reached => Resolved::new(Resolved::PEER, host_veth),
        Peer::Isolated => Resolved::drop(DropReason::PeerIsolated),
        Peer::Elsewhere => return None,
    };
    devices::fwd_is_there(host_veth).then_some(resolved)
}
