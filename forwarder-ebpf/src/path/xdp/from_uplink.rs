//! XDP at an uplink: a packet of an established flow goes into its namespace.

use forwarder_common::{
    abi::{Tuple, ZONE_MAIN},
    decide::{
        rewrite::{Rewrite, Side, Ttl},
        xdp::Headers,
    },
    types::{
        direction::Direction,
        verdict::{DropReason, Verdict},
    },
};

use crate::{
    kernel::{
        counters,
        maps::config,
        packet::frame::{DROP, Frame, PASS, REDIRECT, aim},
    },
    path::{rate, xdp::headers},
    table::{lookup, state, usage::may_be_reply},
};

/// A packet that arrives by an uplink.
#[inline(always)]
pub(crate) fn from_uplink(frame: Frame) -> u32 {
    let bytes = frame.bytes();
    let Ok(headers) = headers::read(&bytes) else { return PASS };
    let Headers { ip, l4 } = headers;
    if !may_be_reply(&l4) {
        return PASS;
    }
    let tuple = Tuple::of(&ip, &l4, ZONE_MAIN);
    let (slot, version) = lookup::find_cached(Direction::Inbound, &tuple, lookup::hash(&tuple));
    if version.is_none() {
        return PASS;
    }
    let Some(hit) = lookup::copy(Direction::Inbound, slot, version) else { return PASS };
    // A frame would pass the endpoint's queue by. The host's own flows have no interface to go to, and no such target. Whether it may come in
    // here, another interface than before, the slow path of TC asks.
    let Some(config) = config() else { return PASS };
    let other = hit.slot.arrives_by().read() != frame.ingress_ifindex();
    if other || ip.total_len > hit.mtu || rate::waits(config, hit.counters.into()) || !aim(hit.out_if) {
        return PASS;
    }
    let amount = headers::amount(&headers);
    state::touch(Direction::Inbound, &hit, &ip, &l4, amount);
    let change = Rewrite::new(Side::Destination, &ip, &l4, hit.addr, hit.port, Ttl::Decrement);
    if headers::rewrite(&bytes, &change, hit.hop).is_err() {
        counters::count(hit.uplink_counters.into(), Verdict::Dropped(DropReason::Rewrite), amount);
        return DROP;
    }
    counters::count(hit.counters.into(), Verdict::Delivered, amount);
    counters::count(hit.uplink_counters.into(), Verdict::Forwarded, amount);
    REDIRECT
}
