//! Limits of endpoints. While nobody has one, a packet pays for one look at the settings.
//!
//! What is delivered into a namespace waits in a queue at its host-side veth (a token bucket filter), past which `redirect_peer` would
//! lead: whose endpoint is limited goes the longer way. What leaves waits in such a queue inside, where TCP hears of it at once, and nothing
//! has to be dropped. But inside it is root's: so here is counted what leaves, wherever it goes, and dropped what is more than the
//! limit. IP bytes count, as on the wire after segmentation, each packet once: the fast path and XDP count what they send, the slow path
//! what they leave to it.

use forwarder_common::{
    abi::{Config, Limit, Limits, feature},
    decide::rate::{self, Step},
    types::verdict::DropReason,
    wire::{ipv4, packet::L3_OFF},
};

use crate::{
    kernel::{
        clock::nanoseconds,
        counters::Amount,
        maps::{LIMITS, config},
        packet::skb::Skb,
        records,
        shared::Shared,
    },
    path::apply::Action,
};

shared_fields! {
    Limits {
        /// Of what leaves.
        outbound: Limit = outbound;
        /// Of what is delivered.
        inbound: Limit = inbound;
    }
    Limit {
        /// What may come at once, bytes.
        burst: u64 = burst;
        /// What a byte takes.
        cost: u64 = cost;
        /// Until when the line would be busy.
        busy_until: u64 = busy_until;
    }
}

/// The reason for which a packet is dropped that is too much.
pub(crate) const EXCEEDED: DropReason = DropReason::RateExceeded;

global_fn! {
    /// See [`exceeds`].
    fn fwd_rate_exceeds(block: u32, bytes: u32) -> bool = is_too_much;
    /// See [`exceeds_slowly`].
    fn fwd_rate_exceeds_slowly(skb: Skb) -> bool = is_packet_too_much;
    /// See [`into_namespace_slowly`].
    fn fwd_rate_into_namespace(block: u32, host_veth: u32) -> i32 = redirected;
    /// See [`into_neighbour_slowly`].
    fn fwd_rate_into_neighbour(skb: Skb, block: u32, host_veth: u32) -> i32 = redirected_from_namespace;
    /// See [`waits`].
    fn fwd_rate_waits(block: u32) -> bool = is_limited_inbound;
}

/// Whether any endpoint has a limit.
#[inline(always)]
fn any(config: &Config) -> bool {
    config.features & feature::RATE != 0
}

/// Whether so many IP bytes are more than the endpoint with this block of counters may send now; they count if they are not. Like
/// [`into_namespace`] it is given the settings, which a fast path looks up once.
#[inline(always)]
pub(crate) fn exceeds(config: &Config, block: u32, bytes: u32) -> bool {
    any(config) && fwd_rate_exceeds(block, bytes)
}

/// The same of a packet that left a namespace, and that no fast path has sent.
#[inline(always)]
pub(crate) fn exceeds_slowly(skb: Skb) -> bool {
    config().is_some_and(any) && fwd_rate_exceeds_slowly(skb)
}

/// Whether what is delivered to the endpoint with this block of counters waits in its queue.
#[inline(always)]
pub(crate) fn waits(config: &Config, block: u32) -> bool {
    any(config) && fwd_rate_waits(block)
}

/// Into the namespace of the endpoint with this block of counters, behind a host-side veth.
#[inline(always)]
pub(crate) fn into_namespace(config: &Config, block: u32, host_veth: u32) -> Action {
    if waits(config, block) { Action::device(host_veth) } else { Action::peer(host_veth) }
}

/// As [`into_namespace`], in a function of its own: the slow paths would be verified once more for either way.
#[inline(always)]
pub(crate) fn into_namespace_slowly(block: u32, host_veth: u32) -> Action {
    Action::from_tc_action(fwd_rate_into_namespace(block, host_veth))
}

/// The same of a packet that has left another namespace.
#[inline(always)]
pub(crate) fn into_neighbour_slowly(skb: Skb, block: u32, host_veth: u32) -> Action {
    Action::from_tc_action(fwd_rate_into_neighbour(skb, block, host_veth))
}

/// Straight to the other end of a pair goes only what has come in: nothing has yet that the program of a netkit pair sees.
#[inline(always)]
fn redirected_from_namespace(skb: Skb, block: u32, host_veth: u32) -> i32 {
    if skb.ingress_ifindex() == 0 { Action::device(host_veth).to_tc_action() } else { redirected(block, host_veth) }
}

#[inline(always)]
fn redirected(block: u32, host_veth: u32) -> i32 {
    match config() {
        Some(config) => into_namespace(config, block, host_veth),
        None => Action::DROP,
    }
    .to_tc_action()
}

#[inline(always)]
fn is_too_much(block: u32, bytes: u32) -> bool {
    let Some(limits) = Shared::element(&LIMITS, block) else { return false };
    let limit = limits.outbound();
    let cost = limit.cost().read();
    if cost == 0 {
        return false;
    }
    let busy_until = limit.busy_until();
    let (old, takes) = (busy_until.read(), rate::duration(cost, bytes.into()));
    let burst = rate::duration(cost, limit.burst().read());
    match rate::step(old, rate::moment(nanoseconds()), takes, burst) {
        Step::Exceeded => return true,
        Step::Begins(until) if busy_until.replace(old, until) => {}
        Step::Begins(_) | Step::Goes(_) => busy_until.add(takes),
    }
    false
}

/// Of a packet whose headers nobody has read: its segments are taken to repeat those of IPv4 and TCP without options.
#[inline(always)]
fn is_packet_too_much(skb: Skb) -> bool {
    const HEADERS: usize = 2 * ipv4::MIN_LEN;
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return false };
    let repeated = skb.segments(L3_OFF.wrapping_add(HEADERS)).wrapping_sub(1).wrapping_mul(HEADERS as u32);
    is_too_much(endpoint.counters, Amount::whole(skb, L3_OFF).bytes.wrapping_add(repeated))
}

#[inline(always)]
fn is_limited_inbound(block: u32) -> bool {
    Shared::element(&LIMITS, block).is_some_and(|limits| limits.inbound().cost().read() != 0)
}
