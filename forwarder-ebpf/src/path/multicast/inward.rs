//! From the uplink into the networks whose uplink it is.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_for_each_map_elem;
use forwarder_common::{
    abi::{Addr, Network, mapped},
    decide::multicast::{self, Passage},
    types::{direction::Direction, verdict::Code},
    wire::{
        ethernet::ethertype,
        extension, header_words, ipv4, ipv6,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        counters::Amount,
        maps::{HOST_ADDRESSES, NETWORKS},
        packet::{anywhere::Anywhere, ethertype, skb::Skb},
        records, redirect,
    },
    path::networks::{in_fwd_network, in_fwd_network_v6},
};

use super::limit;

/// Where TTL, protocol and checksum stand in a frame, and the hop limit.
const LIFE: usize = L3_OFF.wrapping_add(ipv4::field::TTL);
const HOP_LIMIT: usize = L3_OFF.wrapping_add(ipv6::field::HOP_LIMIT);
/// Length of the header of UDP, bytes: nothing else comes in several segments.
const UDP: usize = 8;

global_fn! {
    /// See [`copy_v4`].
    fn fwd_copy_in(skb: Skb) -> Result<(), Code> = copy_v4;
    /// See [`copy_v6`].
    fn fwd_copy_in6(skb: Skb) -> Result<(), Code> = copy_v6;
}

/// Gives copies of a packet that arrived by an uplink to the networks whose uplink it is, if it passes.
///
/// # Errors
/// It would, and was dropped for this reason, which is counted at the uplink.
#[inline(always)]
pub(super) fn copy(skb: Skb) -> Result<(), Code> {
    if skb.vlan_present() != 0 {
        return Ok(());
    }
    let kind = ethertype(&skb.headers());
    if kind == ethertype::IPV4 {
        fwd_copy_in(skb)
    } else if kind == ethertype::IPV6 {
        fwd_copy_in6(skb)
    } else {
        Ok(())
    }
}

/// Whether a packet from this address of either family is the host's own, as the last command has found its addresses, or has one that it answers
/// for: it may come back, by a bridge or a radio; and of others nobody has it.
#[inline(always)]
fn is_own(source: &Addr) -> bool {
    HOST_ADDRESSES.get_ptr(source).is_some() || records::announced_with(source).is_some()
}

#[inline(always)]
fn copy_v4(skb: Skb) -> Result<(), Code> {
    let bytes = skb.all_headers();
    let Ok(ip) = ipv4::parse(&bytes, L3_OFF) else { return Ok(()) };
    if is_own(&mapped(ip.src)) || in_fwd_network(ip.src) {
        return Ok(());
    }
    let kind = bytes.load::<1>(ip.payload_off()).map_or(0, |[kind]| kind);
    let passage = multicast::of_v4(Direction::Inbound, &ip, kind) as u32;
    if passage == Passage::Stays as u32 {
        return Ok(());
    }
    let Some(uplink) = records::uplink(skb.ifindex()) else { return Ok(()) };
    admit(skb, uplink.counters_in, ip.len, ip.total_len)?;
    if passage == Passage::AsItIs as u32 {
        to_networks(skb, false);
        return Ok(());
    }
    let bytes = skb.all_headers();
    let Ok(life) = bytes.load::<4>(LIFE) else { return Ok(()) };
    let word = header_words::one_hop(u32::from_ne_bytes(life).into(), 0, 0) as u32;
    if bytes.store(LIFE, word.to_ne_bytes()).is_ok() {
        to_networks(skb, false);
    }
    let _restored = skb.headers().store(LIFE, life);
    Ok(())
}

#[inline(always)]
fn copy_v6(skb: Skb) -> Result<(), Code> {
    let packet = Anywhere(skb);
    let Ok(ip) = ipv6::parse(&packet, L3_OFF) else { return Ok(()) };
    let Ok(upper) = extension::walk(&packet, &ip, ip.end()) else { return Ok(()) };
    let Some(uplink) = records::uplink(skb.ifindex()) else { return Ok(()) };
    // Of the addresses of links the host has one at each.
    if ipv6::is_same(uplink.link_local, ip.src) || is_own(&ip.src) || in_fwd_network_v6(ip.src) {
        return Ok(());
    }
    let kind = packet.load::<1>(upper.off).map_or(0, |[kind]| kind);
    let passage = multicast::of_v6(Direction::Inbound, &ip, upper.proto, kind) as u32;
    if passage == Passage::Stays as u32 {
        return Ok(());
    }
    admit(skb, uplink.counters_in, upper.off.wrapping_sub(L3_OFF), ip.payload_len.wrapping_add(ipv6::LEN as u16))?;
    if passage == Passage::AsItIs as u32 {
        to_networks(skb, true);
        return Ok(());
    }
    if skb.headers().store(HOP_LIMIT, [ip.hop_limit.wrapping_sub(1)]).is_ok() {
        to_networks(skb, true);
    }
    let _restored = skb.headers().store(HOP_LIMIT, [ip.hop_limit]);
    Ok(())
}

/// What a look at all networks works with.
#[repr(C)]
struct Copies {
    skb: Skb,
    uplink: u32,
    is_ipv6: u32,
}

/// Whether a packet with so many bytes of headers of IP, and as long as these say, may come in: each is a copy for every namespace. `block` is that of the
/// uplink's counters.
#[inline(always)]
fn admit(skb: Skb, block: u32, headers: usize, total: u16) -> Result<(), Code> {
    let amount = Amount::behind(skb, L3_OFF, headers.wrapping_add(UDP) as u32, total.into());
    limit::admit((skb.ifindex(), false), block, amount)
}

/// Gives a copy to each network whose uplink the packet has arrived by, and that is to have it.
#[inline(always)]
fn to_networks(skb: Skb, is_ipv6: bool) {
    let mut copies = Copies { skb, uplink: skb.ifindex(), is_ipv6: is_ipv6.into() };
    // SAFETY: the callback takes what this map holds and the pointer that it is given, which lives until the loop is over.
    unsafe {
        let copies = (&raw mut copies).cast();
        bpf_for_each_map_elem((&raw const NETWORKS).cast_mut().cast(), network as *mut c_void, copies, 0);
    }
}

/// Gives a copy to a network. Returns 0.
#[inline(never)]
extern "C" fn network(_: *mut c_void, bridge: *const u32, record: *const Network, copies: *mut Copies) -> i64 {
    // SAFETY: called by `bpf_for_each_map_elem` alone, which passes an entry of `NETWORKS` and the pointer of `to_networks`.
    let (bridge, record, copies) = unsafe { (&*bridge, &*record, &*copies) };
    if multicast::hears(record, copies.uplink, copies.is_ipv6 != 0) {
        redirect::copy(copies.skb, *bridge);
    }
    0
}
