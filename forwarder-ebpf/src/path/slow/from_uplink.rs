//! Ingress of an uplink: parse → flow → translate back → deliver.

use forwarder_common::{
    abi::{Hook, Tuple, ZONE_MAIN},
    decide::{
        forward,
        rewrite::{Side, Ttl},
    },
    types::{
        direction::Direction,
        verdict::{Code, DropReason, Verdict},
    },
    wire::{
        ethernet::ethertype,
        ipv4,
        l4::{self, tcp_flag},
        packet::L3_OFF,
    },
};

use crate::{
    kernel::{
        counters::{self, Amount},
        packet::{NO_HEADER, bytes::Bytes, protocol, skb::Skb, whole, wire_size},
    },
    path::{
        apply::{self, Action},
        arrival,
        at_uplink::{count_here, drop, source_routed},
        fast,
        ipv6::guard,
        multicast,
        networks::in_fwd_network,
        rate,
        slow::{announced, clamp, fragments, icmp_error, unsolicited},
        tail_call::{tail_call, tail_call_ipv6},
        transit, validate, vlan,
    },
    table::{
        handshake,
        lookup::{self, Hit},
        state,
        usage::may_be_reply,
    },
};

/// A packet that arrives by an uplink with a link-layer header: the fast path, or else the slow one.
#[inline(always)]
pub(crate) fn from_uplink(skb: Skb) -> Action {
    match fast::inbound(skb) {
        Some(action) => action,
        None => {
            tail_call_ipv6(skb, Hook::FromUplink);
            tail_call(skb, Hook::FromUplink)
        }
    }
}

/// The slow path of a packet that arrives by an uplink, its network header at `L3`: a reply to an endpoint, or something for the
/// host, which is left alone and not counted.
#[inline(always)]
pub(crate) fn slow<const L3: usize>(skb: Skb) -> Action {
    let action = sort::<L3>(skb);
    let action = announced::kept_from_host::<L3>(skb, action);
    if L3 == NO_HEADER { action } else { multicast::arrives(skb, action) }
}

/// The same, but for what is for an address that the host does not have.
#[inline(always)]
fn sort<const L3: usize>(skb: Skb) -> Action {
    let bytes = skb.headers();
    if L3 != NO_HEADER && vlan::is_tagged(skb) {
        return Action::NEXT;
    }
    match protocol::<L3>(skb, &bytes) {
        ethertype::IPV4 => {}
        ethertype::IPV6 => return guard::from_uplink::<L3>(skb, &bytes),
        ethertype::ARP if L3 != NO_HEADER => return announced::arp(skb),
        ethertype::VLAN | ethertype::SERVICE_VLAN if L3 != NO_HEADER => return vlan::arrives(skb),
        _ => return Action::NEXT,
    }
    // The kernel drops what has a wrong checksum, and counts it; so it does what is no packet at all. What is left to a device is refused
    // only if it is to be translated.
    if let Err(refused) = validate::header(skb, L3)
        && refused != Verdict::Dropped(DropReason::ChecksumOffload).code()
    {
        return Action::NEXT;
    }
    let Ok(ip) = ipv4::parse(&bytes, L3) else { return Action::NEXT };
    if in_fwd_network(ip.dst) {
        return drop(skb, L3, DropReason::DirectToEndpoint);
    }
    if transit::is_possible(u32::from_ne_bytes(ip.dst)) && transit::fwd_refuse_transit(skb, L3 as u32) {
        return Action::NEXT;
    }
    // With options there are more headers: the pointers are taken anew.
    let bytes = if ip.len == ipv4::MIN_LEN { bytes } else { skb.all_headers() };
    let l4 = match l4::parse(&bytes, &ip) {
        Ok(l4) => l4,
        Err(DropReason::Fragment | DropReason::Protocol) => return fragments::inbound::<L3>(skb, &ip),
        Err(DropReason::IcmpType) => return icmp_error::inbound(skb, L3),
        Err(_) => return of_no_flow(skb, L3, &ip),
    };
    if !may_be_reply(&l4) {
        return of_no_flow(skb, L3, &ip);
    }
    let tuple = Tuple::of(&ip, &l4, ZONE_MAIN);
    let (mut slot, mut version) = lookup::fwd_find(Direction::Inbound, &tuple);
    if version.is_none() {
        (slot, version) = unsolicited::open(skb, &tuple, l4.tcp_flags);
        if version.is_none() {
            return no_flow(skb, L3, Code::from_raw(slot));
        }
    }
    match lookup::copy(Direction::Inbound, slot, version) {
        Some(hit) if arrival::may_arrive(skb, slot) => translate::<L3>(skb, &bytes, &ip, &l4, &hit),
        _ => Action::NEXT,
    }
}

/// A packet that begins no flow, for the reason with this code: dropped, or the host's.
#[inline(always)]
pub(super) fn no_flow(skb: Skb, l3: usize, code: Code) -> Action {
    if code.is_drop() {
        count_here(skb, l3, code);
    }
    Action::unsent(code)
}

/// A packet of no flow: the host's, which decides for itself, unless the host would take it for a namespace's.
#[inline(always)]
fn of_no_flow(skb: Skb, l3: usize, ip: &ipv4::Header) -> Action {
    if in_fwd_network(ip.src) { drop(skb, l3, DropReason::Martian) } else { Action::NEXT }
}

/// The established path.
#[inline(always)]
fn translate<const L3: usize>(skb: Skb, bytes: &Bytes, ip: &ipv4::Header, l4: &l4::Header, hit: &Hit) -> Action {
    if !whole(skb, ip) {
        return drop(skb, ip.off, DropReason::Malformed);
    }
    // The host decides for itself.
    if ip.len != ipv4::MIN_LEN && hit.out_if != 0 && source_routed(skb, L3) {
        return drop(skb, L3, DropReason::SourceRoute);
    }
    let amount = Amount::of(skb, ip, l4);
    state::touch(Direction::Inbound, hit, ip, l4, amount);
    // What the kernel must answer (TTL, size) or receive is translated first: untranslated it would meet no socket and be answered
    // by a reset, which would kill the flow.
    let packet = forward::Packet { ttl_expires: ip.ttl_expires(), size: wire_size(skb, ip, l4) };
    let code = forward::send(Direction::Inbound, packet, forward::Target { out_if: hit.out_if, mtu: hit.mtu.into() });
    let delivers = code == Code::DELIVERED;
    let ttl = if delivers { Ttl::Decrement } else { Ttl::Keep };
    let how = (Side::Destination, ttl);
    if L3 != NO_HEADER
        && delivers
        && let Err(reason) = apply::set_macs(bytes, hit.hop)
    {
        return drop(skb, ip.off, reason);
    }
    if let Err(refused) = apply::rewrite(skb, L3, how, hit.addr, hit.port) {
        count_here(skb, L3, refused);
        return Action::DROP;
    }
    if !delivers {
        counters::count_code(hit.uplink_counters.into(), code, amount);
        return Action::NEXT;
    }
    if L3 == NO_HEADER
        && let Err(reason) = apply::add_ethernet(skb, hit.hop)
    {
        return drop(skb, ip.off, reason);
    }
    if l4.tcp_flags & tcp_flag::SYN != 0 {
        handshake::note(Direction::Inbound, hit, l4.tcp_flags);
        let mtu = hit.slot.outbound().mtu().read();
        // Without a link-layer header there is one by now.
        clamp::fwd_clamp(skb, L3_OFF as u32, hit.out_if, mtu.into());
    }
    counters::count(hit.counters.into(), Verdict::Delivered, amount);
    counters::count(hit.uplink_counters.into(), Verdict::Forwarded, amount);
    rate::into_namespace_slowly(hit.counters.into(), hit.out_if)
}
