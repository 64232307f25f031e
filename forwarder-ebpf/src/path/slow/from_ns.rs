//! Ingress of a host-side veth: parse → validate → flow → translate → out by the uplink. In front of it [`netkit`], where such a pair is.

pub(crate) mod netkit;

use forwarder_common::{
    abi::{Hook, Tuple},
    decide::{
        forward,
        rewrite::{Side, Ttl},
    },
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason, Verdict},
    },
    wire::{
        ethernet::ethertype,
        icmp, ipv4,
        l4::{self, Proto, tcp_flag},
        packet::L3_OFF,
    },
};

use crate::{
    kernel::{
        clock::now,
        counters::{self, Amount},
        maps::config,
        packet::{bytes::Bytes, ethertype, skb::Skb, whole, wire_size},
    },
    path::{
        apply::{self, Action},
        at_ns::{count_here, counted, deliver_or_refuse, drop, refuse},
        fast, rate,
        route::{self, Resolution},
        slow::{clamp, fragments, icmp_error, too_big},
        tail_call::{has_ipv6, tail_call, tail_call_ipv6},
        validate,
    },
    table::{
        handshake,
        lookup::{self, Hit},
        state,
    },
};

/// A packet that leaves a namespace: the fast path, or else the slow one.
#[inline(always)]
pub(crate) fn from_ns(skb: Skb) -> Action {
    match fast::outbound(skb) {
        Some(action) => action,
        None => {
            tail_call_ipv6(skb, Hook::FromNs);
            tail_call(skb, Hook::FromNs)
        }
    }
}

/// The slow path.
#[inline(always)]
pub(crate) fn slow(skb: Skb) -> Action {
    if rate::exceeds_slowly(skb) {
        return drop(skb, rate::EXCEEDED);
    }
    let bytes = skb.headers();
    if skb.vlan_present() != 0 {
        return drop(skb, DropReason::Vlan);
    }
    match ethertype(&bytes) {
        ethertype::IPV4 => {}
        ethertype::ARP => return arp(skb),
        // Otherwise it would not be here.
        ethertype::IPV6 => return drop(skb, if has_ipv6() { DropReason::Contended } else { DropReason::Ipv6 }),
        ethertype::VLAN | ethertype::SERVICE_VLAN => return drop(skb, DropReason::Vlan),
        _ => return drop(skb, DropReason::EtherType),
    }
    // Before anything is read that would have to be kept meanwhile.
    if let Err(refused) = validate::header(skb, L3_OFF) {
        return counted(skb, refused);
    }
    let ip = match ipv4::parse(&bytes, L3_OFF) {
        Ok(ip) => ip,
        Err(reason) => return drop(skb, reason),
    };
    if !whole(skb, &ip) {
        return drop(skb, DropReason::Malformed);
    }
    // With options there are more headers: the pointers are taken anew.
    let bytes = if ip.len == ipv4::MIN_LEN {
        bytes
    } else {
        match validate::options(skb, L3_OFF) {
            Ok(()) => skb.all_headers(),
            Err(refused) => return counted(skb, refused),
        }
    };
    match outbound(&bytes, &ip) {
        Ok(l4) => with_ports(skb, &bytes, &ip, &l4),
        Err(DropReason::IcmpType) => icmp_error::outbound(skb, &ip),
        Err(reason) => fragments::outbound(skb, &ip, reason),
    }
}

/// An ARP frame: a request for the gateway is answered at once, all else is the bridge's, where there is one.
#[inline(always)]
fn arp(skb: Skb) -> Action {
    let code = validate::fwd_validate_arp(skb);
    if code.is_drop() || !validate::fwd_answer_arp(skb) {
        return refuse(skb, code);
    }
    count_here(skb, code);
    Action::device(skb.ifindex())
}

/// The transport header of a packet that may open a flow: the answer to a query may not.
#[inline(always)]
fn outbound(bytes: &Bytes, ip: &ipv4::Header) -> Result<l4::Header, DropReason> {
    let l4 = l4::parse(bytes, ip)?;
    if l4.proto as u8 == Proto::Icmp as u8 && !icmp::is_request(l4.icmp_type) {
        return Err(DropReason::IcmpType);
    }
    Ok(l4)
}

#[inline(always)]
fn with_ports(skb: Skb, bytes: &Bytes, ip: &ipv4::Header, l4: &l4::Header) -> Action {
    let tuple = Tuple::of(ip, l4, skb.ifindex());
    let (mut slot, mut version) = lookup::fwd_find_cached(Direction::Outbound, &tuple, lookup::hash(&tuple));
    if version.is_none() {
        if let Err(refused) = validate::fwd_validate_lengths(skb) {
            return counted(skb, refused);
        }
        slot = match route::resolve(skb, &tuple, Ok(()), l4.tcp_flags) {
            Resolution::Flow(slot) => slot,
            other => return deliver_or_refuse(skb, other),
        };
        version = lookup::matches(Direction::Outbound, slot, &tuple);
    }
    match lookup::copy(Direction::Outbound, slot, version) {
        Some(hit) if !version.is_none() => translate(skb, bytes, ip, l4, &tuple, &hit),
        _ => drop(skb, DropReason::Contended),
    }
}

/// One router further, behind another source.
const OUTWARD: (Side, Ttl) = (Side::Source, Ttl::Decrement);

/// The established path.
#[inline(always)]
fn translate(skb: Skb, bytes: &Bytes, ip: &ipv4::Header, l4: &l4::Header, tuple: &Tuple, hit: &Hit) -> Action {
    let packet = forward::Packet { ttl_expires: ip.ttl_expires(), size: wire_size(skb, ip, l4) };
    let code = forward::send(Direction::Outbound, packet, forward::Target { out_if: hit.out_if, mtu: hit.mtu.into() });
    if code == PuntReason::TtlExceeded.into() {
        return refuse(skb, code);
    }
    let Some(config) = config() else { return drop(skb, DropReason::NoEndpoint) };
    if hit.is_route_old(now(), config.hz) {
        // A SYN that is repeated after a second comes here.
        clamp(skb, tuple, l4, hit);
        return fragments::reroute(skb, tuple, hit.index, l4.tcp_flags);
    }
    // An endpoint's flow leads somewhere, so that only the size is left.
    if code != Code::FORWARDED {
        return too_big::outbound(skb, hit.index, hit.version);
    }
    let amount = Amount::of(skb, ip, l4);
    state::touch(Direction::Outbound, hit, ip, l4, amount);
    // The packet that looks the route up goes by the neighbour table, once a second, which keeps the entry there fresh.
    let straight = hit.knows_macs();
    if straight && let Err(reason) = apply::set_macs(bytes, hit.hop) {
        return drop(skb, reason);
    }
    if let Err(refused) = apply::rewrite(skb, L3_OFF, OUTWARD, hit.addr, hit.port) {
        return counted(skb, refused);
    }
    counters::count(hit.counters.into(), Verdict::Forwarded, amount);
    clamp(skb, tuple, l4, hit);
    if straight {
        return Action::device(hit.out_if);
    }
    match hit.next_hop() {
        Some(next_hop) => Action::neighbour(hit.out_if, next_hop),
        None => drop(skb, DropReason::Contended),
    }
}

/// Notes when a SYN leaves, and lowers the segment size that it asks for, where the network wants that. Bytes taken before are
/// stale.
#[inline(always)]
fn clamp(skb: Skb, tuple: &Tuple, l4: &l4::Header, hit: &Hit) {
    if l4.tcp_flags & tcp_flag::SYN != 0 {
        handshake::note(Direction::Outbound, hit, l4.tcp_flags);
        clamp::fwd_clamp(skb, L3_OFF as u32, tuple.ifindex, hit.mtu.into());
    }
}
