//! Searches for an external port: tries the candidates in turn, and where none is free chooses one that a flow has to give.
//!
//! The flow cache tells of most candidates without a look-up in a hash who has them. All the same a search of all of them finds most of
//! what it reads in no cache, and takes some ten µs: one that was in vain is remembered for a moment, so that whoever asks again and again
//! is refused by one look ([`in_vain`]).

use core::ops::ControlFlow;

use forwarder_common::{
    abi::{FlowState, SLOT_NONE, Tuple, ZONE_MAIN, port_use},
    decide::ports::{Candidates, EXHAUSTED, eviction_rank, range_for, retry_class},
    flow::{FlowKey, idle, outbound_reply},
    wire::l4::{Proto, has_ports},
};

use crate::{
    kernel::{
        clock::now,
        maps::{OPENING, PORT_RETRIES, PORTS_EXHAUSTED, REPLY, SEARCH, config},
        packet::skb::Skb,
        repeat::{Repeat, repeat},
        scratch::{EXHAUSTED_PLACES, OTHERS, Other, Search, Victim, scratch},
        shared::Shared,
        slots,
        sock::host_uses_either,
    },
    table::{create::address_only, evict, lookup, making::Making, mapping, slot, usage::is_published},
};

/// What stands in `PORTS_EXHAUSTED` if a search for the flow of `tuple`, an outbound one, is in vain: a keyed hash of whose it is and what
/// for (endpoint, destination, the NAT's address, the range that begins with `first_port`, the way in which a port is taken), and above it
/// when, jiffies.
#[inline(always)]
fn in_vain(tuple: &Tuple, nat_addr: [u8; 4], first_port: u16, kind: u32) -> u64 {
    let [to, behind] = [tuple.daddr, nat_addr].map(u32::from_ne_bytes);
    let ports = u64::from(u16::from_ne_bytes(tuple.dport)) | u64::from(first_port) << 16;
    let proto = tuple.proto.wrapping_add((kind as u8) << 6);
    let key = FlowKey::new(u64::from(to) | u64::from(behind) << 32, ports, tuple.ifindex, proto);
    u64::from(lookup::key_hash(&key)) | u64::from(now()) << 32
}

/// Where it stands.
#[inline(always)]
fn exhausted(in_vain: u64) -> Option<Shared<u64>> {
    Shared::element(&PORTS_EXHAUSTED, in_vain as u32 % EXHAUSTED_PLACES as u32)
}

/// After so many failed attempts a port serves for which a closed or half-open flow has to be ended. Nearly all are taken then;
/// and under a flood towards one server it need not look at all candidates to find an old flow.
const ENOUGH: u32 = 24;

/// A lower rank goes first, whatever the shares are.
const LASTING: u32 = eviction_rank(FlowState::OneWay, false, u32::MAX);

global_fn! {
    /// See [`search`].
    pub(crate) fn fwd_port_search(skb: Skb, slot: Making, kind: u32) -> u32 = search;
    /// See [`try_candidate`].
    fn fwd_port_try(skb: Skb, number: u32) -> u64 = try_candidate;
    /// See [`note`].
    fn fwd_port_note(holder: u32, port: u32, number: u32) -> bool = note;
    /// See [`vacate`].
    pub(crate) fn fwd_port_vacate(slot: Making) -> u32 = vacate;
    /// See [`consider`].
    fn fwd_port_consider(number: u32) -> () = consider;
    /// See [`count_retries`].
    fn fwd_count_retries(found: u32, retries: u32) -> () = count_retries;
}

/// Searches for a free port for the flow that is being made in `slot`, and takes it in the way `kind`. Returns it (host byte order), or 0:
/// then [`vacate`] may help.
///
/// Mostly nobody has the first candidate: it is tried before anything is prepared that only a longer search needs.
#[inline(always)]
fn search(skb: Skb, slot: Making, kind: u32) -> u32 {
    let (Some(config), Some(opening), Some(out), Some(search)) =
        (config(), scratch(&OPENING), slot.outbound(), scratch(&SEARCH))
    else {
        return 0;
    };
    let tuple = &out.tuple;
    let (seed, sport) = (config.seed ^ opening.endpoint.wrapping_mul(0x9e37_79b1), u16::from_be_bytes(tuple.sport));
    let spread = lookup::hash(tuple) ^ config.seed;
    let is_port = tuple.proto == Proto::Tcp as u8 || tuple.proto == Proto::Udp as u8;
    let (min, max) = range_for(is_port, sport, config.nat_port_min, config.nat_port_max);
    search.candidates = Candidates::new(min, max, sport, seed, spread);
    search.slot = slot.index();
    search.kind = kind;
    let first = fwd_port_try(skb, 0);
    if holder(first) == TAKEN {
        count(retry_class(0));
        return port(first);
    }
    search.endpoint = opening.endpoint;
    search.counters = opening.counters;
    search.pending = evict::pending(opening.counters);
    search.shares.begin(opening.endpoint);
    search.victim = Search::NOBODY;
    search.count = 0;
    search.in_vain = in_vain(tuple, opening.nat_addr, min, kind);
    let known = exhausted(search.in_vain).is_some_and(|place| place.read() == search.in_vain);
    // The first candidate was tried in any case: mostly nobody else gets the port that is a socket's own.
    let candidates = if known { 0 } else { search.candidates.count() };
    let mut walk = Walk { skb, found: 0, retries: 0 };
    repeat(&mut walk, candidates);
    fwd_count_retries(walk.found, walk.retries);
    walk.found
}

/// How far the search has come. `bpf_loop` takes it on the stack only.
#[repr(C)]
struct Walk {
    skb: Skb,
    /// The port that was taken, host byte order; 0 for none.
    found: u32,
    /// Attempts that failed.
    retries: u32,
}

impl Repeat for Walk {
    /// One attempt.
    #[inline(always)]
    fn round(&mut self, number: u32) -> ControlFlow<()> {
        self.retries = number;
        let tried = fwd_port_try(self.skb, number);
        if holder(tried) == TAKEN {
            self.found = port(tried);
            return ControlFlow::Break(());
        }
        if fwd_port_note(holder(tried), port(tried), number) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// What [`vacate`] returns if the claim has to be tried again: another CPU was faster, or what has no ports is free now.
pub(crate) const LOST: u32 = 1 << 31;

/// Tries the candidate with this number of this CPU's search: takes it if nobody has it. Returns the port, and above it, as [`holder`] tells it,
/// who has it.
#[inline(always)]
fn try_candidate(skb: Skb, number: u32) -> u64 {
    let Some(search) = scratch(&SEARCH) else { return SLOT_NONE.into() };
    let port = search.candidates.nth(number);
    let tried = |holder: u32| u64::from(port) | u64::from(holder) << HOLDER;
    let Some(reply) = reply(Making::taken(search.slot), port) else { return tried(SLOT_NONE) };
    // It is reserved for those who come from outside.
    if is_published(reply.proto, port.to_be()) {
        return tried(SLOT_NONE);
    }
    let holder = mapping::fwd_port_holder(search.kind, reply);
    if holder != lookup::VACANT {
        return tried(holder);
    }
    let taken = !host_uses_either(skb, reply) && take(search.kind, reply, search.slot);
    tried(if taken { TAKEN } else { SLOT_NONE })
}

/// What [`holder`] tells of a port that was taken for the flow that is being made.
const TAKEN: u32 = lookup::VACANT;
/// Where the holder stands in what [`try_candidate`] returns.
const HOLDER: u32 = 32;

/// Of what [`try_candidate`] returned the slot of the flow that has the port; [`TAKEN`]; or [`SLOT_NONE`] if the port is not for flows from
/// inside, a socket of the host has it, or another CPU was faster.
#[inline(always)]
const fn holder(tried: u64) -> u32 {
    (tried >> HOLDER) as u32
}

/// Of what [`try_candidate`] returned the port, host byte order.
#[inline(always)]
const fn port(tried: u64) -> u32 {
    tried as u32
}

/// Notes who has the candidate with this `number`, and whether the flow may be ended for it. Whether the search may stop without a port.
#[inline(always)]
fn note(holder: u32, port: u32, number: u32) -> bool {
    let Some(search) = scratch(&SEARCH) else { return true };
    if holder == SLOT_NONE {
        return false;
    }
    weigh(search, holder, port);
    // Of those that the shares decide about, as many as there are have to be seen.
    let decided = search.victim.rank < LASTING || search.victim.rank != u32::MAX && search.count == 0;
    number >= ENOUGH && decided
}

/// Notes a candidate that the flow in slot `holder` has.
#[inline(always)]
fn weigh(search: &mut Search, holder: u32, port: u32) {
    let Some(slot) = slots::slot(holder) else { return };
    let (version, endpoint) = (slot.version().read_in_order(), slot.endpoint().read());
    if !version.is_flow() {
        return;
    }
    search.shares.note(endpoint);
    let state = version.state();
    if version.is_pending() {
        let closed = matches!(state, FlowState::Closing);
        let rank = evict::rank(version, endpoint == search.endpoint, idle(now(), slot.last_seen().read()));
        if rank <= search.victim.rank
            && (closed || evict::has_to_go(version, slot.counters().read(), search.counters, search.pending))
        {
            search.victim = Victim { rank, slot: holder, version, port };
        }
        return;
    }
    // What the host itself speaks stays.
    if endpoint != 0
        && endpoint != search.endpoint
        && let Some(other) = search.others.get_mut(search.count as usize & (OTHERS as usize - 1))
        && search.count < OTHERS
    {
        *other = Other { slot: holder, port };
        search.count = search.count.wrapping_add(1);
    }
}

/// Ends the flow with the lowest eviction rank among those that have to give their port to the one that is being made in `slot`, after
/// [`search`] found none that is free. Returns the port, and above its 16 bits how it is to be taken; 0 if nobody has to;
/// [`LOST`] if the flow is another one by now.
///
/// Of a protocol without ports it ends the flow that has the answers, if that one has to give them.
///
/// Called by [`super::open`] itself: the stacks of all callers together are 512 bytes.
#[inline(always)]
pub(crate) fn vacate(slot: Making) -> u32 {
    let (Some(search), Some(opening), Some(out)) = (scratch(&SEARCH), scratch(&OPENING), slot.outbound()) else {
        return 0;
    };
    if !has_ports(out.tuple.proto) {
        let again = reply(slot, 0).is_some_and(|reply| address_only::vacate(reply, opening.endpoint));
        return if again { LOST } else { 0 };
    }
    let mut number = 0;
    while number < OTHERS {
        if number < search.count {
            fwd_port_consider(number);
        }
        number = number.wrapping_add(1);
    }
    let Victim { slot: holder, version, port, .. } = search.victim;
    if version.is_none() {
        remember(search);
        return 0;
    }
    let (kind, Some(reply)) = (search.kind, reply(slot, port as u16)) else { return 0 };
    // The holder is only a candidate: by now its slot may be another flow's.
    if !mapping::holds(kind, holder, reply) {
        return LOST;
    }
    if kind != u32::from(port_use::BY_TUPLE) && mapping::revoke(kind, holder, reply) {
        // Several flows use it: it is free when the expiry timer has come by.
        return 0;
    }
    if slot::fwd_flow_end(holder, version) != 0 { port | kind << 16 } else { LOST }
}

/// Notes that this CPU's search was in vain.
#[inline(always)]
pub(super) fn remember_in_vain() {
    if let Some(search) = scratch(&SEARCH) {
        remember(search);
    }
}

/// Notes it of the moment in which the search began: who was refused without one adds nothing to it.
#[inline(always)]
fn remember(search: &Search) {
    if let Some(place) = exhausted(search.in_vain)
        && place.read() != search.in_vain
    {
        place.write(search.in_vain);
    }
}

/// Considers a flow of this CPU's search that is established or one-way.
#[inline(always)]
fn consider(number: u32) {
    let Some(search) = scratch(&SEARCH) else { return };
    let Some(Other { slot: holder, port }) = search.others.get(number as usize & (OTHERS as usize - 1)).copied() else {
        return;
    };
    let Some(slot) = slots::slot(holder) else { return };
    let (version, endpoint) = (slot.version().read_in_order(), slot.endpoint().read());
    let state = version.state();
    let rank = evict::rank(version, false, idle(now(), slot.last_seen().read()));
    if rank < search.victim.rank && search.shares.gives_way(state, endpoint) {
        search.victim = Victim { rank, slot: holder, version, port };
    }
}

/// Takes the port of `reply` in the way `kind` and puts the tuple into the index, both or neither.
#[inline(always)]
pub(crate) fn take(kind: u32, reply: &Tuple, slot: u32) -> bool {
    if !mapping::take(kind, reply, slot) {
        return false;
    }
    if lookup::fwd_insert(reply, slot) {
        return true;
    }
    mapping::untake(kind, reply);
    false
}

/// What replies look like if the flow in `slot` gets `port` (host byte order). In a map, not on the stack: each call overwrites it.
#[inline(always)]
pub(crate) fn reply(slot: Making, port: u16) -> Option<&'static Tuple> {
    let (out, place) = (slot.outbound()?, scratch(&REPLY)?);
    *place = outbound_reply(&out.tuple, ZONE_MAIN, out.addr, port.to_be_bytes());
    Some(place)
}

/// Counts how long the search for a port has taken that was `found`, 0 for none.
#[inline(always)]
fn count_retries(found: u32, retries: u32) {
    count(if found == 0 { EXHAUSTED } else { retry_class(retries) });
}

/// Counts a search of this class.
#[inline(always)]
fn count(class: u32) {
    if let Some(counter) = Shared::own(&PORT_RETRIES, class) {
        counter.add(1);
    }
}
