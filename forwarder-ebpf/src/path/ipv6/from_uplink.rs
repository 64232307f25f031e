//! Ingress of an uplink: flow → translate back → deliver. What belongs to no flow is the host's.

use forwarder_common::{
    abi::{FlowVersion, Hook, ZONE_MAIN},
    decide::{
        forward,
        rewrite::{Side, Ttl},
    },
    types::{
        direction::Direction,
        verdict::{Code, DropReason, Verdict},
    },
    wire::{l4::tcp_flag, packet::L3_OFF},
};

use super::{announced, apply, guard, icmp_error, read::fwd_read6, unsolicited};
use crate::{
    kernel::{counters, maps::PACKET6, packet::skb::Skb, scratch::scratch},
    path::{
        apply::{Action, set_macs},
        arrival,
        at_uplink::{count_here, drop},
        fast, multicast,
        networks::any_routed_v6,
        rate,
        slow::clamp,
        tail_call::tail_call_ipv6_slow,
    },
    table::{
        ends::fwd_ends_compare,
        fragments::{check_v6, fwd_fragment6_complete},
        handshake,
        lookup::{self, Hit},
        state,
        usage::{is_published, may_be_external},
    },
};

/// Of a later fragment, which lacks its ports.
const LATER: Code = Verdict::Dropped(DropReason::Fragment).code();
/// What is neither an echo's answer nor of another protocol may be an error.
const ERROR: Code = Verdict::Dropped(DropReason::IcmpType).code();

/// A packet that arrives by an uplink with a link-layer header: the fast path, or else the slow one.
#[inline(always)]
pub(crate) fn from_uplink(skb: Skb) -> Action {
    match fast::ipv6::inbound(skb) {
        Some(action) => action,
        None => {
            tail_call_ipv6_slow(skb, Hook::FromUplink);
            if guard::fwd_guard6(skb, false) { Action::NEXT } else { Action::DROP }
        }
    }
}

/// The slow path.
#[inline(always)]
pub(crate) fn slow(skb: Skb) -> Action {
    multicast::arrives(skb, announced::kept_from_host(skb, sort(skb)))
}

/// The same, but for what is for an address that the host does not have.
#[inline(always)]
fn sort(skb: Skb) -> Action {
    if !guard::fwd_guard6(skb, false) {
        return Action::DROP;
    }
    match fwd_read6(skb, L3_OFF as u32, Direction::Inbound, ZONE_MAIN) {
        Ok(()) => with_ports(skb),
        Err(LATER) if fwd_fragment6_complete(skb.ifindex()).is_ok() => with_ports(skb),
        Err(LATER) => guard::of_no_flow(skb, DropReason::FragmentUnknown),
        Err(ERROR) => icmp_error::inbound(skb),
        Err(_) => Action::NEXT,
    }
}

/// A packet that begins no flow, for the reason with this code: dropped, or the host's.
#[inline(always)]
fn of_no_flow(skb: Skb, code: Code) -> Action {
    if code.is_drop() {
        count_here(skb, L3_OFF, code);
    }
    Action::unsent(code)
}

global_fn! {
    /// See [`send`].
    fn fwd_send6_in(skb: Skb, slot: u32, version: FlowVersion) -> i32 = send;
}

/// A packet that was read: it is of a flow, or the host's.
#[inline(always)]
fn with_ports(skb: Skb) -> Action {
    let Some(packet) = scratch(&PACKET6) else { return Action::NEXT };
    let tuple = &packet.tuple;
    let port = u16::from_ne_bytes(tuple.dport);
    if !may_be_external(port) && !is_published(tuple.proto, port) && !any_routed_v6() {
        return Action::NEXT;
    }
    let (mut slot, mut version) = lookup::fwd_find(Direction::Inbound, tuple);
    // Ports are published at addresses of the host alone.
    if version.is_none() && guard::refuses(skb, DropReason::DirectToEndpoint) {
        return Action::DROP;
    }
    if version.is_none() && packet.l4_len != 0 {
        (slot, version) = unsolicited::open(skb);
        if version.is_none() {
            return of_no_flow(skb, Code::from_raw(slot));
        }
    }
    if version.is_none() || !arrival::may_arrive(skb, slot) {
        return guard::of_no_flow(skb, DropReason::DirectToEndpoint);
    }
    if let Err(refused) = check_v6(skb, packet, Code::DELIVERED) {
        count_here(skb, L3_OFF, refused);
        return Action::unsent(refused);
    }
    Action::from_tc_action(fwd_send6_in(skb, slot, version))
}

/// Translates and delivers a packet of the flow in `slot`, whose version was `version`. What the program returns.
#[inline(always)]
fn send(skb: Skb, slot: u32, version: FlowVersion) -> i32 {
    if version.is_none() || !fwd_ends_compare(Direction::Inbound, slot) {
        return Action::NEXT.to_tc_action();
    }
    match lookup::copy(Direction::Inbound, slot, version) {
        Some(hit) => translate(skb, &hit),
        None => Action::NEXT,
    }
    .to_tc_action()
}

#[inline(always)]
fn translate(skb: Skb, hit: &Hit) -> Action {
    let Some(packet) = scratch(&PACKET6) else { return Action::NEXT };
    let amount = packet.amount(skb);
    state::note_segment(Direction::Inbound, hit, packet.segment(), amount);
    // As of IPv4, what the kernel must answer or receive is translated first: it would meet no socket.
    let target = forward::Target { out_if: hit.out_if, mtu: hit.mtu.into() };
    let code = forward::send(Direction::Inbound, packet.asked(skb), target);
    let delivers = code == Code::DELIVERED;
    if delivers && let Err(reason) = set_macs(&skb.headers(), hit.hop) {
        return drop(skb, L3_OFF, reason);
    }
    let hops = if delivers { Ttl::Decrement } else { Ttl::Keep };
    if let Err(refused) = apply::rewrite(skb, Side::Destination, hops, hit.port) {
        count_here(skb, L3_OFF, refused);
        return Action::DROP;
    }
    if !delivers {
        counters::count_code(hit.uplink_counters.into(), code, amount);
        return Action::NEXT;
    }
    if packet.tcp_flags & tcp_flag::SYN != 0 {
        handshake::note(Direction::Inbound, hit, packet.tcp_flags);
        clamp::fwd_clamp6(skb, hit.out_if, hit.slot.outbound().mtu().read().into());
    }
    counters::count(hit.counters.into(), Verdict::Delivered, amount);
    counters::count(hit.uplink_counters.into(), Verdict::Forwarded, amount);
    rate::into_namespace_slowly(hit.counters.into(), hit.out_if)
}
