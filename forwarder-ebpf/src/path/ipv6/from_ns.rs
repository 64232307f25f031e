//! Ingress of a host-side veth: validate → flow → translate → out by the uplink. What has no flow of its own the kernel forwards.

use forwarder_common::{
    abi::{FlowVersion, Hook},
    decide::{
        forward,
        offload::ChecksumState,
        rewrite::{Side, Ttl},
        validate::{
            discovery,
            ipv6::{self as validate, Frame},
        },
    },
    flow::is_route_old,
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason, Verdict},
    },
    wire::{
        ethernet,
        ipv6::field,
        l4::tcp_flag,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use super::{
    apply, icmp_error, notice, policy,
    read::{HEADERS, fwd_read6},
};
use crate::{
    kernel::{
        clock::now,
        counters,
        fib::fwd_link_mtu6,
        maps::{PACKET6, config},
        packet::{
            anywhere::Anywhere,
            skb::{Skb, ip_summed},
        },
        records,
        scratch::{Packet6, scratch},
        slots,
    },
    path::{
        apply::{Action, set_macs},
        at_ns::{count_here, counted, deliver, drop, refuse},
        bridgeless, fast, rate,
        route::{self, Resolution},
        slow::clamp,
        tail_call::tail_call_ipv6_slow,
    },
    table::{
        ends::fwd_ends_compare,
        fragments::{check_v6, fwd_fragment6_complete},
        handshake,
        lookup::{self, Hit},
        state,
    },
};

/// Of a later fragment, which lacks its ports.
const LATER: Code = Verdict::Dropped(DropReason::Fragment).code();

/// A packet that leaves a namespace: the fast path, or else the slow one.
#[inline(always)]
pub(crate) fn from_ns(skb: Skb) -> Action {
    match fast::ipv6::outbound(skb) {
        Some(action) => action,
        None => {
            tail_call_ipv6_slow(skb, Hook::FromNs);
            drop(skb, DropReason::Contended)
        }
    }
}

/// The slow path: to a neighbour, by its flow, or on to the bridge, if it is what it says. Who asks for the gateway is
/// answered at once.
#[inline(always)]
pub(crate) fn slow(skb: Skb) -> Action {
    const VALID: Code = Verdict::Punted(PuntReason::KernelIpv6).code();
    if rate::exceeds_slowly(skb) {
        return drop(skb, rate::EXCEEDED);
    }
    let code = fwd_validate_ipv6(skb);
    if !code.is_drop() && skb.ip_summed() == ip_summed::PARTIAL && fwd_misplaces_checksum6(skb) {
        return drop(skb, DropReason::ChecksumOffload);
    }
    if code != VALID {
        return refuse(skb, code);
    }
    if fwd_answer_solicitation(skb, fwd_asks_for_neighbour(skb)) {
        count_here(skb, code);
        return Action::device(skb.ifindex());
    }
    match fwd_read6(skb, L3_OFF as u32, Direction::Outbound, skb.ifindex()) {
        Ok(()) => with_ports(skb),
        Err(LATER) if fwd_fragment6_complete(skb.ifindex()).is_ok() => with_ports(skb),
        Err(reason) => without_ports(skb, reason),
    }
}

global_fn! {
    /// See [`validate_frame`].
    fn fwd_validate_ipv6(skb: Skb) -> Code = validate_frame;
    /// See [`misplaces_checksum`].
    fn fwd_misplaces_checksum6(skb: Skb) -> bool = misplaces_checksum;
    /// See [`answer_solicitation`].
    fn fwd_answer_solicitation(skb: Skb, is_neighbour: bool) -> bool = answer_solicitation;
    /// See [`asks_for_neighbour`].
    fn fwd_asks_for_neighbour(skb: Skb) -> bool = asks_for_neighbour;
    /// See [`decide`].
    fn fwd_decide6_out(skb: Skb, slot: u32, version: FlowVersion) -> Code = decide;
    /// See [`send`].
    fn fwd_send6_out(skb: Skb, slot: u32, version: FlowVersion, straight: bool) -> i32 = send;
}

/// Validates a frame of a namespace: the code of a punt, or of the reason to drop it.
#[inline(always)]
fn validate_frame(skb: Skb) -> Code {
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return DropReason::NoEndpoint.into() };
    validate::outbound(&Anywhere(skb), frame(skb), endpoint)
}

#[inline(always)]
fn frame(skb: Skb) -> Frame {
    Frame { length: skb.len() as usize, is_segmented: skb.gso_size() != 0 }
}

/// Whether a device, or the kernel in its place, would write the checksum that is left to it over what the kernel reads or translates:
/// whatever becomes of the packet, as of IPv4.
#[inline(always)]
fn misplaces_checksum(skb: Skb) -> bool {
    let state = validate::checksum_state(&Anywhere(skb), frame(skb), skb.partial_checksum());
    state as u32 == ChecksumState::Misplaced as u32
}

/// Whether a solicitation is for a neighbour that the gateway answers for, because there is no bridge.
#[inline(always)]
fn asks_for_neighbour(skb: Skb) -> bool {
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return false };
    let Ok(asked) = Anywhere(skb).load::<16>(discovery::TARGET) else { return false };
    bridgeless::answers_for(skb, endpoint, asked)
}

/// Makes of a solicitation for the gateway's hardware address the answer: the bridge would tell its own; and of one for a neighbour's, where there is
/// no bridge. Whether it did.
#[inline(always)]
fn answer_solicitation(skb: Skb, is_neighbour: bool) -> bool {
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return false };
    let Some(network) = records::network(endpoint.network) else { return false };
    let (mac, gateway) = (endpoint.gateway_mac, network.gateway_v6);
    if network.gateway_mac == mac {
        return false;
    }
    let asked = if is_neighbour { Anywhere(skb).load::<16>(discovery::TARGET) } else { Ok(gateway) };
    let Ok(addr) = asked else { return false };
    let Some(answer) = discovery::answer(&Anywhere(skb), mac, addr, !is_neighbour) else { return false };
    let bytes = skb.all_headers();
    let stored = bytes.store(ethernet::field::DST, answer.to_mac).is_ok()
        && bytes.store(ethernet::field::SRC, mac).is_ok()
        && bytes.store(L3_OFF.wrapping_add(field::SRC), addr).is_ok()
        && bytes.store(L3_OFF.wrapping_add(field::DST), answer.to).is_ok()
        && bytes.store(discovery::MESSAGE, answer.head).is_ok();
    stored && (!answer.has_option || bytes.store(discovery::OPTION, answer.option).is_ok())
}

/// A packet that does not name its flow by ports of its own, for the reason with this code.
#[inline(always)]
fn without_ports(skb: Skb, reason: Code) -> Action {
    if reason == DropReason::IcmpType.into()
        && let Some(action) = icmp_error::outbound(skb)
    {
        return action;
    }
    // The ends of an error that is about no flow are those of the packet that it embeds.
    if reason == DropReason::IcmpType.into()
        && fwd_read6(skb, L3_OFF as u32, Direction::Outbound, skb.ifindex()).is_ok()
    {
        return drop(skb, DropReason::Contended);
    }
    deliver_or_refuse(skb, route::ipv6::resolve(skb))
}

/// What is not sent by a flow.
#[inline(always)]
fn deliver_or_refuse(skb: Skb, resolution: Resolution) -> Action {
    let code = match resolution {
        Resolution::Neighbour(peer) => match policy::between(skb, peer) {
            Ok(()) => return deliver(skb, peer, HEADERS),
            Err(denied) => denied,
        },
        Resolution::Refused(code) if code == PuntReason::KernelIpv6.into() => match policy::on_link(skb) {
            Ok(()) => code,
            Err(denied) => denied,
        },
        Resolution::Refused(code) => code,
        // Whoever comes here has looked for that.
        Resolution::Flow(_) => DropReason::Contended.into(),
    };
    if code == DropReason::UplinkUnguarded.into() {
        return notice::prohibited(skb);
    }
    refuse(skb, code)
}

/// A packet that was read: its flow is found, or made.
#[inline(always)]
fn with_ports(skb: Skb) -> Action {
    let (Some(packet), Some(config)) = (scratch(&PACKET6), config()) else { return drop(skb, DropReason::Contended) };
    let tuple = &packet.tuple;
    let hash = lookup::hash(tuple);
    let (mut slot, mut version) = lookup::fwd_find_cached(Direction::Outbound, tuple, hash);
    if version.is_none() && packet.l4_len == 0 {
        // The cache need not have it.
        (slot, version) = lookup::fwd_indexed(Direction::Outbound, tuple, hash);
        if version.is_none() {
            // The flow of the first fragment has gone.
            return drop(skb, DropReason::FragmentUnknown);
        }
    }
    if version.is_none() {
        slot = match route::ipv6::open(skb, tuple, packet.tcp_flags) {
            Resolution::Flow(slot) => slot,
            other => return deliver_or_refuse(skb, other),
        };
        version = lookup::matches(Direction::Outbound, slot, tuple);
    }
    let now = now();
    let is_old = slots::slot(slot).is_some_and(|slot| is_route_old(slot.route_checked().read(), now, config.hz));
    if is_old {
        slot = match route::ipv6::refresh(skb, tuple, slot, now, packet.tcp_flags) {
            Resolution::Flow(slot) => slot,
            other => return deliver_or_refuse(skb, other),
        };
        version = lookup::matches(Direction::Outbound, slot, tuple);
    }
    // Of a fragment is noted where it goes: the others of its packet go no other way.
    if packet.fragment_off != 0
        && let Err(refused) = check_v6(skb, packet, fwd_decide6_out(skb, slot, version))
    {
        return refuse(skb, refused);
    }
    // The packet that looks the route up goes by the neighbour table, once a second, which keeps the entry there fresh.
    let code = fwd_send6_out(skb, slot, version, !is_old);
    if code == TOO_BIG { notice::too_big(skb, slot) } else { Action::from_tc_action(code) }
}

/// What becomes of a packet of the flow in `slot`, whose version was `version`.
#[inline(always)]
fn decide(skb: Skb, slot: u32, version: FlowVersion) -> Code {
    let Some(packet) = scratch(&PACKET6) else { return DropReason::Contended.into() };
    let Some(hit) = lookup::copy(Direction::Outbound, slot, version) else { return DropReason::Contended.into() };
    forward::send(Direction::Outbound, packet.asked(skb), target(skb, packet, &hit))
}

/// Where a packet goes by its flow. About one with extension headers nobody is told, and the kernel, which would send it in spite of what the
/// route asks for, would translate it to another port: so it goes as the link takes it.
#[inline(always)]
fn target(skb: Skb, packet: &Packet6, hit: &Hit) -> forward::Target {
    let (has_extensions, mtu) = (packet.next_header != packet.number, hit.mtu.into());
    let mtu = if has_extensions { fwd_link_mtu6(skb, hit.out_if).max(mtu) } else { mtu };
    forward::Target { out_if: hit.out_if, mtu }
}

/// Translates and sends a packet of the flow in `slot`, whose version was `version`: straight to the hardware addresses that the flow knows,
/// or by the neighbour table. What the program returns.
#[inline(always)]
fn send(skb: Skb, slot: u32, version: FlowVersion, straight: bool) -> i32 {
    if version.is_none() || !fwd_ends_compare(Direction::Outbound, slot) {
        return drop(skb, DropReason::Contended).to_tc_action();
    }
    // One after the other: of the two as a pair LLVM keeps what is not there yet, which the verifier refuses to read.
    let Some(packet) = scratch(&PACKET6) else { return drop(skb, DropReason::Contended).to_tc_action() };
    let Some(hit) = lookup::copy(Direction::Outbound, slot, version) else {
        return drop(skb, DropReason::Contended).to_tc_action();
    };
    let code = forward::send(Direction::Outbound, packet.asked(skb), target(skb, packet, &hit));
    if code == PuntReason::TooBig.into() {
        return TOO_BIG;
    }
    if code != Code::FORWARDED {
        // The kernel answers what it would not forward either.
        return refuse(skb, code).to_tc_action();
    }
    translate(skb, packet, &hit, straight && hit.knows_macs()).to_tc_action()
}

/// What [`send`] returns where the packet is larger than its way takes, and nothing has been done about it: no action of a program. Its sender is
/// told with less on the stack.
const TOO_BIG: i32 = i32::MIN;

#[inline(always)]
fn translate(skb: Skb, packet: &Packet6, hit: &Hit, straight: bool) -> Action {
    let amount = packet.amount(skb);
    state::note_segment(Direction::Outbound, hit, packet.segment(), amount);
    if packet.tcp_flags & tcp_flag::SYN != 0 {
        handshake::note(Direction::Outbound, hit, packet.tcp_flags);
        clamp::fwd_clamp6(skb, packet.tuple.ifindex, hit.mtu.into());
    }
    if straight && let Err(reason) = set_macs(&skb.headers(), hit.hop) {
        return drop(skb, reason);
    }
    if let Err(refused) = apply::rewrite(skb, Side::Source, Ttl::Decrement, hit.port) {
        return counted(skb, refused);
    }
    counters::count(hit.counters.into(), Verdict::Forwarded, amount);
    if straight {
        return Action::device(hit.out_if);
    }
    match hit.next_hop() {
        Some(next_hop) => Action::neighbour(hit.out_if, next_hop),
        None => drop(skb, DropReason::Contended),
    }
}
