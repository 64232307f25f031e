//! Ingress of an uplink: parse → flow → translate back → deliver.

use forwarder_common::{
    abi::{SLOT_NONE, Tuple},
    flow::hash,
    packet::{L3_OFF, PacketBytes as _},
    rewrite::{Rewrite, Side, Ttl},
    verdict::{DropReason, PuntReason, Verdict},
    wire::{
        ethernet::{self, ethertype},
        icmp, ipv4,
        l4::{self, Proto},
    },
};

use super::{whole, wire_size};
use crate::{
    apply::{self, Action},
    count::{self, Amount},
    flow::{
        life, now,
        store::{self, Hit},
    },
    maps::config,
    route::in_fwd_network,
    skb::{Bytes, Skb},
};

/// A packet that arrives by an uplink: a reply to an endpoint, or something for the host, which is left alone and not counted.
#[inline(always)]
pub(crate) fn from_uplink(skb: Skb) -> Action {
    let bytes = skb.headers();
    let Ok(ethertype::IPV4) = bytes.load::<2>(ethernet::field::TYPE) else { return Action::Next };
    let Ok(ip) = ipv4::parse(&bytes, L3_OFF) else { return Action::Next };
    if in_fwd_network(ip.dst) {
        return drop(skb, DropReason::DirectToEndpoint);
    }
    let (bytes, ip) = if ip.len == ipv4::MIN_LEN {
        (bytes, ip)
    } else {
        let bytes = skb.all_headers();
        let Ok(ip) = ipv4::parse(&bytes, L3_OFF) else { return Action::Next };
        (bytes, ip)
    };
    let Some(l4) = reply(&bytes, &ip) else { return Action::Next };
    let tuple = Tuple::of(&ip, &l4, skb.ifindex());
    let Some(hit) = find(&tuple) else { return Action::Next };
    if !whole(skb, &ip) {
        return drop(skb, DropReason::Malformed);
    }
    match translate(skb, &bytes, &ip, &l4, &hit) {
        Ok(action) => action,
        Err(reason) => drop(skb, reason),
    }
}

/// The transport header of a packet that may belong to a flow: its destination port lies in the NAT range.
#[inline(always)]
fn reply(bytes: &Bytes, ip: &ipv4::Header) -> Option<l4::Header> {
    let l4 = l4::parse(bytes, ip).ok()?;
    let config = config()?;
    let port = u16::from_be_bytes(l4.dst_port);
    let foreign = l4.proto as u8 == Proto::Icmp as u8 && l4.icmp_type != icmp::ECHO_REPLY;
    if foreign || port < config.nat_port_min || port > config.nat_port_max {
        return None;
    }
    Some(l4)
}

#[inline(always)]
fn find(tuple: &Tuple) -> Option<Hit> {
    let hash = hash(tuple);
    let hinted = store::hinted(hash);
    if hinted != SLOT_NONE
        && let Some(hit) = store::load::<true>(hinted, tuple)
    {
        return Some(hit);
    }
    store::load::<true>(store::indexed(tuple, hash), tuple)
}

#[inline(always)]
fn drop(skb: Skb, reason: DropReason) -> Action {
    let amount = Amount::whole(skb);
    count::at_uplink(skb.ifindex(), false, Verdict::Dropped(reason).code(), amount.packets, amount.bytes);
    Action::Drop
}

/// The established path. What the kernel must answer (TTL, size) is translated first: untranslated it would meet no socket
/// and be answered by a reset, which would kill the flow.
#[inline(always)]
fn translate(skb: Skb, bytes: &Bytes, ip: &ipv4::Header, l4: &l4::Header, hit: &Hit) -> Result<Action, DropReason> {
    let amount = Amount::of(skb, ip, l4);
    life::touch::<true>(hit, l4, now(), amount);
    let punt = if hit.out_if == 0 {
        Some(PuntReason::HostFlow)
    } else if ip.ttl_expires() {
        Some(PuntReason::TtlExceeded)
    } else if wire_size(skb, ip, l4) > u32::from(hit.mtu) {
        Some(PuntReason::TooBig)
    } else {
        None
    };
    let ttl = if punt.is_some() { Ttl::Keep } else { Ttl::Decrement };
    let change = Rewrite::new(Side::Destination, ip, l4, hit.addr, hit.port, ttl);
    if let Some(reason) = punt {
        apply::rewrite(skb, bytes, &change)?;
        count::count(hit.uplink_counters.into(), Verdict::Punted(reason), amount);
        return Ok(Action::Next);
    }
    apply::set_macs(bytes, hit.hop)?;
    apply::rewrite(skb, bytes, &change)?;
    count::count(hit.counters.into(), Verdict::Delivered, amount);
    count::count(hit.uplink_counters.into(), Verdict::Forwarded, amount);
    Ok(Action::Peer { ifindex: hit.out_if })
}
