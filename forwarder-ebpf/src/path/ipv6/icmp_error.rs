//! Errors of ICMPv6, as those of ICMP in [`crate::path::slow`]: they belong to the flow of the packet that they embed, and outer and embedded
//! header are translated. They neither refresh nor end the flow.
//!
//! In steps that are global functions. The hooks come here only when the parser has found ICMPv6 that is no echo. What is looked for are the
//! ends of the answer to the embedded packet: they stand in the map `PACKET6`, as those of a packet do that was read.

use forwarder_common::{
    abi::{FlowVersion, Hook, ZONE_MAIN},
    decide::{
        forward,
        icmp_error::ipv6::{self as icmp_error, EmbeddedRewrite},
        rewrite::Side,
    },
    types::{
        checksum::{delta, fold32},
        direction::Direction,
        verdict::{Code, DropReason, PuntReason, Verdict},
    },
    wire::{extension, header_words::ipv6::ONE_HOP_SUM, icmpv6, ipv6, packet::L3_OFF},
};

use super::{apply, read};
use crate::{
    kernel::{
        counters::{self, Amount},
        maps::{ICMP_ERROR6, PACKET6},
        packet::{
            anywhere::Anywhere,
            bytes::Bytes,
            l3_off,
            skb::{Skb, ip_summed},
            verify_checksum::fwd_verify_checksum,
        },
        records,
        scratch::{IcmpError6, Packet6, scratch},
    },
    path::{
        apply::{Action, set_macs},
        arrival, at_ns, at_uplink,
        networks::in_fwd_network_v6,
        rate,
    },
    table::{
        ends::fwd_ends_compare,
        fragments::id_mask_v6,
        lookup::{self, Hit},
        usage::host_has_flows,
    },
};

/// The slot of a flow and its version; or no version, and the code of the reason to drop the packet.
type Found = (u32, FlowVersion);

/// Where the network header is.
const ETHERNET: u32 = L3_OFF as u32;

/// Bytes that are read and written: up to the checksum of TCP behind two headers, of which the embedded one has the longest chain.
const READ: u32 = (L3_OFF + 2 * ipv6::LEN + icmpv6::LEN + extension::LONGEST + 18) as u32;
const _: () = assert!(READ < 256);

global_fn! {
    /// See [`read_error`].
    pub(super) fn fwd_icmp6_error_read(skb: Skb, l3: u32) -> Result<(), Code> = read_error;
    /// See [`flow_of`].
    fn fwd_icmp6_error_flow(skb: Skb, hook: Hook) -> Found = flow_of;
    /// See [`flow_of_host`].
    fn fwd_icmp6_error_flow_of_host(host_has_flows: bool) -> Found = flow_of_host;
    /// See [`verify`].
    fn fwd_icmp6_error_verify(skb: Skb) -> bool = verify;
    /// See [`classify`].
    fn fwd_icmp6_error_classify(slot: u32, version: FlowVersion, hook: Hook) -> Code = classify;
    /// See [`rewrite`].
    fn fwd_icmp6_error_rewrite(skb: Skb, slot: u32, version: FlowVersion, how: u32) -> bool = rewrite;
    /// See [`send`].
    fn fwd_icmp6_error_send(skb: Skb, slot: u32, version: FlowVersion, direction: Direction) -> i32 = send;
}

/// ICMPv6 other than an echo that leaves a namespace, and was validated: an error about what was delivered into it is sent as its flow is.
/// `None` for anything else, which may still go to a neighbour or to the host.
#[inline(always)]
pub(super) fn outbound(skb: Skb) -> Option<Action> {
    let (slot, version) = find(skb, Hook::FromNs);
    if version.is_none() {
        return None;
    }
    let code = translate(skb, slot, version, Hook::FromNs);
    Some(if code == Code::FORWARDED {
        Action::from_tc_action(fwd_icmp6_error_send(skb, slot, version, Direction::Outbound))
    } else {
        at_ns::refuse(skb, code)
    })
}

/// ICMPv6 other than the answer to an echo that arrives by an uplink: an error about what a flow has sent, or the host's.
#[inline(always)]
pub(super) fn inbound(skb: Skb) -> Action {
    let (slot, version) = find(skb, Hook::FromUplink);
    if version.is_none() {
        return Action::NEXT;
    }
    let code = translate(skb, slot, version, Hook::FromUplink);
    if code == Code::DELIVERED {
        return Action::from_tc_action(fwd_icmp6_error_send(skb, slot, version, Direction::Inbound));
    }
    at_uplink::count_here(skb, L3_OFF, code);
    Action::unsent(code)
}

/// An error of the host itself on its way out by an uplink: about a packet that was translated on its way in, the sender must see the packet
/// that it sent. Returns the code of the verdict.
#[inline(always)]
pub(super) fn of_host(skb: Skb) -> Code {
    if fwd_icmp6_error_read(skb, ETHERNET).is_err() {
        return Code::PASS;
    }
    let (slot, version) = fwd_icmp6_error_flow_of_host(host_has_flows());
    if version.is_none() {
        return Code::from_raw(slot);
    }
    if fwd_icmp6_error_rewrite(skb, slot, version, Direction::Outbound as u32 | EMBEDDED_ALONE) {
        PuntReason::IcmpError.into()
    } else {
        DropReason::Contended.into()
    }
}

/// The error that [`read_error`] has read.
#[inline(always)]
pub(super) fn error() -> Option<&'static IcmpError6> {
    scratch(&ICMP_ERROR6).map(|error| &*error)
}

/// Reads the error with its network header at `l3` into the map `ICMP_ERROR6`, and its ends into the map `PACKET6`.
#[inline(always)]
fn read_error(skb: Skb, l3: u32) -> Result<(), Code> {
    let Some(IcmpError6 { ip, end, embedded, moved }) = scratch(&ICMP_ERROR6) else {
        return Err(DropReason::Contended.into());
    };
    let Some(packet) = scratch(&PACKET6) else { return Err(DropReason::Contended.into()) };
    let bytes = Anywhere(skb);
    *ip = ipv6::parse(&bytes, l3_off(l3))?;
    *end = read::end(skb, ip)?;
    let upper = extension::walk(&bytes, ip, *end)?;
    // No error has extension headers of its own in front, and what is embedded stays where the first bytes are.
    if upper.off != ip.payload_off() {
        return Err(DropReason::IcmpType.into());
    }
    let inner = icmp_error::embedded_header(&bytes, &upper, *end)?;
    *embedded = icmp_error::parse(&bytes, upper.off, *end, inner)?;
    *moved = delta(ip.src, embedded.ip.dst);
    packet.l3 = l3;
    packet.hop_limit = ip.hop_limit;
    packet.src = embedded.ip.dst;
    packet.dst = embedded.ip.src;
    Ok(())
}

/// Completes the ends in the map `PACKET6` by the ports of what the error embeds that was read. Whether there are any ends.
#[inline(always)]
pub(super) fn take_ports() -> bool {
    let (Some(IcmpError6 { embedded, .. }), Some(packet)) = (error(), scratch(&PACKET6)) else { return false };
    packet.number = embedded.upper.proto;
    packet.tuple.sport = embedded.l4.dst_port;
    packet.tuple.dport = embedded.l4.src_port;
    true
}

/// Finds the flow that an error is about; see [`Found`].
#[inline(always)]
fn find(skb: Skb, hook: Hook) -> Found {
    match fwd_icmp6_error_read(skb, ETHERNET) {
        Ok(()) => fwd_icmp6_error_flow(skb, hook),
        Err(code) => (code.raw(), FlowVersion::NONE),
    }
}

/// Finds the flow of the error that was read.
#[inline(always)]
fn flow_of(skb: Skb, hook: Hook) -> Found {
    const NONE: Found = (DropReason::IcmpType as u32, FlowVersion::NONE);
    let Some(IcmpError6 { ip, embedded, .. }) = error() else { return NONE };
    let direction = hook.direction();
    // What the flow has sent was a request, and what it was sent was a reply. The error is for who sent what it is about.
    if !ipv6::is_same(ip.dst, embedded.ip.src) || !embedded.is_none_or(direction.is_inbound()) {
        return NONE;
    }
    let entry = if direction.is_inbound() { ZONE_MAIN } else { skb.ifindex() };
    let (slot, version) = answered(direction, entry);
    if version.is_none() || direction.is_inbound() && !arrival::may_arrive(skb, slot) {
        return NONE;
    }
    (slot, version)
}

/// Finds the flow that an error of the host, which may have flows of its own, is about; see [`Found`]. The code is that of [`Verdict::Pass`] if
/// it is about none of ours.
#[inline(always)]
fn flow_of_host(host_has_flows: bool) -> Found {
    const PASS: Found = (Verdict::Pass.code().raw(), FlowVersion::NONE);
    let untranslated = (DropReason::Untranslated as u32, FlowVersion::NONE);
    let Some(IcmpError6 { embedded, .. }) = error() else { return PASS };
    let entry = if in_fwd_network_v6(embedded.ip.dst) {
        match records::host_veth_at(embedded.ip.dst) {
            Some(host_veth) => host_veth,
            None => return untranslated,
        }
    } else if host_has_flows {
        0
    } else {
        return PASS;
    };
    match answered(Direction::Outbound, entry) {
        // What the kernel's conntrack has translated, it translates in the error too.
        (_, version) if version.is_none() => PASS,
        found => found,
    }
}

/// The flow whose packets in `direction`, which enter by `entry`, answer the embedded one: see [`Found`]. The map `PACKET6` has what is to be
/// written from then on.
#[inline(always)]
fn answered(direction: Direction, entry: u32) -> Found {
    const NONE: Found = (DropReason::IcmpType as u32, FlowVersion::NONE);
    let Some(IcmpError6 { embedded, .. }) = error() else { return NONE };
    let Some(packet) = scratch(&PACKET6) else { return NONE };
    let ports = (embedded.l4.dst_port, embedded.l4.src_port);
    packet.number = embedded.upper.proto;
    packet.name(direction, ports, entry);
    let (slot, version) = lookup::fwd_indexed(direction, &packet.tuple, lookup::hash(&packet.tuple));
    if version.is_none() || !fwd_ends_compare(direction, slot) {
        return NONE;
    }
    (slot, version)
}

/// Translates an error by its flow. Returns the code of the verdict.
#[inline(always)]
fn translate(skb: Skb, slot: u32, version: FlowVersion, hook: Hook) -> Code {
    // Nobody leaves the checksum of an error to a device, which would write over what is about to be looked at.
    if skb.ip_summed() == ip_summed::PARTIAL {
        return DropReason::ChecksumOffload.into();
    }
    if !fwd_icmp6_error_verify(skb) {
        return DropReason::Malformed.into();
    }
    let code = fwd_icmp6_error_classify(slot, version, hook);
    // Outbound the kernel gets what it must answer as it was.
    if code.is_drop() || matches!(hook, Hook::FromNs) && code != Code::FORWARDED {
        return code;
    }
    let how = hook.direction() as u32 | if code.is_punt() { KEEP } else { 0 };
    if fwd_icmp6_error_rewrite(skb, slot, version, how) { code } else { DropReason::Contended.into() }
}

/// Whether the error sums up with its checksum (RFC 5508 REQ-3), pseudo-header included.
#[inline(always)]
fn verify(skb: Skb) -> bool {
    let Some(IcmpError6 { ip, end, .. }) = error() else { return false };
    let (off, end) = (ip.payload_off() as u32, *end as u32);
    let length = end.wrapping_sub(off);
    let pseudo = u16::from_ne_bytes(ip.pseudo_sum(icmpv6::PROTO, length));
    fwd_verify_checksum(skb, off, length, pseudo.into())
}

/// What becomes of an error: the code of the verdict.
#[inline(always)]
fn classify(slot: u32, version: FlowVersion, hook: Hook) -> Code {
    let Some(IcmpError6 { ip, .. }) = error() else { return DropReason::Contended.into() };
    let Some(Hit { out_if, .. }) = lookup::copy(hook.direction(), slot, version) else {
        return DropReason::Contended.into();
    };
    // No error is larger than the smallest MTU (RFC 4443 §2.4).
    let packet = forward::Packet { ttl_expires: ip.hop_limit <= 1, size: 0 };
    forward::send(hook.direction(), packet, forward::Target { out_if, mtu: u32::MAX })
}

/// Above the direction in what [`rewrite`] is told: the hop limit stays.
const KEEP: u32 = 1 << 8;
/// The outer header stays as it is.
const EMBEDDED_ALONE: u32 = 1 << 9;

/// Translates the packet that the error embeds, and the outer header; false if the flow has gone meanwhile.
#[inline(always)]
fn rewrite(skb: Skb, slot: u32, version: FlowVersion, how: u32) -> bool {
    let direction = Direction::of(how & 1);
    let Some(Hit { slot, port, .. }) = lookup::copy(direction, slot, version) else { return false };
    let Some(packet) = scratch(&PACKET6) else { return false };
    let Some(IcmpError6 { embedded, moved, .. }) = error() else { return false };
    let (alone, hops) = (how & EMBEDDED_ALONE != 0, how & KEEP == 0);
    // Inbound it is for whom the embedded packet came from.
    let moved = if direction.is_inbound() { 0 } else { *moved };
    let outer = if alone { 0 } else { fold32(u64::from(moved).wrapping_add(packet.delta.into())) };
    // The embedded packet goes the other way.
    let mut change = embedded.rewrite(Side::of(direction).opposite(), packet.delta, port, outer);
    if direction.is_inbound() && embedded.upper.fragment {
        change = change.unmasked(embedded, id_mask_v6(&slot.outbound().tuple().read()));
    }
    let bytes = skb.at_least(READ);
    if write_embedded(&bytes, packet, &change).is_err() {
        return false;
    }
    if alone {
        return true;
    }
    if hops {
        // What else changes in the packet, its checksum takes up.
        skb.add_to_sum(ONE_HOP_SUM);
    }
    apply::write_header(&bytes, packet, !direction.is_inbound(), hops).is_ok()
}

#[inline(always)]
fn write_embedded(bytes: &Bytes, packet: &Packet6, change: &EmbeddedRewrite) -> Result<(), DropReason> {
    let EmbeddedRewrite { addr_off, port, id, l4_check, icmp_check } = *change;
    bytes.store(addr_off, packet.to)?;
    if port.0 != 0 {
        bytes.store(port.0, port.1)?;
    }
    if id.0 != 0 {
        bytes.store(id.0, id.1)?;
    }
    if l4_check.0 != 0 {
        bytes.store(l4_check.0, l4_check.1)?;
    }
    bytes.store(icmp_check.0, icmp_check.1)
}

/// Sends a translated error where its flow goes in `direction`, and counts it. Returns what the program returns.
#[inline(always)]
fn send(skb: Skb, slot: u32, version: FlowVersion, direction: Direction) -> i32 {
    let amount = Amount::whole(skb, L3_OFF);
    let Some(hit) = lookup::copy(direction, slot, version) else {
        return at_uplink::drop(skb, L3_OFF, DropReason::Contended).to_tc_action();
    };
    if direction.is_inbound() {
        if let Err(reason) = set_macs(&skb.headers(), hit.hop) {
            return at_uplink::drop(skb, L3_OFF, reason).to_tc_action();
        }
        counters::count(hit.counters.into(), Verdict::Delivered, amount);
        counters::count(hit.uplink_counters.into(), Verdict::Forwarded, amount);
        return rate::into_namespace_slowly(hit.counters.into(), hit.out_if).to_tc_action();
    }
    counters::count(hit.counters.into(), Verdict::Forwarded, amount);
    match hit.next_hop() {
        Some(next_hop) => Action::neighbour(hit.out_if, next_hop),
        None => at_ns::drop(skb, DropReason::Contended),
    }
    .to_tc_action()
}
