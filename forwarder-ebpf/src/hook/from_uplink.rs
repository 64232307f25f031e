//! Ingress of an uplink: parse → flow → translate back → deliver.

use forwarder_common::{
    abi::{SLOT_NONE, Tuple, feature},
    flow::hash,
    rewrite::{Rewrite, Side, Ttl},
    verdict::{DropReason, PuntReason, Verdict},
    wire::{
        ethernet::ethertype,
        icmp, ipv4,
        l4::{self, Proto},
    },
};

use super::{NO_HEADER, errors, protocol, unusual, vlan, whole, wire_size};
use crate::{
    apply::{self, Action},
    count::{self, Amount},
    flow::{
        life, mapping, now,
        store::{self, Hit},
    },
    maps::config,
    route::in_fwd_network,
    skb::{Bytes, Skb},
};

/// A packet that arrives by an uplink, its network header at `L3`: a reply to an endpoint, or something for the host, which is
/// left alone and not counted.
#[inline(always)]
pub(crate) fn from_uplink<const L3: usize>(skb: Skb) -> Action {
    let bytes = skb.headers();
    if protocol::<L3>(skb, &bytes) != ethertype::IPV4 || L3 != NO_HEADER && vlan::is_tagged(skb) {
        return Action::NEXT;
    }
    let Ok(ip) = ipv4::parse(&bytes, L3) else { return Action::NEXT };
    if in_fwd_network(ip.dst) {
        return drop(skb, L3, DropReason::DirectToEndpoint);
    }
    // With options there are more headers: the pointers are taken anew.
    let bytes = if ip.len == ipv4::MIN_LEN { bytes } else { skb.all_headers() };
    let l4 = match l4::parse(&bytes, &ip) {
        Ok(l4) => l4,
        Err(DropReason::Fragment | DropReason::Protocol) => return unusual::inbound::<L3>(skb, &ip),
        Err(DropReason::IcmpType) => return errors::inbound(skb, L3),
        Err(_) => return Action::NEXT,
    };
    if !may_be_reply(&l4) {
        return Action::NEXT;
    }
    let tuple = Tuple::of(&ip, &l4, skb.ifindex());
    let hash = hash(&tuple);
    let mut slot = store::hinted(hash);
    let mut word = store::matches::<true>(slot, &tuple);
    if word == 0 {
        slot = store::indexed(&tuple, hash);
        word = store::matches::<true>(slot, &tuple);
        if word == 0 {
            slot = unsolicited(skb, &tuple, &l4);
            word = store::matches::<true>(slot, &tuple);
            if word == 0 {
                return Action::NEXT;
            }
        }
    }
    match store::copy::<true>(slot, word) {
        Some(hit) => translate::<L3>(skb, &bytes, &ip, &l4, &hit),
        None => Action::NEXT,
    }
}

/// The slot of the flow that a packet from outside begins, where a network lets anyone write to its mapped ports.
#[inline(always)]
fn unsolicited(skb: Skb, tuple: &Tuple, l4: &l4::Header) -> u32 {
    match config() {
        Some(config) if config.features & feature::EIF != 0 => mapping::unsolicited(skb, tuple, l4.tcp_flags),
        _ => SLOT_NONE,
    }
}

/// Whether the packet may belong to a flow: its destination port lies in the NAT range.
#[inline(always)]
fn may_be_reply(l4: &l4::Header) -> bool {
    let Some(config) = config() else { return false };
    let port = u16::from_be_bytes(l4.dst_port);
    let foreign = l4.proto as u8 == Proto::Icmp as u8 && l4.icmp_type != icmp::ECHO_REPLY;
    !foreign && port >= config.nat_port_min && port <= config.nat_port_max
}

#[inline(always)]
pub(super) fn drop(skb: Skb, l3: usize, reason: DropReason) -> Action {
    count_here(skb, l3, Verdict::Dropped(reason).code());
    Action::DROP
}

#[inline(always)]
pub(super) fn count_here(skb: Skb, l3: usize, code: u32) {
    let amount = Amount::whole(skb, l3);
    count::fwd_count_at_uplink(skb.ifindex(), 0, code, amount.packets, amount.bytes);
}

/// The established path.
#[inline(always)]
fn translate<const L3: usize>(skb: Skb, bytes: &Bytes, ip: &ipv4::Header, l4: &l4::Header, hit: &Hit) -> Action {
    if !whole(skb, ip) {
        return drop(skb, ip.off, DropReason::Malformed);
    }
    let amount = Amount::of(skb, ip, l4);
    life::touch::<true>(hit, l4, now(), amount);
    if hit.out_if == 0 {
        return pass(skb, bytes, ip, l4, hit, PuntReason::HostFlow);
    }
    if ip.ttl_expires() {
        return pass(skb, bytes, ip, l4, hit, PuntReason::TtlExceeded);
    }
    if wire_size(skb, ip, l4) > u32::from(hit.mtu) {
        return pass(skb, bytes, ip, l4, hit, PuntReason::TooBig);
    }
    let change = Rewrite::new(Side::Destination, ip, l4, hit.addr, hit.port, Ttl::Decrement);
    let done = if L3 == NO_HEADER {
        apply::rewrite(skb, bytes, &change).and_then(|()| apply::add_ethernet(skb, hit.hop))
    } else {
        apply::set_macs(bytes, hit.hop).and_then(|()| apply::rewrite(skb, bytes, &change))
    };
    if let Err(reason) = done {
        return drop(skb, ip.off, reason);
    }
    count::count(hit.counters.into(), Verdict::Delivered, amount);
    count::count(hit.uplink_counters.into(), Verdict::Forwarded, amount);
    Action::peer(hit.out_if)
}

/// What the kernel must answer (TTL, size) or receive is translated first: untranslated it would meet no socket and be
/// answered by a reset, which would kill the flow.
#[inline(always)]
fn pass(skb: Skb, bytes: &Bytes, ip: &ipv4::Header, l4: &l4::Header, hit: &Hit, reason: PuntReason) -> Action {
    let change = Rewrite::new(Side::Destination, ip, l4, hit.addr, hit.port, Ttl::Keep);
    if let Err(reason) = apply::rewrite(skb, bytes, &change) {
        return drop(skb, ip.off, reason);
    }
    count::count(hit.uplink_counters.into(), Verdict::Punted(reason), Amount::of(skb, ip, l4));
    Action::NEXT
}
