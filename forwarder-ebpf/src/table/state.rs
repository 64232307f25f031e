//! Moves flows on. A slot's version changes by compare-and-exchange only: of two CPUs that want to promote or end the same flow,
//! one does.

use forwarder_common::{
    abi::{FlowShared, FlowState, FlowVersion, flow_kind},
    flow::{self, Segment, Standing, TRACKED, Transition},
    types::direction::Direction,
    wire::{
        ipv4,
        l4::{self, Proto, tcp_flag},
    },
};

use crate::{
    kernel::{
        atomic::{add64, fetch_add32, replace_version},
        clock::now,
        counters::Amount,
        maps::{ENDPOINT_FLOWS, FLOW_ALLOC, FLOW_SLOTS, config},
    },
    table::lookup::{self, Hit},
};

/// Notes a packet at its flow: counters, time, TCP flags, and what follows from them.
#[inline(always)]
pub(crate) fn touch(direction: Direction, hit: &Hit, ip: &ipv4::Header, l4: &l4::Header, amount: Amount) {
    let data = amount.bytes > ip.len.wrapping_add(l4.len) as u32;
    let what =
        l4.proto as u32 | u32::from(l4.tcp_flags) << 8 | (direction as u32) << DIRECTION | if data { DATA } else { 0 };
    let transition = fwd_flow_touch(hit.index, hit.version.raw(), what, amount.packets, amount.bytes);
    if transition != STAY {
        fwd_flow_advance(hit.index, hit.version.raw(), transition);
    }
}

/// Notes a packet at the flow in slot `index`, whose version was `version`. In `what` are the protocol, above it the flags of a segment,
/// and above them its direction, and whether it has a payload. Returns the number of the [`Transition`] that follows.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_flow_touch(index: u32, version: u32, what: u32, packets: u32, bytes: u32) -> u32 {
    let Some(slot) = FLOW_SLOTS.get_ptr_mut(index) else { return STAY };
    let (proto, flags, data, now) = (what as u8, (what >> 8) as u8, what & DATA != 0, now());
    let direction = Direction::of(what >> DIRECTION & 1);
    // SAFETY: fields of an element of the map; each flags byte is written by its own direction only, the time by whoever is later.
    let seen = unsafe {
        let half = lookup::half(slot, direction);
        add64(&raw mut (*half).packets, packets.into());
        add64(&raw mut (*half).bytes, bytes.into());
        let last_seen = &raw mut (*slot).shared.last_seen;
        if last_seen.read_volatile() != now {
            last_seen.write_volatile(now);
        }
        if proto == Proto::Tcp as u8 { see(&raw mut (*slot).shared, flags, direction) } else { [0, 0] }
    };
    if proto == Proto::Tcp as u8 {
        flow::advance(FlowVersion::from_raw(version).state(), seen, Segment { flags, direction, data }) as u32
    } else if matches!(FlowVersion::from_raw(version).state(), FlowState::Established) {
        STAY
    } else {
        fwd_flow_progress(index, version, now, direction as u32)
    }
}

const STAY: u32 = Transition::Stay as u32;
/// Bits of what [`fwd_flow_touch`] is told.
const DIRECTION: u32 = 16;
const DATA: u32 = 1 << 17;

/// Or-s the flags of a segment into those of its direction; returns both directions'.
///
/// # Safety
/// `shared` points into a slot.
#[inline(always)]
unsafe fn see(shared: *mut FlowShared, flags: u8, direction: Direction) -> [u8; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let both = (&raw mut (*shared).tcp_flags).cast::<u8>();
        let (outbound, inbound) = (both.read_volatile(), both.add(1).read_volatile());
        let (before, own) = if direction.is_inbound() { (inbound, both.add(1)) } else { (outbound, both) };
        let after = before | flags & TRACKED;
        if after != before {
            own.write_volatile(after);
        }
        if direction.is_inbound() { [outbound, after] } else { [after, inbound] }
    }
}

/// What a packet does to the flow in slot `index`, which is not TCP and whose version is `version`; it goes in `direction`. Returns the
/// number of a [`Transition`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_flow_progress(index: u32, version: u32, now: u32, direction: u32) -> u32 {
    let (Some(slot), Some(config)) = (FLOW_SLOTS.get_ptr(index), config()) else { return 0 };
    // SAFETY: fields of the slot.
    let (packets, created, kind) = unsafe {
        let (outbound, inbound) = (&raw const (*slot).outbound.packets, &raw const (*slot).inbound.packets);
        ([outbound.read_volatile(), inbound.read_volatile()], (*slot).shared.created, (*slot).shared.kind)
    };
    // What strangers send to an open port is no conversation before the endpoint answers.
    let answered = kind != flow_kind::INBOUND || packets[0] != 0;
    let standing =
        if answered { flow::standing(packets, now.wrapping_sub(created), config.hz) } else { Standing::Unproven };
    flow::progress(FlowVersion::from_raw(version).state(), Direction::of(direction), standing) as u32
}

/// Counts that a flow of the endpoint with block `counters` went from the state in one version to that in another. Returns 0.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_count_states(counters: u32, from: u32, to: u32) -> u32 {
    let (from, to) = (FlowVersion::from_raw(from), FlowVersion::from_raw(to));
    let (Some(alloc), Some(flows)) = (FLOW_ALLOC.get_ptr_mut(0), ENDPOINT_FLOWS.get_ptr_mut(counters)) else {
        return 0;
    };
    // SAFETY: elements of the maps.
    let (all, own, pending, one_way) = unsafe {
        let (all, one_way) = (&raw mut (*alloc).established, &raw mut (*alloc).one_way);
        (all, &raw mut (*flows).established, &raw mut (*flows).pending, one_way)
    };
    // Who established a flow has counted it when it was admitted.
    if from.is_established() && !to.is_established() {
        fetch_add32(all, u32::MAX);
        fetch_add32(own, u32::MAX);
    }
    let changes = |was: bool, is: bool| u32::from(is).wrapping_sub(u32::from(was));
    let pends = changes(from.is_pending(), to.is_pending());
    if pends != 0 {
        fetch_add32(pending, pends);
    }
    let is_one_way = |version: FlowVersion| matches!(version.state(), FlowState::OneWay);
    let streams = changes(is_one_way(from), is_one_way(to));
    if streams != 0 {
        fetch_add32(one_way, streams);
    }
    0
}

/// Counts one more established flow of the endpoint with block `counters`, unless that would be one too many for the table or
/// for the endpoint, or for the host itself, for which forwarded packets of others make flows, too.
#[inline(always)]
fn admit(counters: u32) -> bool {
    let (Some(alloc), Some(flows), Some(config)) =
        (FLOW_ALLOC.get_ptr_mut(0), ENDPOINT_FLOWS.get_ptr_mut(counters), config())
    else {
        return false;
    };
    // SAFETY: elements of the maps.
    let (all, own) = unsafe { (&raw mut (*alloc).established, &raw mut (*flows).established) };
    // Counted before they are compared: of two CPUs that are at the limit, one is refused.
    let before = (fetch_add32(all, 1) as i32, fetch_add32(own, 1) as i32);
    if before.0 < config.max_flows as i32 && before.1 < config.max_flows_per_endpoint as i32 {
        return true;
    }
    dismiss(counters);
    false
}

/// Takes off what [`admit`] counted.
#[inline(always)]
fn dismiss(counters: u32) {
    fwd_count_states(counters, FlowState::Established as u32, FlowState::Free as u32);
}

/// Performs a [`Transition`] (given as its number) of the flow in slot `index`, if its version is still `version`.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_flow_advance(index: u32, version: u32, transition: u32) -> u32 {
    let Some(slot) = FLOW_SLOTS.get_ptr_mut(index) else { return 0 };
    // SAFETY: an element of the map.
    let (current, counters, flags) = unsafe {
        let shared = &raw mut (*slot).shared;
        (&raw mut (*shared).version, (*shared).counters, &raw mut (*shared).tcp_flags)
    };
    let to = match transition {
        it if it == Transition::Close as u32 => FlowState::Closing,
        it if it == Transition::Reopen as u32 => FlowState::HalfOpen,
        it if it == Transition::Sustain as u32 => FlowState::OneWay,
        _ => FlowState::Established,
    };
    let version = FlowVersion::from_raw(version);
    let establishes = to.is_established() && !version.is_established();
    if establishes && !admit(counters) {
        // Stays as it is, where it may be evicted: conversations are never pushed out.
        return 0;
    }
    let after = version.with_state(to);
    if !replace_version(current, version, after) {
        if establishes {
            dismiss(counters);
        }
        return 0;
    }
    fwd_count_states(counters, version.raw(), after.raw());
    // SAFETY: bytes of the slot. A flag that another CPU notes at this very moment may be lost; the next segment has it again.
    unsafe {
        if transition == Transition::Reopen as u32 {
            flags.write_volatile([tcp_flag::SYN, 0]);
        } else if transition == Transition::Revive as u32 || transition == Transition::Continue as u32 {
            let forged =
                if transition == Transition::Revive as u32 { tcp_flag::RST } else { tcp_flag::RST | tcp_flag::FIN };
            let inbound = flags.cast::<u8>().add(1);
            inbound.write_volatile(inbound.read_volatile() & !forged);
        }
    }
    1
}
