//! The route of a flow that is a second old is looked up again.

use forwarder_common::{
    abi::{FlowVersion, Tuple, flow_kind},
    decide::route::{self, Again, Lookup},
    flow::slot::renew::{FlowRoute, renew},
    types::{direction::Direction, verdict::PuntReason},
};

use super::{
    Resolution, Resolved, resolve,
    way::{RouteChoice, fwd_way_out},
};
use crate::{
    kernel::{
        fib::{Route, Sender, is_local, look_up, words},
        maps::config,
        packet::skb::Skb,
        records,
        redirect::is_hairpin,
        slots,
    },
    path::policy,
    table::{
        lookup::{self, Hit},
        slot,
        usage::is_published,
    },
};

global_fn! {
    /// See [`kernel_agrees`].
    pub(crate) fn fwd_kernel_agrees(skb: Skb, slot: u32) -> bool = kernel_agrees;
    /// See [`look_again`].
    fn fwd_refresh(skb: Skb, tuple: &Tuple, index: u32, now: u32) -> Resolved = look_again;
}

/// Looks the route of the flow in slot `index` up again: see [`Again`]. Next hop and MTU are updated in place; a packet whose flow ends
/// finds its new way at once.
#[inline(always)]
pub(crate) fn refresh(skb: Skb, tuple: &Tuple, index: u32, now: u32, tcp_flags: u8) -> Resolution {
    let refreshed = fwd_refresh(skb, tuple, index, now);
    if refreshed.what() == Resolved::GONE { resolve(skb, tuple, Ok(()), tcp_flags) } else { refreshed.decode() }
}

/// As [`refresh`], but a flow that ends is not replaced.
#[inline(always)]
fn look_again(skb: Skb, tuple: &Tuple, index: u32, now: u32) -> Resolved {
    const GONE: Resolved = Resolved::new(Resolved::GONE, 0);
    let (Some(hit), Some(endpoint)) =
        (lookup::load(Direction::Outbound, index, tuple), records::endpoint_copy(tuple.ifindex))
    else {
        return GONE;
    };
    let Some(next_hop) = hit.next_hop() else { return GONE };
    if is_hairpin(next_hop) {
        return look_again_for_port(tuple, &hit, now);
    }
    let (uplink, inward) = (hit.slot.uplink().read(), hit.slot.kind().read() == flow_kind::INBOUND);
    // The rules may be others by now.
    if let Err(denied) = policy::admit(tuple, endpoint, inward) {
        slot::fwd_flow_end(index, hit.version);
        return Resolved::refused(denied);
    }
    // What began outside goes back the way it came.
    let only = if inward { uplink } else { route::bound_to(endpoint) };
    let asked = inward || !route::is_unset(endpoint.source);
    let source = if asked { u32::from_ne_bytes(hit.addr) } else { 0 };
    let RouteChoice { lookup, egress, diverted } = fwd_way_out(skb, tuple, endpoint, only, source);
    let Some(route) = Route::found() else { return GONE };
    let comes_here = || is_local(skb, u32::from_ne_bytes(hit.addr), endpoint.network);
    match route::again(lookup, egress, (route.out_if(), uplink), (route.source(), hit.addr), comes_here) {
        Again::Waits => return Resolved::refused(egress),
        Again::Ends => {
            slot::fwd_flow_end(index, hit.version);
            return GONE;
        }
        Again::Stays => {}
    }
    let Some(config) = config() else { return GONE };
    let mtu = route.mtu(skb, tuple.daddr);
    if !renew(&Refreshed { hit: &hit, route, mtu }, hit.version, now, config.hz) {
        return GONE;
    }
    if route::is_unresolved(lookup, tuple.saddr, endpoint, diverted) {
        return Resolved::refused(PuntReason::Unresolved.into());
    }
    Resolved::new(Resolved::FLOW, index)
}

/// Whether the kernel by itself would send packets of the flow in slot `index` the way that the flow goes, or none at all. It is asked now:
/// what the flow knows may be a second old.
#[inline(always)]
fn kernel_agrees(skb: Skb, index: u32) -> bool {
    let Some(slot) = slots::slot(index) else { return false };
    let (tuple, uplink) = (slot.outbound().tuple().read(), slot.uplink().read());
    let Some(endpoint) = records::endpoint(tuple.ifindex) else { return false };
    let lookup = look_up(skb, &tuple, Sender::Forwarded(endpoint.network));
    let leaves_there = Route::found().is_some_and(|route| route.out_if() == uplink);
    lookup.is_missing() || leaves_there && !matches!(lookup, Lookup::Tunnel)
}

/// The way of a flow that was found anew.
struct Refreshed<'a> {
    hit: &'a Hit,
    route: Route,
    mtu: u16,
}

impl FlowRoute for Refreshed<'_> {
    #[inline(always)]
    fn version(&self) -> FlowVersion {
        self.hit.slot.version().read_in_order()
    }

    /// By whole words; two CPUs that refresh at once write the same.
    #[inline(always)]
    fn write(&self) {
        let Self { hit: Hit { slot, half, .. }, route, mtu } = *self;
        half.hop().write(words(route.macs()));
        slot.next_hop().write(route.next_hop());
        half.mtu().write(mtu);
    }

    #[inline(always)]
    fn checked(&self, at: u32) {
        self.hit.slot.route_checked().write(at);
    }
}

/// As [`look_again`], of a flow to or from an address of the host: it ends if the port is published no more.
#[inline(always)]
pub(super) fn look_again_for_port(tuple: &Tuple, hit: &Hit, now: u32) -> Resolved {
    let inbound = hit.slot.kind().read() == flow_kind::INBOUND;
    if !inbound && !is_published(tuple.proto, u16::from_ne_bytes(tuple.dport)) {
        slot::fwd_flow_end(hit.index, hit.version);
        return Resolved::new(Resolved::GONE, 0);
    }
    hit.slot.route_checked().write(now);
    Resolved::new(Resolved::FLOW, hit.index)
}
