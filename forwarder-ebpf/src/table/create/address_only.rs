//! Claims of protocols without ports: one endpoint, or the host, may speak each with a destination. What is decided about them stands in
//! [`forwarder_common::decide::address_only`].

use forwarder_common::{
    abi::{Timeout, Tuple},
    decide::address_only::{self, Seen},
};

use crate::{
    kernel::{
        clock::now,
        maps::{HOST_PROTOCOLS, config},
        scratch::HOST_PROTOCOL_PLACES,
        shared::Shared,
        slots,
    },
    table::{lookup, slot},
};

global_fn! {
    /// See [`note_of_host`].
    pub(crate) fn fwd_host_protocol_note(reply: &Tuple, seen: u32) -> () = note_of_host;
    /// See [`is_hosts`].
    pub(super) fn fwd_host_protocol_known(reply: &Tuple) -> bool = is_hosts;
}

/// Where the note about a tuple with `hash` stands, the idle time of such protocols, and the length of a second in jiffies.
#[inline(always)]
fn place(hash: u32) -> Option<(Shared<u64>, u32, u32)> {
    let (place, config) = (Shared::element(&HOST_PROTOCOLS, hash % HOST_PROTOCOL_PLACES as u32)?, config()?);
    let [.., idle] = config.timeouts.first_chunk::<{ Timeout::Other as usize + 1 }>()?;
    Some((place, *idle, config.hz))
}

/// Notes that the host speaks a protocol with a destination, or hears it, or refuses it, by the number of [`Seen`]: `reply` is the tuple
/// of a packet that arrives.
#[inline(always)]
fn note_of_host(reply: &Tuple, seen: u32) {
    let hash = lookup::hash(reply);
    let Some((place, idle, hz)) = place(hash) else { return };
    let (before, now) = (place.read(), now());
    let seen = match seen {
        it if it == Seen::Spoken as u32 => Seen::Spoken,
        it if it == Seen::Refused as u32 => Seen::Refused,
        _ => Seen::Heard,
    };
    // Of two CPUs that note something at once, one does.
    let after = address_only::noted(before, hash, seen, now, idle, hz);
    if after != before {
        place.write(after);
    }
}

/// Whether packets with tuple `reply` are the host's.
#[inline(always)]
fn is_hosts(reply: &Tuple) -> bool {
    let hash = lookup::hash(reply);
    place(hash).is_some_and(|(place, idle, hz)| address_only::is_hosts(place.read(), hash, now(), idle, hz))
}

/// Ends the flow that has claimed `reply`, if it has to give it to `endpoint` (0 for the host itself). Whether the claim may be tried again.
#[inline(always)]
pub(super) fn vacate(reply: &Tuple, endpoint: u32) -> bool {
    let Some(holder) = lookup::claimant(reply) else { return true };
    let (Some(slot), Some(config)) = (slots::slot(holder), config()) else { return false };
    let (version, owner) = (slot.version().read_in_order(), slot.endpoint().read());
    let (answers, age) = (slot.inbound().packets().read(), now().wrapping_sub(slot.created().read()));
    let gives_way = endpoint == 0 || address_only::gives_way(version.state(), answers, age, config.hz);
    // The holder is only a candidate: by now its slot may be another flow's.
    if owner == 0 || !gives_way || !lookup::has(holder, reply) {
        return false;
    }
    slot::fwd_flow_end(holder, version) != 0
}
