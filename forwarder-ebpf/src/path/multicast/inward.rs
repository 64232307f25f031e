//! From the uplink into the networks whose uplink it is.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_for_each_map_elem;
use forwarder_common::{
    abi::{Network, endpoint_flags},
    decide::multicast::{self, Passage},
    types::direction::Direction,
    wire::{
        ethernet::ethertype,
        extension, header_words, ipv4, ipv6,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        maps::NETWORKS,
        packet::{anywhere::Anywhere, ethertype, skb::Skb},
        records, redirect,
    },
    path::networks::{in_fwd_network, in_fwd_network_v6},
};

/// Where TTL, protocol and checksum stand in a frame, and the hop limit.
const LIFE: usize = L3_OFF.wrapping_add(ipv4::field::TTL);
const HOP_LIMIT: usize = L3_OFF.wrapping_add(ipv6::field::HOP_LIMIT);

global_fn! {
    /// See [`copy_v4`].
    fn fwd_copy_in(skb: Skb) -> () = copy_v4;
    /// See [`copy_v6`].
    fn fwd_copy_in6(skb: Skb) -> () = copy_v6;
}

/// Gives copies of a packet that arrived by an uplink to the networks whose uplink it is, if it passes.
#[inline(always)]
pub(super) fn copy(skb: Skb) {
    if skb.vlan_present() != 0 {
        return;
    }
    let kind = ethertype(&skb.headers());
    if kind == ethertype::IPV4 {
        fwd_copy_in(skb);
    } else if kind == ethertype::IPV6 {
        fwd_copy_in6(skb);
    }
}

#[inline(always)]
fn copy_v4(skb: Skb) {
    let bytes = skb.all_headers();
    let Ok(ip) = ipv4::parse(&bytes, L3_OFF) else { return };
    let Some(uplink) = records::uplink(skb.ifindex()) else { return };
    // What the host itself has sent may come back, by a bridge or a radio.
    if uplink.v4 == ip.src || in_fwd_network(ip.src) {
        return;
    }
    let kind = bytes.load::<1>(ip.payload_off()).map_or(0, |[kind]| kind);
    let passage = multicast::of_v4(Direction::Inbound, &ip, kind) as u32;
    if passage == Passage::Stays as u32 {
        return;
    }
    if passage == Passage::AsItIs as u32 {
        return to_networks(skb);
    }
    let Ok(life) = bytes.load::<4>(LIFE) else { return };
    let word = header_words::one_hop(u32::from_ne_bytes(life).into(), 0, 0) as u32;
    if bytes.store(LIFE, word.to_ne_bytes()).is_ok() {
        to_networks(skb);
    }
    let _restored = skb.headers().store(LIFE, life);
}

#[inline(always)]
fn copy_v6(skb: Skb) {
    let packet = Anywhere(skb);
    let Ok(ip) = ipv6::parse(&packet, L3_OFF) else { return };
    let Ok(upper) = extension::walk(&packet, &ip, ip.end()) else { return };
    let Some(uplink) = records::uplink(skb.ifindex()) else { return };
    if ipv6::is_same(uplink.link_local, ip.src) || in_fwd_network_v6(ip.src) {
        return;
    }
    let kind = packet.load::<1>(upper.off).map_or(0, |[kind]| kind);
    let passage = multicast::of_v6(Direction::Inbound, &ip, upper.proto, kind) as u32;
    if passage == Passage::Stays as u32 {
        return;
    }
    if passage == Passage::AsItIs as u32 {
        return to_networks(skb);
    }
    if skb.headers().store(HOP_LIMIT, [ip.hop_limit.wrapping_sub(1)]).is_ok() {
        to_networks(skb);
    }
    let _restored = skb.headers().store(HOP_LIMIT, [ip.hop_limit]);
}

/// What a look at all networks works with.
#[repr(C)]
struct Copies {
    skb: Skb,
    uplink: u32,
    _pad: u32,
}

/// Gives a copy to each network whose uplink the packet has arrived by, and that is to have it.
#[inline(always)]
fn to_networks(skb: Skb) {
    let mut copies = Copies { skb, uplink: skb.ifindex(), _pad: 0 };
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
    if record.flags & endpoint_flags::MULTICAST != 0 && record.uplink == copies.uplink {
        redirect::copy(copies.skb, *bridge);
    }
    0
}
