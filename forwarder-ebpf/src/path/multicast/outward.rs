//! From a namespace out by the uplink, from the address of the uplink: who answers a group answers the group, and it is the host that has to be
//! found where a port is published.

use forwarder_common::{
    abi::{Endpoint, endpoint_flags, uplink_flags},
    decide::{
        multicast::{self, Passage, admitted},
        offload::check_field,
        rewrite::{Side, Ttl},
    },
    types::{
        checksum,
        direction::Direction,
        verdict::{Code, DropReason},
    },
    wire::{
        ethernet::{self, ethertype},
        extension, ipv4, ipv6, l4,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        clock::now,
        counters::{self, Amount},
        maps::{MULTICAST_SENT, config},
        packet::{
            anywhere::Anywhere,
            checksum::{ChangeV6, by_helper_v6},
            ethertype,
            skb::Skb,
        },
        records, redirect,
        shared::Shared,
    },
    path::apply,
};

/// Where TTL, protocol and checksum stand in a frame, and the hardware address of its sender.
const LIFE: usize = L3_OFF.wrapping_add(ipv4::field::TTL);
const SENDER: usize = ethernet::field::SRC;

/// Sends a copy of a packet of an endpoint by the uplink of its network, if it passes there.
#[inline(always)]
pub(super) fn copy(skb: Skb, endpoint: &Endpoint) {
    let (block, ruled) = (endpoint.counters, endpoint.flags & endpoint_flags::POLICY_OUT != 0);
    let Some(network) = records::network(endpoint.network) else { return };
    let (flags, uplink) = (network.flags, network.uplink);
    // Rules are about conversations with one: who has some begins none with all.
    if flags & endpoint_flags::MULTICAST == 0 || ruled {
        return;
    }
    let Some(record) = records::uplink(uplink) else { return };
    if record.flags & (uplink_flags::GUARDED | uplink_flags::TUNNEL) != uplink_flags::GUARDED {
        return;
    }
    let kind = ethertype(&skb.headers());
    if kind == ethertype::IPV4 {
        fwd_copy_out(skb, uplink, block);
    } else if kind == ethertype::IPV6 {
        fwd_copy_out6(skb, uplink, block);
    }
}

global_fn! {
    /// See [`copy_v4`].
    fn fwd_copy_out(skb: Skb, uplink: u32, block: u32) -> () = copy_v4;
    /// See [`copy_v6`].
    fn fwd_copy_out6(skb: Skb, uplink: u32, block: u32) -> () = copy_v6;
    /// See [`exceeds`].
    fn fwd_exceeds_multicast(block: u32, packets: u32) -> bool = exceeds;
}

/// Whether the endpoint with this block of counters has sent too much in this second. Two CPUs may count one packet for two.
#[inline(always)]
fn exceeds(block: u32, packets: u32) -> bool {
    let Some(config) = config() else { return true };
    let second = now().checked_div(config.hz).unwrap_or_default();
    let Some(noted) = Shared::element(&MULTICAST_SENT, block) else { return true };
    let Some(sent) = admitted(noted.read(), second, packets) else { return true };
    noted.write(sent);
    false
}

/// Counts what has left, or was too much, at the uplink, and says whether it may leave.
#[inline(always)]
fn counted(skb: Skb, uplink: u32, block: u32) -> bool {
    let Amount { packets, bytes } = Amount::whole(skb, L3_OFF);
    let exceeds = fwd_exceeds_multicast(block, packets);
    let code = if exceeds { DropReason::RateExceeded.into() } else { Code::FORWARDED };
    counters::fwd_count_at_uplink(uplink, true, code, packets, bytes);
    !exceeds
}

#[inline(always)]
fn copy_v4(skb: Skb, uplink: u32, block: u32) {
    let bytes = skb.all_headers();
    let Ok(ip) = ipv4::parse(&bytes, L3_OFF) else { return };
    let kind = bytes.load::<1>(ip.payload_off()).map_or(0, |[kind]| kind);
    let passage = multicast::of_v4(Direction::Outbound, &ip, kind) as u32;
    if passage == Passage::Stays as u32 {
        return;
    }
    let Some(record) = records::uplink(uplink) else { return };
    let (address, mac) = (record.v4, record.mac);
    if u32::from_ne_bytes(address) == 0 || !counted(skb, uplink, block) {
        return;
    }
    let bytes = skb.all_headers();
    let Ok(sender) = bytes.load::<6>(SENDER) else { return };
    let Ok(life) = bytes.load::<4>(LIFE) else { return };
    let port = if l4::shows_ports(&ip) { bytes.load::<2>(ip.payload_off()).unwrap_or_default() } else { [0; 2] };
    let ttl = if passage == Passage::OneHop as u32 { Ttl::Decrement } else { Ttl::Keep };
    if bytes.store(SENDER, mac).is_err() {
        return;
    }
    if apply::rewrite(skb, L3_OFF, (Side::Source, ttl), address, port).is_ok() {
        redirect::copy(skb, uplink);
        // What was taken off the life comes back with the bytes that had it.
        let _restored = apply::rewrite(skb, L3_OFF, (Side::Source, Ttl::Keep), ip.src, port);
    }
    let bytes = skb.headers();
    let _stored = bytes.store(LIFE, life).and_then(|()| bytes.store(SENDER, sender));
}

#[inline(always)]
fn copy_v6(skb: Skb, uplink: u32, block: u32) {
    let packet = Anywhere(skb);
    let Ok(ip) = ipv6::parse(&packet, L3_OFF) else { return };
    let Ok(upper) = extension::walk(&packet, &ip, ip.end()) else { return };
    let kind = packet.load::<1>(upper.off).map_or(0, |[kind]| kind);
    if upper.fragment || multicast::of_v6(Direction::Outbound, &ip, upper.proto, kind) as u32 == Passage::Stays as u32 {
        return;
    }
    let Some(record) = records::uplink(uplink) else { return };
    let (address, mac) = (record.link_local, record.mac);
    if ipv6::is_unspecified(address) || !counted(skb, uplink, block) {
        return;
    }
    let (source, proto) = (ip.src, upper.proto);
    let check = (upper.off as u32).wrapping_add(check_field(proto));
    let Ok(sender) = skb.headers().load::<6>(SENDER) else { return };
    if write_v6(skb, mac, address) && change_sum(skb, check, proto, checksum::delta(source, address)) {
        redirect::copy(skb, uplink);
        change_sum(skb, check, proto, checksum::delta(address, source));
    }
    write_v6(skb, sender, source);
}

/// Writes the hardware address of the sender and the source. Whether it did.
#[inline(always)]
fn write_v6(skb: Skb, mac: [u8; 6], source: [u8; 16]) -> bool {
    let bytes = skb.headers();
    bytes.store(SENDER, mac).is_ok() && bytes.store(L3_OFF.wrapping_add(ipv6::field::SRC), source).is_ok()
}

/// Changes the checksum at `check` by what another source adds to it. Whether it could be done.
#[inline(always)]
fn change_sum(skb: Skb, check: u32, proto: u8, delta: u32) -> bool {
    let _headers = skb.all_headers();
    by_helper_v6(skb, (check & 0xff) as usize, proto, ChangeV6 { delta, ports: 0, hops: false })
}
