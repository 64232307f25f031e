//! Packets that arrive by an uplink for somebody else than the host and its namespaces. A host that was no router before `fwd` switched
//! forwarding on at the uplink does not become one.

use forwarder_common::{
    abi::{Tuple, feature, uplink_flags},
    decide::transit,
    types::verdict::DropReason,
    wire::{
        ipv4,
        l4::has_ports,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        fib::{Sender, look_up},
        maps::config,
        packet::skb::Skb,
        records,
    },
    path::at_uplink,
};

/// Whether a packet to `addr` (network byte order) that arrives by an uplink has to be asked for by [`fwd_refuse_transit`]: mostly it is for
/// the uplink's own address.
#[inline(always)]
pub(crate) fn is_possible(addr: u32) -> bool {
    config().is_some_and(|config| {
        config.features & feature::NO_TRANSIT != 0 && transit::is_elsewhere(addr, &config.own_addresses)
    })
}

global_fn! {
    /// Whether the IPv4 packet at `l3`, which arrives by an uplink, is one that the host would forward for somebody else, and must not: it was
    /// counted then, and the kernel takes it for another host's.
    pub(crate) fn fwd_refuse_transit(skb: Skb, l3: u32) -> bool = refuse;
    /// See [`is_for_announced`].
    pub(super) fn fwd_is_for_announced(skb: Skb, l3: u32) -> bool = is_for_announced;
}

// PACKET_* (include/uapi/linux/if_packet.h): to this host alone, and to another one. What is not the former is not forwarded.
const HOST: u32 = 0;
const OTHER_HOST: u32 = 3;

#[inline(always)]
fn refuse(skb: Skb, l3: u32) -> bool {
    let restrained = records::uplink(skb.ifindex()).is_some_and(|it| it.flags & uplink_flags::NO_TRANSIT != 0);
    if !restrained || skb.pkt_type() != HOST {
        return false;
    }
    // Behind a few tags at most. The callers have made the headers linear, and go on with them.
    let l3 = (l3 & 0x3f) as usize;
    let bytes = skb.linear();
    let Ok(ip) = ipv4::parse(&bytes, l3) else { return false };
    // What is announced for a namespace is not for somebody else, though the kernel would take it for that.
    if !transit::is_forwardable(ip.src, ip.dst) || records::announced_at(ip.dst).is_some() {
        return false;
    }
    if !is_forwarded(skb, l3, &ip) {
        return false;
    }
    at_uplink::count_here(skb, l3, DropReason::Transit.into());
    // Not thrown away: a client of DHCP that has no address yet reads the answer from the interface.
    skb.set_pkt_type(OTHER_HOST);
    true
}

/// Whether the IPv4 packet at `l3`, which arrives by an uplink, is for an announced address, and the kernel would send it on. Where the host has got
/// the address itself meanwhile (DHCP, `ip address add`), it is the host's: the kernel answers for it, too, and others mean the host by it.
#[inline(always)]
fn is_for_announced(skb: Skb, l3: u32) -> bool {
    let l3 = (l3 & 0x3f) as usize;
    let Ok(ip) = ipv4::parse(&skb.linear(), l3) else { return false };
    records::announced_at(ip.dst).is_some() && is_forwarded(skb, l3, &ip)
}

/// Whether the kernel would send on the IPv4 packet with the header `ip` at `l3`, which arrives by an uplink: it has a route, and is not for the host.
#[inline(always)]
fn is_forwarded(skb: Skb, l3: usize, ip: &ipv4::Header) -> bool {
    // Rules may ask for the ports, and for the type of service, which is read where it mostly stands.
    let mut tuple = Tuple::without_ports(ip, if l3 == L3_OFF { skb.ifindex() } else { 0 });
    if has_ports(ip.proto)
        && ip.fragment_start() == 0
        && let Ok([s0, s1, d0, d1]) = skb.linear().load::<4>(ip.payload_off())
    {
        (tuple.sport, tuple.dport) = ([s0, s1], [d0, d1]);
    }
    transit::is_forwarded(look_up(skb, &tuple, Sender::Forwarded(skb.ifindex())))
}
