//! XDP at an uplink: a packet of an established flow goes into its namespace.

use forwarder_common::{
    abi::Tuple,
    decide::{
        ports::may_be_external,
        rewrite::{Rewrite, Side, Ttl},
    },
    types::{
        direction::Direction,
        verdict::{DropReason, Verdict},
    },
    wire::{
        icmp,
        l4::{self, Proto},
    },
};

use crate::{
    kernel::{
        counters,
        maps::config,
        packet::frame::{DROP, Frame, PASS, REDIRECT, aim},
    },
    path::xdp::headers::{Headers, rewrite},
    table::{lookup, state},
};

/// A packet that arrives by an uplink.
#[inline(always)]
pub(crate) fn from_uplink(frame: Frame) -> u32 {
    let bytes = frame.bytes();
    let Ok(headers) = Headers::read(&bytes) else { return PASS };
    let Headers { ip, l4 } = headers;
    if !may_be_reply(&l4) {
        return PASS;
    }
    let tuple = Tuple::of(&ip, &l4, frame.ingress_ifindex());
    let (slot, version) = lookup::find_cached(Direction::Inbound, &tuple, lookup::hash(&tuple));
    if version.is_none() {
        return PASS;
    }
    let Some(hit) = lookup::copy(Direction::Inbound, slot, version) else { return PASS };
    // The host's own flows have no interface to go to, and no such target.
    if headers.too_big(&hit) || !aim(hit.out_if) {
        return PASS;
    }
    let amount = headers.amount();
    state::touch(Direction::Inbound, &hit, &ip, &l4, amount);
    let change = Rewrite::new(Side::Destination, &ip, &l4, hit.addr, hit.port, Ttl::Decrement);
    if rewrite(&bytes, &change, hit.hop).is_err() {
        counters::count(hit.uplink_counters.into(), Verdict::Dropped(DropReason::Rewrite), amount);
        return DROP;
    }
    counters::count(hit.counters.into(), Verdict::Delivered, amount);
    counters::count(hit.uplink_counters.into(), Verdict::Forwarded, amount);
    REDIRECT
}

/// Whether the packet may belong to a flow, by its destination port.
#[inline(always)]
fn may_be_reply(l4: &l4::Header) -> bool {
    let Some(config) = config() else { return false };
    let port = u16::from_be_bytes(l4.dst_port);
    let foreign = l4.proto as u8 == Proto::Icmp as u8 && !icmp::is_reply(l4.icmp_type);
    !foreign && may_be_external(port, config.nat_port_min, config.nat_port_max)
}
