//! Where a packet goes on: by another interface, or in another program.

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1},
    helpers::{bpf_clone_redirect, bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer},
};
use forwarder_common::abi::is_v4;

use crate::kernel::{maps::SLOW_PATH, packet::skb::Skb};

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// Whether a flow with this next hop is one between namespaces by an address of the host.
#[inline(always)]
pub(crate) const fn is_hairpin([a, b, c, d]: [u32; 4]) -> bool {
    a | b | c | d == 0
}

/// Out by an interface to a next hop (see [`FlowShared::next_hop`](forwarder_common::abi::FlowShared::next_hop)), or in by it, as if it had
/// come from outside: what the program is to return.
#[inline(always)]
pub(crate) fn neighbour(ifindex: u32, next_hop: [u32; 4]) -> i32 {
    if is_hairpin(next_hop) {
        return inward(ifindex);
    }
    let [.., last] = next_hop;
    let v4 = is_v4(next_hop);
    let mut params = bpf_redir_neigh {
        nh_family: if v4 { AF_INET } else { AF_INET6 },
        __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 { ipv6_nh: if v4 { [last, 0, 0, 0] } else { next_hop } },
    };
    let size = size_of::<bpf_redir_neigh>() as i32;
    // SAFETY: `params` is as long as said and initialised in full.
    (unsafe { bpf_redirect_neigh(ifindex, &raw mut params, size, 0) }) as i32
}

/// Out by an interface as it is: what the program is to return.
#[inline(always)]
pub(crate) fn device(ifindex: u32) -> i32 {
    // SAFETY: a helper without pointers.
    (unsafe { bpf_redirect(ifindex, 0) }) as i32
}

/// In by an interface, as if it had come from outside: what the program is to return.
#[inline(always)]
pub(crate) fn inward(ifindex: u32) -> i32 {
    // SAFETY: a helper without pointers.
    (unsafe { bpf_redirect(ifindex, BPF_F_INGRESS.into()) }) as i32
}

/// Into the namespace behind a host-side veth: what the program is to return.
#[inline(always)]
pub(crate) fn peer(ifindex: u32) -> i32 {
    // SAFETY: a helper without pointers.
    (unsafe { bpf_redirect_peer(ifindex, 0) }) as i32
}

/// A copy out by an interface as it is: at once, with the programs at its egress. Bytes taken before are stale.
#[inline(always)]
pub(crate) fn copy(skb: Skb, ifindex: u32) {
    // SAFETY: the context is valid. Nothing can be done about a copy that there is no memory for.
    unsafe { bpf_clone_redirect(skb.ptr(), ifindex, 0) };
}

/// Goes on in the program at this place of the map `SLOW_PATH`; comes back if there is none.
#[inline(always)]
pub(crate) fn slow_path(skb: Skb, place: u32) {
    // SAFETY: the programs in the map are of the same type, and get the same context.
    unsafe { SLOW_PATH.tail_call(&skb, place) };
}
