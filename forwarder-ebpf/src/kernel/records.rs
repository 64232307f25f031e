//! The records of networks, endpoints and uplinks, by reference.
//!
//! The control plane replaces a record as a whole, and the kernel frees it after a grace period (`BPF_F_NO_PREALLOC`): whoever looked one
//! up may read it until the program ends, and reads the old one or the new one, never both.

use forwarder_common::abi::{Endpoint, Network, Uplink, mapped};

use super::maps::{ADDRESSES, ENDPOINTS, NETWORKS, UPLINKS};

/// The endpoint behind a host-side veth.
#[inline(always)]
pub(crate) fn endpoint(host_veth: u32) -> Option<&'static Endpoint> {
    // SAFETY: see the head of this file; so below.
    ENDPOINTS.get_ptr(&host_veth).map(|record| unsafe { &*record })
}

/// The network with this bridge.
#[inline(always)]
pub(crate) fn network(bridge: u32) -> Option<&'static Network> {
    // SAFETY: as above.
    NETWORKS.get_ptr(&bridge).map(|record| unsafe { &*record })
}

/// The uplink that is this interface.
#[inline(always)]
pub(crate) fn uplink(ifindex: u32) -> Option<&'static Uplink> {
    // SAFETY: as above.
    UPLINKS.get_ptr(&ifindex).map(|record| unsafe { &*record })
}

/// The host-side veth of the endpoint with address `addr`.
#[inline(always)]
pub(crate) fn host_veth_of(addr: [u8; 4]) -> Option<u32> {
    // SAFETY: as above: an aligned word.
    ADDRESSES.get_ptr(&mapped(addr)).map(|ifindex| unsafe { ifindex.read_volatile() })
}
