//! Moves flows on. A slot's version changes by compare-and-exchange only: of two CPUs that want to promote or end the same flow,
//! one does.

use forwarder_common::{
    abi::{FlowSlot, FlowState, FlowVersion, flow_kind},
    flow::{self, Standing, TRACKED, Transition},
    types::direction::Direction,
    wire::{
        ipv4,
        l4::{self, Proto, tcp_flag},
    },
};

use crate::{
    kernel::{clock::now, counters::Amount, maps::config, shared::Shared, slots, values},
    table::lookup::Hit,
};

/// What a flow notes of a packet.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// Length of all headers, bytes.
    pub(crate) headers: u32,
    /// Protocol, as the tuple has it.
    pub(crate) proto: u8,
    /// Flags of TCP.
    pub(crate) flags: u8,
}

/// Notes a packet at its flow: counters, time, TCP flags, and what follows from them.
#[inline(always)]
pub(crate) fn touch(direction: Direction, hit: &Hit, ip: &ipv4::Header, l4: &l4::Header, amount: Amount) {
    let headers = ip.len.wrapping_add(l4.len) as u32;
    note_segment(direction, hit, Segment { headers, proto: l4.proto as u8, flags: l4.tcp_flags }, amount);
}

/// As [`touch`], whatever the packet is of.
#[inline(always)]
pub(crate) fn note_segment(direction: Direction, hit: &Hit, segment: Segment, amount: Amount) {
    let data = amount.bytes > segment.headers;
    let what = u32::from(segment.proto)
        | u32::from(segment.flags) << 8
        | (direction as u32) << DIRECTION
        | if data { DATA } else { 0 };
    let transition = fwd_flow_touch(hit.index, hit.version, what, amount.packets, amount.bytes);
    if transition != STAY {
        fwd_flow_advance(hit.index, hit.version, transition);
    }
}

global_fn! {
    /// See [`note`].
    fn fwd_flow_touch(index: u32, version: FlowVersion, what: u32, packets: u32, bytes: u32) -> u32 = note;
    /// See [`progress`].
    fn fwd_flow_progress(index: u32, version: FlowVersion, now: u32, direction: Direction) -> u32 = progress;
    /// See [`count_states`].
    pub(crate) fn fwd_count_states(counters: u32, from: FlowVersion, to: FlowVersion) -> () = count_states;
    /// See [`advance`].
    fn fwd_flow_advance(index: u32, version: FlowVersion, transition: u32) -> () = advance;
}

/// Notes a packet at the flow in slot `index`, whose version was `version`. In `what` are the protocol, above it the flags of a segment,
/// and above them its direction, and whether it has a payload. Returns the number of the [`Transition`] that follows.
#[inline(always)]
fn note(index: u32, version: FlowVersion, what: u32, packets: u32, bytes: u32) -> u32 {
    let Some(slot) = slots::slot(index) else { return STAY };
    // Another flow's that has the slot meanwhile: a flag of this one would end it.
    if !version.is_same_flow(slot.version().read_in_order()) {
        return STAY;
    }
    let (proto, flags, data, now) = (what as u8, (what >> 8) as u8, what & DATA != 0, now());
    let direction = Direction::of(what >> DIRECTION & 1);
    let half = slot.half(direction);
    half.packets().add(packets.into());
    half.bytes().add(bytes.into());
    slot.see_at(now);
    if proto == Proto::Tcp as u8 {
        let seen = see(slot, flags, direction);
        flow::advance(version.state(), seen, flow::Segment { flags, direction, data }) as u32
    } else if matches!(version.state(), FlowState::Established) {
        STAY
    } else {
        fwd_flow_progress(index, version, now, direction)
    }
}

const STAY: u32 = Transition::Stay as u32;
/// Bits of what [`fwd_flow_touch`] is told.
const DIRECTION: u32 = 16;
const DATA: u32 = 1 << 17;

/// Or-s the flags of a segment into those of its direction, which no other direction writes; returns both directions'.
#[inline(always)]
fn see(slot: Shared<FlowSlot>, flags: u8, direction: Direction) -> [u8; 2] {
    let (outbound, inbound) = (slot.outbound_flags().read(), slot.inbound_flags().read());
    let (before, own) =
        if direction.is_inbound() { (inbound, slot.inbound_flags()) } else { (outbound, slot.outbound_flags()) };
    let after = before | flags & TRACKED;
    if after != before {
        own.write(after);
    }
    if direction.is_inbound() { [outbound, after] } else { [after, inbound] }
}

/// What a packet does to the flow in slot `index`, which is not TCP and whose version is `version`; it goes in `direction`. Returns the
/// number of a [`Transition`].
#[inline(always)]
fn progress(index: u32, version: FlowVersion, now: u32, direction: Direction) -> u32 {
    let (Some(slot), Some(config)) = (slots::slot(index), config()) else { return STAY };
    let packets = [slot.outbound().packets().read(), slot.inbound().packets().read()];
    let (created, kind) = (slot.created().read(), slot.kind().read());
    // What strangers send to an open port is no conversation before the endpoint answers.
    let answered = kind != flow_kind::INBOUND || packets[0] != 0;
    let standing =
        if answered { flow::standing(packets, now.wrapping_sub(created), config.hz) } else { Standing::Unproven };
    flow::progress(version.state(), direction, standing) as u32
}

/// Counts that a flow of the endpoint with block `counters` went from the state in one version to that in another.
#[inline(always)]
fn count_states(counters: u32, from: FlowVersion, to: FlowVersion) {
    let (Some(alloc), Some(flows)) = (values::alloc(), values::flows_of(counters)) else { return };
    // Who established a flow has counted it when it was admitted.
    if from.is_established() && !to.is_established() {
        alloc.established().fetch_add(u32::MAX);
        flows.established().fetch_add(u32::MAX);
    }
    let changes = |was: bool, is: bool| u32::from(is).wrapping_sub(u32::from(was));
    let pends = changes(from.is_pending(), to.is_pending());
    if pends != 0 {
        flows.pending_of(counters).fetch_add(pends);
    }
    let is_one_way = |version: FlowVersion| matches!(version.state(), FlowState::OneWay);
    let streams = changes(is_one_way(from), is_one_way(to));
    if streams != 0 {
        alloc.one_way().fetch_add(streams);
    }
}

/// Counts one more established flow of the endpoint with block `counters`, unless that would be one too many for the table or
/// for the endpoint, or for the host itself, for which forwarded packets of others make flows, too.
#[inline(always)]
fn admit(counters: u32) -> bool {
    let (Some(alloc), Some(flows), Some(config)) = (values::alloc(), values::flows_of(counters), config()) else {
        return false;
    };
    // Counted before they are compared: of two CPUs that are at the limit, one is refused.
    let before = (alloc.established().fetch_add(1) as i32, flows.established().fetch_add(1) as i32);
    if before.0 < config.max_flows as i32 && before.1 < config.max_flows_per_endpoint as i32 {
        return true;
    }
    dismiss(counters);
    false
}

/// Takes off what [`admit`] counted.
#[inline(always)]
fn dismiss(counters: u32) {
    fwd_count_states(counters, FlowVersion::new(0, FlowState::Established), FlowVersion::NONE);
}

/// Performs a [`Transition`] (given as its number) of the flow in slot `index`, if its version is still `version`.
#[inline(always)]
fn advance(index: u32, version: FlowVersion, transition: u32) {
    let Some(slot) = slots::slot(index) else { return };
    let counters = slot.counters().read();
    let to = match transition {
        it if it == Transition::Close as u32 => FlowState::Closing,
        it if it == Transition::Reopen as u32 => FlowState::HalfOpen,
        it if it == Transition::Sustain as u32 => FlowState::OneWay,
        _ => FlowState::Established,
    };
    let establishes = to.is_established() && !version.is_established();
    if establishes && !admit(counters) {
        // Stays as it is, where it may be evicted: conversations are never pushed out.
        return;
    }
    let after = version.with_state(to);
    if !slot.version().replace(version, after) {
        if establishes {
            dismiss(counters);
        }
        return;
    }
    fwd_count_states(counters, version, after);
    // A flag that another CPU notes at this very moment may be lost; the next segment has it again.
    if transition == Transition::Reopen as u32 {
        slot.tcp_flags().write([tcp_flag::SYN, 0]);
    } else if transition == Transition::Revive as u32 || transition == Transition::Continue as u32 {
        let forged =
            if transition == Transition::Revive as u32 { tcp_flag::RST } else { tcp_flag::RST | tcp_flag::FIN };
        let inbound = slot.inbound_flags();
        inbound.write(inbound.read() & !forged);
    }
}
