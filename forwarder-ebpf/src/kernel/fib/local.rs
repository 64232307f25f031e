//! Which addresses are the host's own, or answered for by it.

use aya_ebpf::bindings::{BPF_FIB_LKUP_RET_NOT_FWDED, bpf_fib_lookup};
use forwarder_common::{abi::mapped, wire::ipv6};

use super::{AF_INET, AF_INET6, ask, clear, fwd_comes_here, fwd_is_own6};
use crate::kernel::{
    maps::{FIB_QUERY, HOST_ADDRESSES, PACKET6},
    packet::skb::Skb,
    records,
    scratch::scratch,
};

/// As [`is_local`], of the address in the map `PACKET6` behind which a flow's packets appear.
#[inline(always)]
pub(super) fn is_local_ipv6(skb: Skb, input: u32) -> bool {
    let Some(packet) = scratch(&PACKET6) else { return false };
    records::announced_with(&packet.to).is_some() || fwd_is_own6(skb, input)
}

/// As [`is_own`], of the same address.
#[inline(always)]
pub(super) fn is_own_ipv6(skb: Skb, input: u32) -> bool {
    // Nobody has an address of the prefix whose packets are thrown away (RFC 6666).
    const NOBODY: [u32; 4] = [u32::from_ne_bytes([1, 0, 0, 0]), 0, 0, u32::from_ne_bytes([0, 0, 0, 8])];
    const NOT_FWDED: i64 = BPF_FIB_LKUP_RET_NOT_FWDED as i64;
    let (Some(packet), Some(query)) = (scratch(&PACKET6), scratch(&FIB_QUERY)) else { return false };
    clear(query);
    query.family = AF_INET6;
    query.ifindex = input;
    query.__bindgen_anon_4.ipv6_dst = ipv6::words(packet.to);
    if ask(skb, query, 0) != NOT_FWDED {
        return false;
    }
    // What the helper wrote is set anew.
    query.ifindex = input;
    query.__bindgen_anon_4.ipv6_dst = NOBODY;
    ask(skb, query, 0) != NOT_FWDED
}

/// Whether packets to `addr` (an address in network byte order) come here: it is the host's own, or announced.
#[inline(always)]
pub(crate) fn is_local(skb: Skb, addr: u32, input: u32) -> bool {
    fwd_comes_here(skb, addr, input, true)
}

/// Whether `addr` (an address in network byte order) is the host's own: packets to it are not forwarded, though others are.
#[inline(always)]
pub(crate) fn is_own(skb: Skb, addr: u32, input: u32) -> bool {
    fwd_comes_here(skb, addr, input, false)
}

/// [`is_local`], or [`is_own`] where what is `announced` does not count. One function, because each that calls another takes room on the stack.
///
/// The kernel answers the same for what is its own and for what it knows no way to. So the last command must have found it among the host's,
/// or an address that nobody has (RFC 7600 §6) must be forwarded: without a default route no other passes for the host's.
#[inline(always)]
pub(super) fn comes_here(skb: Skb, addr: u32, input: u32, announced: bool) -> bool {
    const NOBODY: [u8; 4] = [192, 0, 0, 8];
    const NOT_FWDED: i64 = BPF_FIB_LKUP_RET_NOT_FWDED as i64;
    let key = mapped(addr.to_ne_bytes());
    if announced && records::announced_with(&key).is_some() {
        return true;
    }
    // SAFETY: all zero is a valid record of integers.
    let mut query: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    query.family = AF_INET;
    query.ifindex = input;
    query.__bindgen_anon_4.ipv4_dst = addr;
    if ask(skb, &mut query, 0) != NOT_FWDED {
        return false;
    }
    if HOST_ADDRESSES.get_ptr(&key).is_some() {
        return true;
    }
    // What the helper wrote is set anew.
    query.ifindex = input;
    query.__bindgen_anon_4.ipv4_dst = u32::from_ne_bytes(NOBODY);
    ask(skb, &mut query, 0) != NOT_FWDED
}
