//! Ingress of a host end: parse → guard → flow → translate → out by the uplink.

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
    maps::{ENDPOINTS, config},
    route::{self, Resolved},
    skb::{Bytes, Skb},
};

/// A packet that leaves a namespace.
#[inline(always)]
pub(crate) fn from_ns(skb: Skb) -> Action {
    match forward(skb) {
        Ok(action) => action,
        Err(verdict) => without_flow(skb, verdict),
    }
}

/// Counts a packet that ends here, and lets it go or not.
#[inline(always)]
fn without_flow(skb: Skb, verdict: Verdict) -> Action {
    let amount = Amount::whole(skb);
    count::at_endpoint(skb.ifindex(), verdict.code(), amount.packets, amount.bytes);
    match verdict {
        Verdict::Dropped(_) => Action::Drop,
        Verdict::Punted(_) | Verdict::Forwarded | Verdict::Delivered => Action::Next,
    }
}

#[inline(always)]
fn forward(skb: Skb) -> Result<Action, Verdict> {
    let bytes = skb.headers();
    match bytes.load::<2>(ethernet::field::TYPE).map_err(Verdict::Dropped)? {
        ethertype::IPV4 => {}
        ethertype::ARP => return Err(Verdict::Punted(PuntReason::Arp)),
        ethertype::IPV6 => return Err(Verdict::Dropped(DropReason::Ipv6)),
        _ => return Err(Verdict::Dropped(DropReason::EtherType)),
    }
    let ip = ipv4::parse(&bytes, L3_OFF).map_err(Verdict::Dropped)?;
    if !whole(skb, &ip) {
        return Err(Verdict::Dropped(DropReason::Malformed));
    }
    let (bytes, ip) = if ip.len == ipv4::MIN_LEN { (bytes, ip) } else { with_options(skb)? };
    match outbound(&bytes, &ip) {
        Ok(l4) => with_ports(skb, &bytes, &ip, &l4),
        Err(reason) => without_ports(skb, &ip, reason),
    }
}

/// Headers with IP options: more bytes are needed, and the pointers are taken anew.
#[inline(always)]
fn with_options(skb: Skb) -> Result<(Bytes, ipv4::Header), Verdict> {
    let bytes = skb.all_headers();
    let ip = ipv4::parse(&bytes, L3_OFF).map_err(Verdict::Dropped)?;
    Ok((bytes, ip))
}

/// The transport header of a packet that may open a flow: an echo reply may not.
#[inline(always)]
fn outbound(bytes: &Bytes, ip: &ipv4::Header) -> Result<l4::Header, DropReason> {
    let l4 = l4::parse(bytes, ip)?;
    if l4.proto as u8 == Proto::Icmp as u8 && l4.icmp_type != icmp::ECHO_REQUEST {
        return Err(DropReason::IcmpType);
    }
    Ok(l4)
}

#[inline(always)]
fn with_ports(skb: Skb, bytes: &Bytes, ip: &ipv4::Header, l4: &l4::Header) -> Result<Action, Verdict> {
    let tuple = Tuple::of(ip, l4, skb.ifindex());
    let mut slot = store::hinted(hash(&tuple));
    let mut hit = if slot == SLOT_NONE { None } else { store::load::<false>(slot, &tuple) };
    if hit.is_none() {
        let resolved = route::resolve(skb, &tuple, u32::from(l4.tcp_flags) << 8);
        if resolved.what != Resolved::FLOW {
            return not_outside(skb, resolved);
        }
        slot = resolved.value;
        hit = store::load::<false>(slot, &tuple);
    }
    match hit {
        Some(hit) => translate(skb, bytes, ip, l4, &tuple, &hit),
        None => Err(Verdict::Dropped(DropReason::Contended)),
    }
}

#[inline(always)]
fn without_ports(skb: Skb, ip: &ipv4::Header, reason: DropReason) -> Result<Action, Verdict> {
    let tuple = Tuple { saddr: ip.src, daddr: ip.dst, ifindex: skb.ifindex(), proto: ip.proto, ..Tuple::default() };
    let resolved = route::resolve(skb, &tuple, Verdict::Dropped(reason).code());
    not_outside(skb, resolved)
}

/// What is not sent by the uplink: delivered to a neighbour, punted or dropped.
#[inline(always)]
fn not_outside(skb: Skb, resolved: Resolved) -> Result<Action, Verdict> {
    match resolved.what {
        Resolved::PEER => deliver(skb, resolved.value),
        Resolved::PUNT => {
            let amount = Amount::whole(skb);
            count::at_endpoint(skb.ifindex(), resolved.value, amount.packets, amount.bytes);
            Ok(Action::Next)
        }
        _ => {
            let amount = Amount::whole(skb);
            count::at_endpoint(skb.ifindex(), resolved.value, amount.packets, amount.bytes);
            Ok(Action::Drop)
        }
    }
}

/// From namespace to namespace of one network: switched, not routed, so the TTL stays.
#[inline(always)]
fn deliver(skb: Skb, peer: u32) -> Result<Action, Verdict> {
    let Some(endpoint) = ENDPOINTS.get_ptr(&peer) else { return Err(Verdict::Dropped(DropReason::NoEndpoint)) };
    // SAFETY: records are replaced as a whole, and freed after a grace period: BPF_F_NO_PREALLOC.
    let (mac, counters, mtu) = unsafe { ((*endpoint).mac, (*endpoint).counters, (*endpoint).mtu) };
    let amount = Amount::whole(skb);
    if skb.gso_segs() <= 1 && amount.bytes > mtu {
        return Err(Verdict::Punted(PuntReason::TooBig));
    }
    let bytes = skb.headers();
    bytes.store(ethernet::field::DST, mac).map_err(Verdict::Dropped)?;
    let segments = if skb.gso_segs() > 1 { skb.gso_segs() } else { 1 };
    let amount = Amount { packets: segments, bytes: amount.bytes };
    count::at_endpoint(skb.ifindex(), Verdict::Forwarded.code(), amount.packets, amount.bytes);
    count::count(counters, Verdict::Delivered, amount);
    Ok(Action::Peer { ifindex: peer })
}

/// The established path.
#[inline(always)]
fn translate(
    skb: Skb,
    bytes: &Bytes,
    ip: &ipv4::Header,
    l4: &l4::Header,
    tuple: &Tuple,
    hit: &Hit,
) -> Result<Action, Verdict> {
    if ip.ttl_expires() {
        return Err(Verdict::Punted(PuntReason::TtlExceeded));
    }
    if wire_size(skb, ip, l4) > u32::from(hit.mtu) {
        return Err(Verdict::Punted(PuntReason::TooBig));
    }
    let now = now();
    let Some(config) = config() else { return Err(Verdict::Dropped(DropReason::NoEndpoint)) };
    // SAFETY: `hit` points into the slot array.
    let checked = unsafe { (&raw const (*hit.slot).shared.route_checked).read_volatile() };
    if now.wrapping_sub(checked) > config.hz && route::refresh(skb, tuple, hit.index, now) == 0 {
        // The flow has ended: the sender's next packet finds its new way.
        return Err(Verdict::Dropped(DropReason::Contended));
    }
    let amount = Amount::of(skb, ip, l4);
    life::touch::<false>(hit, l4, now, amount);
    let change = Rewrite::new(Side::Source, ip, l4, hit.addr, hit.port, Ttl::Decrement);
    apply::rewrite(skb, bytes, &change).map_err(Verdict::Dropped)?;
    count::count(hit.counters.into(), Verdict::Forwarded, amount);
    let [h0, h1, h2, h3, ..] = hit.hop;
    Ok(Action::Neighbour { ifindex: hit.out_if, next_hop: [h0, h1, h2, h3] })
}
