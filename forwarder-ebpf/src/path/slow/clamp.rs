//! Lowers the maximum segment size that TCP asks for to what the way carries (`--clamp-mss`): for paths whose ICMP gets lost.

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
    maps::PACKET6,
    packet::{
        l3_off,
        options::{PRESENT, find},
        skb::Skb,
    },
    records,
    scratch::scratch,
};

global_fn! {
    /// See [`clamp`]. Called for SYN alone.
    pub(crate) fn fwd_clamp(skb: Skb, l3: u32, host_veth: u32, mtu: u32) -> bool = clamp;
    /// See [`clamp_ipv6`]. Called for SYN alone.
    pub(crate) fn fwd_clamp6(skb: Skb, host_veth: u32, mtu: u32) -> bool = clamp_ipv6;
}

/// Lowers the segment size in a SYN of a flow of the endpoint behind `host_veth`, whose IP header is at `l3`; `mtu` is that of the way
/// out. Bytes taken before are stale. Whether it was lowered.
#[inline(always)]
fn clamp(skb: Skb, l3: u32, host_veth: u32, mtu: u32) -> bool {
    let Some(inside) = clamped(host_veth) else { return false };
    let bytes = skb.all_headers();
    let Ok(ip) = ipv4::parse(&bytes, l3_off(l3)) else { return false };
    let Ok(tcp) = l4::parse(&bytes, &ip) else { return false };
    lower_to(skb, ip.payload_off() as u32, tcp.len as u32, clamp::segment(mtu, inside))
}

/// As [`clamp`], of the packet in the map `PACKET6`.
#[inline(always)]
fn clamp_ipv6(skb: Skb, host_veth: u32, mtu: u32) -> bool {
    let (Some(inside), Some(packet)) = (clamped(host_veth), scratch(&PACKET6)) else { return false };
    lower_to(skb, packet.upper_off, packet.l4_len, clamp::segment_ipv6(mtu, inside))
}

/// The MTU inside, bytes, of the endpoint behind `host_veth`, if its network wants segments to be clamped.
#[inline(always)]
fn clamped(host_veth: u32) -> Option<u32> {
    let endpoint = records::endpoint(host_veth)?;
    let (flags, inside) = (endpoint.flags, endpoint.mtu);
    (flags & endpoint_flags::CLAMP_MSS != 0).then_some(inside)
}

/// Lowers the segment size that is asked for in the segment at `tcp_off`, whose header is so `long`, to `largest`.
#[inline(always)]
fn lower_to(skb: Skb, tcp_off: u32, long: u32, largest: u16) -> bool {
    let first = tcp_off.wrapping_add(20);
    let (outcome, at) = find(skb, first, long.wrapping_sub(20), [kind::MSS; 2]);
    outcome == PRESENT && lower(skb, tcp_off, first.wrapping_add(at).wrapping_add(2), largest)
}

/// Lowers the value at `off`, which stands in the segment at `tcp_off`, to `largest`.
#[inline(always)]
fn lower(skb: Skb, tcp_off: u32, off: u32, largest: u16) -> bool {
    let mut value = [0_u8; 2];
    if !skb.copy(off, &mut value, 2) || u16::from_be_bytes(value) <= largest {
        return false;
    }
    let new = largest.to_be_bytes();
    let (from, to) = clamp::words(value, new, off.wrapping_sub(tcp_off) & 1 != 0);
    let check = tcp_off.wrapping_add(field::TCP_CHECK as u32);
    skb.replace_checksum(check, from.into(), to.into(), 2) && skb.write(off, &new)
}
