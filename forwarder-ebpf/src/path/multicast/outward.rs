//! From a namespace out by the uplink, from the address of the uplink: who answers a group answers the group, and it is the host that has to be
//! found where a port is published.

use forwarder_common::{
    abi::{Endpoint, endpoint_flags, uplink_flags},
    decide::{
        multicast::{self, Passage},
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
        counters::{self, Amount},
        packet::{
            anywhere::Anywhere,
            checksum::{ChangeV6, by_helper_v6},
            ethertype,
            skb::Skb,
        },
        records, redirect,
        sock::{fwd_host_speaks, fwd_host_speaks6},
    },
    path::apply,
};

use super::limit;

/// Where TTL, protocol and checksum stand in a frame.
const LIFE: usize = L3_OFF.wrapping_add(ipv4::field::TTL);
/// Length of the header of UDP, bytes: nothing else comes in several segments.
const UDP: usize = 8;

/// Sends a copy of a packet of an endpoint by the uplink of its network, if it passes there.
///
/// # Errors
/// It would, and was dropped for this reason, which is counted at the uplink.
#[inline(always)]
pub(super) fn copy(skb: Skb, endpoint: &Endpoint) -> Result<(), Code> {
    let (block, ruled) = (endpoint.counters, endpoint.flags & endpoint_flags::POLICY_OUT != 0);
    let Some(network) = records::network(endpoint.network) else { return Ok(()) };
    let (flags, uplink) = (network.flags, network.uplink);
    // Rules are about conversations with one: who has some begins none with all.
    if flags & endpoint_flags::MULTICAST == 0 || ruled {
        return Ok(());
    }
    let Some(record) = records::uplink(uplink) else { return Ok(()) };
    if record.flags & (uplink_flags::GUARDED | uplink_flags::TUNNEL) != uplink_flags::GUARDED {
        return Ok(());
    }
    let kind = ethertype(&skb.headers());
    if kind == ethertype::IPV4 {
        fwd_copy_out(skb, uplink, block)?;
    } else if kind == ethertype::IPV6 {
        let upper = fwd_judge_out6(skb, uplink, block)?;
        if upper != 0 {
            fwd_copy_out6(skb, uplink, upper);
        }
    }
    Ok(())
}

global_fn! {
    /// See [`copy_v4`].
    fn fwd_copy_out(skb: Skb, uplink: u32, block: u32) -> Result<(), Code> = copy_v4;
    /// See [`judge_v6`].
    fn fwd_judge_out6(skb: Skb, uplink: u32, block: u32) -> Result<u32, Code> = judge_v6;
    /// See [`copy_v6`].
    fn fwd_copy_out6(skb: Skb, uplink: u32, upper: u32) -> () = copy_v6;
}

/// Refuses a datagram with these ports, as they stand in it, that would pass for one of a program of the host: a socket has the port that it comes from,
/// as `speaks` finds out, and not everybody. That it does not leave is counted at the uplink.
#[inline(always)]
fn refuse_as_host(uplink: u32, ports: [u8; 4], amount: Amount, speaks: impl FnOnce(u32) -> bool) -> Result<(), Code> {
    let [s0, s1, d0, d1] = ports;
    let shared = multicast::is_shared_port(u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    if shared || !speaks(u32::from_ne_bytes(ports)) {
        return Ok(());
    }
    let code = DropReason::MulticastOutside.into();
    counters::fwd_count_at_uplink(uplink, true, code, amount.packets, amount.bytes);
    Err(code)
}

#[inline(always)]
fn copy_v4(skb: Skb, uplink: u32, block: u32) -> Result<(), Code> {
    let bytes = skb.all_headers();
    let Ok(ip) = ipv4::parse(&bytes, L3_OFF) else { return Ok(()) };
    let ports = bytes.load::<4>(ip.payload_off()).unwrap_or_default();
    let passage = multicast::of_v4(Direction::Outbound, &ip, ports[0]) as u32;
    // In pieces it stays, as of IPv6: only the first shows its ports, and the host's own to that group are told apart by identifications that a
    // namespace can guess (RFC 791 §3.2).
    if ip.fragment || passage == Passage::Stays as u32 {
        return Ok(());
    }
    let Some(record) = records::uplink(uplink) else { return Ok(()) };
    let (address, mac) = (record.v4, record.mac);
    let source = u32::from_ne_bytes(address);
    if source == 0 {
        return Ok(());
    }
    let amount = Amount::behind(skb, L3_OFF, ip.len.wrapping_add(UDP) as u32, ip.total_len.into());
    let group = u32::from_ne_bytes(ip.dst);
    if l4::shows_ports(&ip) {
        refuse_as_host(uplink, ports, amount, |ports| fwd_host_speaks(skb, source, group, ports))?;
    }
    limit::admit((uplink, true), block, amount)?;
    let bytes = skb.all_headers();
    let Ok(frame) = bytes.load::<12>(ethernet::field::DST) else { return Ok(()) };
    let Ok(life) = bytes.load::<4>(LIFE) else { return Ok(()) };
    let [s0, s1, ..] = ports;
    let port = if l4::shows_ports(&ip) { [s0, s1] } else { [0; 2] };
    let ttl = if passage == Passage::OneHop as u32 { Ttl::Decrement } else { Ttl::Keep };
    if bytes.store(ethernet::field::DST, ethernet::addresses(ethernet::of_group_v4(ip.dst), mac)).is_err() {
        return Ok(());
    }
    if apply::rewrite(skb, L3_OFF, (Side::Source, ttl), address, port).is_ok() {
        redirect::copy(skb, uplink);
        // What was taken off the life comes back with the bytes that had it.
        let _restored = apply::rewrite(skb, L3_OFF, (Side::Source, Ttl::Keep), ip.src, port);
    }
    let bytes = skb.headers();
    let _stored = bytes.store(LIFE, life).and_then(|()| bytes.store(ethernet::field::DST, frame));
    Ok(())
}

/// Whether a packet of IPv6 passes: where its upper header begins, and above that its protocol; 0 if it does not pass. In a function of its own: the
/// stack would not hold both this and the copying.
#[inline(always)]
fn judge_v6(skb: Skb, uplink: u32, block: u32) -> Result<u32, Code> {
    let packet = Anywhere(skb);
    let Ok(ip) = ipv6::parse(&packet, L3_OFF) else { return Ok(0) };
    let Ok(upper) = extension::walk(&packet, &ip, ip.end()) else { return Ok(0) };
    let ports = packet.load::<4>(upper.off).unwrap_or_default();
    let passage = multicast::of_v6(Direction::Outbound, &ip, upper.proto, ports[0]) as u32;
    if upper.fragment || passage == Passage::Stays as u32 {
        return Ok(0);
    }
    let Some(record) = records::uplink(uplink) else { return Ok(0) };
    let (address, group) = (record.link_local, ip.dst);
    if ipv6::is_unspecified(address) {
        return Ok(0);
    }
    let headers = upper.off.wrapping_sub(L3_OFF).wrapping_add(UDP) as u32;
    let amount = Amount::behind(skb, L3_OFF, headers, u32::from(ip.payload_len).wrapping_add(ipv6::LEN as u32));
    let speaks = |ports| fwd_host_speaks6(skb, &address, &group, ports);
    if l4::has_ports(upper.proto) {
        refuse_as_host(uplink, ports, amount, speaks)?;
    }
    limit::admit((uplink, true), block, amount)?;
    Ok(upper.off as u32 | u32::from(upper.proto) << PROTO)
}

/// How far above the offset the protocol stands in what [`judge_v6`] returns.
const PROTO: u32 = 16;

#[inline(always)]
fn copy_v6(skb: Skb, uplink: u32, upper: u32) {
    let Some(record) = records::uplink(uplink) else { return };
    let (address, mac) = (record.link_local, record.mac);
    let bytes = skb.headers();
    let Ok(frame) = bytes.load::<12>(ethernet::field::DST) else { return };
    let Ok(source) = bytes.load::<16>(L3_OFF.wrapping_add(ipv6::field::SRC)) else { return };
    let Ok(group) = bytes.load::<16>(L3_OFF.wrapping_add(ipv6::field::DST)) else { return };
    let proto = (upper >> PROTO) as u8;
    let check = (upper & 0xffff).wrapping_add(check_field(proto));
    let to_group = ethernet::addresses(ethernet::of_group_v6(group), mac);
    if write_v6(skb, to_group, address) && change_sum(skb, check, proto, checksum::delta(source, address)) {
        redirect::copy(skb, uplink);
        change_sum(skb, check, proto, checksum::delta(address, source));
    }
    write_v6(skb, frame, source);
}

/// Writes both hardware addresses and the source. Whether it did.
#[inline(always)]
fn write_v6(skb: Skb, frame: [u8; 12], source: [u8; 16]) -> bool {
    let bytes = skb.headers();
    bytes.store(ethernet::field::DST, frame).is_ok()
        && bytes.store(L3_OFF.wrapping_add(ipv6::field::SRC), source).is_ok()
}

/// Changes the checksum at `check` by what another source adds to it. Whether it could be done.
#[inline(always)]
fn change_sum(skb: Skb, check: u32, proto: u8, delta: u32) -> bool {
    let _headers = skb.all_headers();
    by_helper_v6(skb, (check & 0xff) as usize, proto, ChangeV6 { delta, ports: 0, hops: false })
}
