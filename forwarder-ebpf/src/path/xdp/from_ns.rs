//! XDP at a host-side veth: a packet of an established flow goes out by the uplink.

use forwarder_common::{
    abi::Tuple,
    decide::{
        rewrite::{Rewrite, Side, Ttl},
        xdp::Headers,
    },
    types::{
        direction::Direction,
        verdict::{DropReason, Verdict},
    },
    wire::{icmp, l4::Proto},
};

use crate::{
    kernel::{
        clock::now,
        counters,
        maps::config,
        packet::frame::{DROP, Frame, PASS, REDIRECT, aim},
    },
    path::{rate, xdp::headers},
    table::{lookup, state},
};

/// A packet that leaves a namespace.
#[inline(always)]
pub(crate) fn from_ns(frame: Frame) -> u32 {
    let bytes = frame.bytes();
    let Ok(headers) = headers::read(&bytes) else { return PASS };
    let Headers { ip, l4 } = headers;
    if l4.proto as u8 == Proto::Icmp as u8 && !icmp::is_request(l4.icmp_type) {
        return PASS;
    }
    let tuple = Tuple::of(&ip, &l4, frame.ingress_ifindex());
    let (slot, version) = lookup::find_cached(Direction::Outbound, &tuple, lookup::hash(&tuple));
    if version.is_none() {
        return PASS;
    }
    let Some(hit) = lookup::copy(Direction::Outbound, slot, version) else { return PASS };
    let Some(config) = config() else { return PASS };
    if hit.is_route_old(now(), config.hz) || ip.total_len > hit.mtu || !hit.knows_macs() || !aim(hit.out_if) {
        return PASS;
    }
    let amount = headers::amount(&headers);
    if rate::exceeds(config, hit.counters.into(), amount.bytes) {
        counters::count(hit.counters.into(), Verdict::Dropped(rate::EXCEEDED), amount);
        return DROP;
    }
    state::touch(Direction::Outbound, &hit, &ip, &l4, amount);
    let change = Rewrite::new(Side::Source, &ip, &l4, hit.addr, hit.port, Ttl::Decrement);
    if headers::rewrite(&bytes, &change, hit.hop).is_err() {
        counters::count(hit.counters.into(), Verdict::Dropped(DropReason::Rewrite), amount);
        return DROP;
    }
    counters::count(hit.counters.into(), Verdict::Forwarded, amount);
    REDIRECT
}
