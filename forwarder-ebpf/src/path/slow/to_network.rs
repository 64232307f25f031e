//! Egress of a network's bridge: what the kernel sends into a network. What the host itself sends comes in, what its own namespaces
//! send each other, and what belongs to a flow: a reply that `from_uplink` has translated and left to the kernel, and what the kernel
//! makes of it. Nothing else that the host forwards does, from whatever interface; and where endpoints must not reach each other, nothing of
//! the network itself either, whatever way it took to the host.
//!
//! The fast path puts packets straight into namespaces and does not come by; nor do frames that the bridge passes from port to port,
//! which have passed `from_ns`.

use forwarder_common::{
    abi::{Tuple, endpoint_flags},
    types::{
        direction::Direction,
        verdict::{Code, DropReason},
    },
    wire::{ethernet::ethertype, icmp, ipv4, packet::L3_OFF},
};

use crate::{
    kernel::{
        counters::{self, Amount},
        packet::{ethertype, skb::Skb},
        records,
    },
    path::{
        apply::Action,
        bridgeless,
        ipv6::guard,
        multicast,
        slow::fragments::{code, fwd_complete_tuple},
    },
    table::{
        fragments,
        lookup::{self, slot_of},
    },
};

/// Where the network header is: a bridge has an Ethernet header.
const ETHERNET: u32 = L3_OFF as u32;

/// A packet that leaves by the bridge.
#[inline(always)]
pub(crate) fn to_network(skb: Skb) -> Action {
    let ingress = skb.ingress_ifindex();
    if ingress == 0 {
        return bridgeless::into_network(skb);
    }
    let origin = if is_own(ingress, skb.ifindex()) {
        within(skb.ifindex())
    } else if records::reaches(ingress, skb.ifindex()) {
        // What a program has left to the kernel of what goes from one network to the other, as too big for a link.
        Origin::Let
    } else {
        classify(skb, ingress)
    };
    let code: Code = match origin {
        Origin::Let => return bridgeless::into_network(skb),
        Origin::Group if multicast::comes_in(skb, ingress) => Code::DELIVERED,
        Origin::Other | Origin::Group if records::network(ingress).is_some() => DropReason::OtherNetwork.into(),
        Origin::Other => DropReason::FromOtherInterface.into(),
        Origin::Group => DropReason::MulticastOutside.into(),
        Origin::Refused(code) => code,
    };
    let Amount { packets, bytes } = Amount::whole(skb, L3_OFF);
    counters::fwd_count_at_network(skb.ifindex(), code, packets, bytes);
    if code == Code::DELIVERED { Action::NEXT } else { Action::DROP }
}

/// Whether a packet that came in by `ingress` is of the network itself: routed back into it, or (where bridges call netfilter) from one
/// of its ports.
#[inline(always)]
fn is_own(ingress: u32, network: u32) -> bool {
    if ingress == network {
        return true;
    }
    let Some(endpoint) = records::endpoint(ingress) else { return false };
    endpoint.network == network
}

/// What becomes of a packet of the network itself.
#[inline(always)]
fn within(network: u32) -> Origin {
    match records::network(network) {
        Some(record) if record.flags & endpoint_flags::NO_ICC != 0 => Origin::Refused(DropReason::PeerIsolated.into()),
        _ => Origin::Let,
    }
}

/// Of what a packet is that the kernel sends into a network.
enum Origin {
    /// Of a flow, as its answer, or of the network itself.
    Let,
    /// Of no flow.
    Other,
    /// The same, to a group.
    Group,
    /// Of a flow or the network, but not let through, for the reason with this code.
    Refused(Code),
}

#[inline(always)]
fn of_no_flow(to_group: bool) -> Origin {
    if to_group { Origin::Group } else { Origin::Other }
}

/// Whether the packet answers a flow whose replies come in by `ingress`.
#[inline(always)]
fn classify(skb: Skb, ingress: u32) -> Origin {
    let bytes = skb.headers();
    let protocol = ethertype(&bytes);
    if skb.vlan_present() == 0 && protocol == ethertype::IPV6 {
        let lets = guard::is_from_uplink(skb, &bytes, ingress);
        return if lets { Origin::Let } else { of_no_flow(guard::is_to_group(&bytes)) };
    }
    if skb.vlan_present() != 0 || protocol != ethertype::IPV4 {
        return Origin::Other;
    }
    let Ok(ip) = ipv4::parse(&bytes, L3_OFF) else { return Origin::Other };
    let Some(host_veth) = records::host_veth_of(ip.dst) else {
        return of_no_flow(ipv4::is_multicast_or_broadcast(ip.dst));
    };
    // Records of fragments of their own: what the kernel made of a reply is not what came by the uplink.
    let network = skb.ifindex();
    let mut seen = Tuple::without_ports(&ip, network);
    if code(fwd_complete_tuple(skb, &mut seen, network, icmp::ECHO_REPLY.into(), ETHERNET)) != 0 {
        return Origin::Other;
    }
    let sent = seen.answer(host_veth);
    let slot = slot_of(Direction::Outbound, &sent);
    match lookup::load(Direction::Outbound, slot, &sent) {
        Some(hit) if hit.slot.arrives_by().read() == ingress => {}
        _ => return Origin::Other,
    }
    match fragments::check(skb, &seen, L3_OFF, Code::DELIVERED) {
        Ok(()) => Origin::Let,
        Err(code) => Origin::Refused(code),
    }
}
