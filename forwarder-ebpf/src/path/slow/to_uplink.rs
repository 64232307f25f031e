//! Egress of an uplink: nothing leaves with a container's address, and the host's own sockets keep their conversations.

use forwarder_common::{
    abi::{Hook, Tuple},
    decide::rewrite::{Side, Ttl},
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason, Verdict},
    },
    wire::{
        ethernet::ethertype,
        icmp, ipv4,
        l4::{self, Proto, has_ports, tcp_flag},
        packet::PacketBytes as _,
    },
};

use crate::{
    kernel::{
        counters::{self, Amount},
        devices::is_host_veth,
        packet::{NO_HEADER, bytes::Bytes, protocol, skb::Skb},
        records,
    },
    path::{
        apply::{self, Action},
        fast,
        ipv6::guard,
        networks::in_fwd_network,
        route::{self, Resolution},
        slow::{address_only, fragments, icmp_error},
        tail_call::{tail_call, tail_call_ipv6},
        vlan,
    },
    table::{
        fragments as fragment_records,
        lookup::{self, Hit, fwd_is_claimed},
        state,
        usage::{host_has_flows, is_published, may_be_external},
    },
};

/// A packet on its way out by an uplink with a link-layer header: none of ours for sure, or else the slow path.
#[inline(always)]
pub(crate) fn to_uplink(skb: Skb) -> Action {
    if fast::departs_untouched(skb) || fast::ipv6::departs_untouched(skb) {
        return Action::NEXT;
    }
    tail_call_ipv6(skb, Hook::ToUplink);
    tail_call(skb, Hook::ToUplink)
}

/// The slow path of a packet on its way out, its network header at `L3`.
#[inline(always)]
pub(crate) fn slow<const L3: usize>(skb: Skb) -> Action {
    let bytes = skb.headers();
    match protocol::<L3>(skb, &bytes) {
        ethertype::IPV4 if L3 == NO_HEADER || skb.vlan_present() == 0 => {}
        ethertype::IPV6 if L3 == NO_HEADER || skb.vlan_present() == 0 => return guard::to_uplink::<L3>(skb, &bytes),
        ethertype::IPV4 | ethertype::IPV6 | ethertype::VLAN | ethertype::SERVICE_VLAN if L3 != NO_HEADER => {
            return vlan::leaves(skb);
        }
        _ => return Action::NEXT,
    }
    let Ok(ip) = ipv4::parse(&bytes, L3) else { return Action::NEXT };
    let result = if in_fwd_network(ip.src) {
        match fwd_is_from_network(u32::from_ne_bytes(ip.src), skb.ingress_ifindex()) {
            Ok(()) => from_container(skb, L3),
            Err(refused) => return counted(skb, L3, refused),
        }
    } else if skb.came_in_by() != 0 && is_host_veth(skb.came_in_by()) {
        // Redirected by `from_ns`.
        return Action::NEXT;
    } else if skb.ingress_ifindex() != 0 && !has_ports(ip.proto) {
        // Forwarded for somebody else without a port that could clash: not ours to change.
        address_only::forwarded(&ip);
        return Action::NEXT;
    } else if ip.proto == Proto::Icmp as u8 && is_icmp_error(&bytes, &ip) {
        return counted(skb, L3, icmp_error::of_host(skb, L3));
    } else {
        from_host(skb, &bytes, &ip)
    };
    let code = match result {
        Ok(None) => Code::PASS,
        Ok(Some(reason)) => reason.into(),
        Err(DropReason::IcmpType) => icmp_error::forwarded(skb, L3),
        Err(DropReason::Fragment | DropReason::Protocol) => fragments::departing::<L3>(skb),
        Err(reason) => reason.into(),
    };
    counted(skb, L3, code)
}

/// Counts the verdict with this code, unless the packet is passed.
#[inline(always)]
fn counted(skb: Skb, l3: usize, code: Code) -> Action {
    if code == Code::PASS {
        return Action::NEXT;
    }
    let amount = Amount::whole(skb, l3);
    counters::fwd_count_at_uplink(skb.ifindex(), true, code, amount.packets, amount.bytes);
    Action::unsent(code)
}

/// Whether a packet with the source `addr` (network byte order) came in by the bridge of the network of the endpoint that has this
/// address: otherwise whoever routes through the host could speak in the endpoint's name.
#[inline(always)]
fn is_from_network(addr: u32, ingress: u32) -> Result<(), Code> {
    let host_veth = records::host_veth_of(addr.to_ne_bytes()).ok_or(DropReason::Untranslated)?;
    let endpoint = records::endpoint(host_veth).ok_or(DropReason::Untranslated)?;
    if endpoint.network == ingress { Ok(()) } else { Err(DropReason::NotFromNetwork.into()) }
}

global_fn! {
    /// See [`is_from_network`].
    fn fwd_is_from_network(addr: u32, ingress: u32) -> Result<(), Code> = is_from_network;
}

/// A container's packet that the kernel forwarded: translated here, or dropped.
#[inline(always)]
fn from_container(skb: Skb, l3: usize) -> Result<Option<PuntReason>, DropReason> {
    let bytes = skb.all_headers();
    let ip = ipv4::parse(&bytes, l3)?;
    // No flow leads to a group.
    if ipv4::is_multicast_or_broadcast(ip.dst) {
        return Err(DropReason::MulticastOutside);
    }
    let l4 = l4::parse(&bytes, &ip)?;
    if l4.proto as u8 == Proto::Icmp as u8 && !icmp::is_request(l4.icmp_type) {
        return Err(DropReason::IcmpType);
    }
    let host_veth = records::host_veth_of(ip.src).ok_or(DropReason::Untranslated)?;
    let tuple = Tuple::of(&ip, &l4, host_veth);
    let Resolution::Flow(slot) = route::resolve(skb, &tuple, Ok(()), l4.tcp_flags) else {
        return Err(DropReason::Untranslated);
    };
    let hit = lookup::load(Direction::Outbound, slot, &tuple).ok_or(DropReason::Contended)?;
    if hit.out_if != skb.ifindex() {
        return Err(DropReason::RouteNotViaUplink);
    }
    translate(skb, &ip, &l4, &hit)?;
    Ok(Some(PuntReason::Translated))
}

#[inline(always)]
fn translate(skb: Skb, ip: &ipv4::Header, l4: &l4::Header, hit: &Hit) -> Result<(), DropReason> {
    const MISPLACED: Code = Verdict::Dropped(DropReason::ChecksumOffload).code();
    state::touch(Direction::Outbound, hit, ip, l4, Amount::of(skb, ip, l4));
    // The kernel has decremented the TTL already, or it is the host's own packet.
    match apply::rewrite(skb, ip.off, (Side::Source, Ttl::Keep), hit.addr, hit.port) {
        Ok(()) => Ok(()),
        Err(MISPLACED) => Err(DropReason::ChecksumOffload),
        Err(_) => Err(DropReason::Rewrite),
    }
}

#[inline(always)]
fn is_icmp_error(bytes: &Bytes, ip: &ipv4::Header) -> bool {
    matches!(bytes.load::<1>(ip.payload_off()), Ok([icmp_type]) if icmp::is_error(icmp_type))
}

/// A packet of a socket of the host itself, or one that it forwards, by now perhaps with the host's address: the kernel's own NAT knows
/// nothing of ours. Where its port is claimed by an endpoint's flow towards the same destination, it gets another one, as if the host
/// were an endpoint. Ports outside the NAT range that are not published never clash.
#[inline(always)]
fn from_host(skb: Skb, bytes: &Bytes, ip: &ipv4::Header) -> Result<Option<PuntReason>, DropReason> {
    let l4 = match l4::parse_first(bytes, ip) {
        Ok(l4) => l4,
        Err(reason @ (DropReason::Fragment | DropReason::Protocol)) => return Err(reason),
        Err(_) => return Ok(None),
    };
    let port = u16::from_ne_bytes(l4.src_port);
    let published = is_published(ip.proto, port);
    if !published && !may_be_external(port) {
        return Ok(None);
    }
    let is_icmp = l4.proto as u8 == Proto::Icmp as u8;
    if is_icmp && !icmp::is_request(l4.icmp_type) {
        return Ok(None);
    }
    let tuple = Tuple::of(ip, &l4, 0);
    let mut slot = host_flow(&tuple);
    if slot == 0 {
        let opens = l4.opens() || l4.proto as u8 == Proto::Udp as u8 || is_icmp;
        if !opens {
            // What came in where it may would have been the endpoint's.
            let refuses = l4.tcp_flags & tcp_flag::RST != 0 && fwd_is_claimed(&tuple);
            return Ok(if refuses { Some(PuntReason::AsymmetricReply) } else { None });
        }
        // Raw and ping sockets are not found by a look-up, nor are those bound to the uplink by one at another interface: they
        // claim what they use before an endpoint can. So does who asks from a published port without a connection: nothing else tells the
        // answer from a question to that port. What is forwarded does not: whoever the host translates could claim everything.
        let asks = published && l4.proto as u8 == Proto::Udp as u8;
        let unseen = skb.ingress_ifindex() == 0 && (is_icmp || asks || skb.bound_to() != 0);
        let clashes = fwd_is_claimed(&tuple);
        if !unseen && !clashes {
            return Ok(None);
        }
        slot = match route::open_for_host(skb, &tuple, skb.ifindex(), l4.tcp_flags, !clashes) {
            Resolution::Flow(slot) => slot,
            // No other port is free: the reply goes to the endpoint that has this one, and the host tries again.
            _ => return Ok(None),
        };
    }
    // The other fragments must find it.
    if ip.fragment && fragment_records::check(skb, &tuple, ip.off, Code::DELIVERED).is_err() {
        return Err(DropReason::FragmentOverlap);
    }
    let hit = lookup::load(Direction::Outbound, slot, &tuple).ok_or(DropReason::Contended)?;
    translate(skb, ip, &l4, &hit)?;
    Ok(Some(PuntReason::HostFlow))
}

/// The slot of the flow of a host's packet, if the host has any flow at all; 0 if there is none.
#[inline(always)]
fn host_flow(tuple: &Tuple) -> u32 {
    if host_has_flows() { lookup::slot_of(Direction::Outbound, tuple) } else { 0 }
}
