//! Lowers the maximum segment size that TCP asks for to what the way carries (`--clamp-mss`): for paths whose ICMP gets lost.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_l4_csum_replace, bpf_skb_load_bytes, bpf_skb_store_bytes},
};
use forwarder_common::{
    abi::endpoint_flags,
    decide::clamp,
    wire::{
        ipv4,
        l4::{self, field},
        options::kind,
    },
};

use crate::kernel::{
    packet::{
        options::{PRESENT, find},
        skb::Skb,
    },
    records,
};

/// Lowers the segment size in a SYN of a flow of the endpoint behind `host_veth`, whose IP header is at `l3`; `mtu` is that of the way
/// out. Bytes taken before are stale. Returns 1 if it was lowered.
///
/// A global function, called for SYN alone.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_clamp(skb: *mut __sk_buff, l3: u32, host_veth: u32, mtu: u32) -> u32 {
    let Some(endpoint) = records::endpoint(host_veth) else { return 0 };
    let (flags, inside) = (endpoint.flags, endpoint.mtu);
    if flags & endpoint_flags::CLAMP_MSS == 0 {
        return 0;
    }
    let bytes = Skb::from_ptr(skb).all_headers();
    let Ok(ip) = ipv4::parse(&bytes, (l3 & 0xf) as usize) else { return 0 };
    let Ok(tcp) = l4::parse(&bytes, &ip) else { return 0 };
    let tcp_off = ip.payload_off() as u32;
    let first = tcp_off.wrapping_add(20);
    let (outcome, at) = find(skb, first, (tcp.len as u32).wrapping_sub(20), [kind::MSS; 2]);
    if outcome != PRESENT {
        return 0;
    }
    lower(skb, tcp_off, first.wrapping_add(at).wrapping_add(2), clamp::segment(mtu, inside))
}

/// Lowers the value at `off`, which stands in the segment at `tcp_off`, to `largest`.
#[inline(always)]
fn lower(skb: *mut __sk_buff, tcp_off: u32, off: u32, largest: u16) -> u32 {
    let mut value = [0_u8; 2];
    // SAFETY: two bytes are read into two bytes; the helpers check the offsets.
    unsafe {
        if bpf_skb_load_bytes(skb.cast(), off, (&raw mut value).cast(), 2) != 0 || u16::from_be_bytes(value) <= largest
        {
            return 0;
        }
        let new = largest.to_be_bytes();
        let (from, to) = clamp::words(value, new, off.wrapping_sub(tcp_off) & 1 != 0);
        let check = tcp_off.wrapping_add(field::TCP_CHECK as u32);
        if bpf_l4_csum_replace(skb, check, from.into(), to.into(), 2) != 0 {
            return 0;
        }
        u32::from(bpf_skb_store_bytes(skb.cast(), off, (&raw const new).cast(), 2, 0) == 0)
    }
}
