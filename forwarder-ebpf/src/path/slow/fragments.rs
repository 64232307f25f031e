//! Fragments, and protocols that are translated address-only: packets that do not name their flow by ports of their own. The hooks
//! come here when the parser has refused a packet for that, so that the others pay nothing.
//!
//! In three steps: [`fwd_complete_tuple`] completes the tuple, the hook finds or makes the flow, [`send`] translates by it and sends.

use forwarder_common::{
    abi::{FlowVersion, SLOT_NONE, Tuple, ZONE_MAIN},
    decide::{address_only::is_translatable, fragment::Piece},
    flow::is_route_old,
    types::{
        direction::Direction,
        verdict::{Code, DropReason},
    },
    wire::{
        icmp, ipv4,
        l4::{self, Proto, has_ports},
        packet::L3_OFF,
    },
};

use crate::{
    kernel::{
        clock::now,
        maps::config,
        packet::{l3_off, skb::Skb, whole},
        records, slots,
    },
    path::{
        apply::Action,
        arrival, at_ns, at_uplink,
        networks::in_fwd_network,
        route::{self, Resolution},
        slow::{
            address_only::{self, OPEN},
            send, unsolicited,
        },
        validate,
    },
    table::{
        fragments as fragment_records,
        lookup::{self, slot_of},
        usage,
    },
};

/// Where the network header of a namespace's packet is.
const ETHERNET: u32 = L3_OFF as u32;

/// What [`fwd_complete_tuple`] found. Below it: the flags of a first TCP fragment, and the code of the reason to drop the packet
/// unless its destination needs no translation.
const LATER_FRAGMENT: u32 = 1 << 16;

/// Completes `tuple` by the ports of the packet, or of the first fragment of its packet, which was seen at `ifindex`. `query` is
/// the type of an echo of which the kind, a request or a reply, may pass. Returns 0 or what [`LATER_FRAGMENT`] describes.
#[inline(always)]
fn complete(skb: Skb, tuple: &mut Tuple, ifindex: u32, query: u32, l3: u32) -> u32 {
    match complete_tuple(skb, tuple, ifindex, query, l3_off(l3)) {
        Ok(word) => word,
        Err(reason) => reason as u32,
    }
}

global_fn! {
    /// See [`complete`].
    pub(crate) fn fwd_complete_tuple(skb: Skb, tuple: &mut Tuple, ifindex: u32, query: u32, l3: u32) -> u32 = complete;
    /// See [`find_departing`].
    fn fwd_find_departing(skb: Skb, tuple: &mut Tuple, l3: u32) -> u32 = find_departing;
}

#[inline(always)]
fn complete_tuple(skb: Skb, tuple: &mut Tuple, ifindex: u32, query: u32, l3: usize) -> Result<u32, DropReason> {
    let bytes = skb.all_headers();
    let ip = ipv4::parse(&bytes, l3)?;
    if !has_ports(ip.proto) {
        return if is_translatable(ip.proto) { Ok(0) } else { Err(DropReason::Protocol) };
    }
    if ip.fragment {
        // What is wrong with the fragment itself comes first.
        Piece::of(&ip)?;
    }
    if ip.fragment_start() != 0 {
        [tuple.sport, tuple.dport] = fragment_records::ports(&ip, ifindex)?;
        return Ok(LATER_FRAGMENT);
    }
    let l4 = l4::parse_first(&bytes, &ip)?;
    if l4.proto as u8 == Proto::Icmp as u8 {
        let answers = query == u32::from(icmp::ECHO_REPLY);
        let wanted = if answers { icmp::is_reply(l4.icmp_type) } else { icmp::is_request(l4.icmp_type) };
        tuple.query = icmp::query(l4.icmp_type);
        // The records of fragments remember identifiers, and not of what: that is echo.
        if !wanted || ip.fragment && tuple.query != 0 {
            return Err(DropReason::IcmpType);
        }
    }
    tuple.sport = l4.src_port;
    tuple.dport = l4.dst_port;
    Ok(u32::from(l4.tcp_flags) << 8)
}

/// The code in what [`fwd_complete_tuple`] returned.
#[inline(always)]
pub(crate) const fn code(word: u32) -> u32 {
    word & 0xff
}

/// A packet that leaves a namespace. What cannot be translated may still go to a neighbour or to the host.
#[inline(always)]
pub(crate) fn outbound(skb: Skb, ip: &ipv4::Header, reason: DropReason) -> Action {
    let mut tuple = Tuple::without_ports(ip, skb.ifindex());
    let mut word = reason as u32;
    if matches!(reason, DropReason::Fragment | DropReason::Protocol) {
        word = fwd_complete_tuple(skb, &mut tuple, skb.ifindex(), icmp::ECHO_REQUEST.into(), ETHERNET);
    }
    // In fragments an error would pass by what looks at it whole.
    if word == DropReason::IcmpType as u32
        && let Err(refused) = validate::fwd_validate_icmp(skb)
    {
        return at_ns::counted(skb, refused);
    }
    let slot;
    if word & LATER_FRAGMENT != 0 {
        slot = slot_of(Direction::Outbound, &tuple);
        if slot == 0 {
            return at_ns::drop(skb, DropReason::FragmentUnknown);
        }
    } else {
        let tcp_flags = (word >> 8) as u8;
        let mut resolution = route::resolve(skb, &tuple, Code::checked(code(word)), tcp_flags);
        if let Resolution::Flow(found) = resolution
            && stale(found)
        {
            resolution = route::refresh::refresh(skb, &tuple, found, now(), tcp_flags);
        }
        slot = match resolution {
            Resolution::Flow(slot) => slot,
            other => return at_ns::deliver_or_refuse(skb, other),
        };
    }
    send::outbound(skb, &tuple, slot, lookup::matches(Direction::Outbound, slot, &tuple))
}

/// A packet of the flow in `slot`, whose route is a second old.
#[inline(always)]
pub(crate) fn reroute(skb: Skb, tuple: &Tuple, slot: u32, tcp_flags: u8) -> Action {
    match route::refresh::refresh(skb, tuple, slot, now(), tcp_flags) {
        Resolution::Flow(slot) => send::outbound(skb, tuple, slot, lookup::matches(Direction::Outbound, slot, tuple)),
        other => at_ns::deliver_or_refuse(skb, other),
    }
}

/// Whether the route of the flow in `slot` is a second old.
#[inline(always)]
fn stale(slot: u32) -> bool {
    let (Some(slot), Some(config)) = (slots::slot(slot), config()) else { return false };
    is_route_old(slot.route_checked().read(), now(), config.hz)
}

/// A packet that arrives by an uplink: one that belongs to no flow and begins none is the host's, and so is a later fragment of which the
/// first was not seen.
#[inline(always)]
pub(crate) fn inbound<const L3: usize>(skb: Skb, ip: &ipv4::Header) -> Action {
    let mut tuple = Tuple::without_ports(ip, ZONE_MAIN);
    let word = fwd_complete_tuple(skb, &mut tuple, skb.ifindex(), icmp::ECHO_REPLY.into(), L3 as u32);
    if code(word) != 0 {
        return Action::NEXT;
    }
    let by_address = !has_ports(ip.proto);
    let (mut slot, mut version) = if by_address && !usage::any_address_only() {
        (SLOT_NONE, FlowVersion::NONE)
    } else {
        lookup::fwd_find(Direction::Inbound, &tuple)
    };
    if version.is_none() && !by_address && word & LATER_FRAGMENT == 0 {
        (slot, version) = unsolicited::open(skb, &tuple, (word >> 8) as u8);
        let refused = Code::from_raw(slot);
        if version.is_none() && refused.is_drop() {
            at_uplink::count_here(skb, L3, refused);
            return Action::DROP;
        }
    }
    if version.is_none() {
        if by_address {
            address_only::heard(&tuple);
        }
        return Action::NEXT;
    }
    if !arrival::may_arrive(skb, slot) {
        return Action::NEXT;
    }
    if !whole(skb, ip) {
        return at_uplink::drop(skb, L3, DropReason::Malformed);
    }
    if ip.len != ipv4::MIN_LEN && at_uplink::source_routed(skb, L3) {
        return at_uplink::drop(skb, L3, DropReason::SourceRoute);
    }
    send::inbound(skb, L3, &tuple, slot, version)
}

/// A packet on its way out by an uplink, with a container's address, or a later fragment or a packet without ports of the host
/// itself. Returns the code of the verdict.
#[inline(always)]
pub(crate) fn departing<const L3: usize>(skb: Skb) -> Code {
    let mut tuple = Tuple::default();
    let mut slot = fwd_find_departing(skb, &mut tuple, L3 as u32);
    if slot == OPEN {
        slot = match route::open_for_host(skb, &tuple, skb.ifindex(), 0, false) {
            Resolution::Flow(slot) => slot,
            // If an endpoint was faster, the host's next packet ends its flow.
            _ => SLOT_NONE,
        };
    }
    if slot == SLOT_NONE {
        return Code::PASS;
    }
    if slot & REFUSED != 0 {
        return Code::from_raw(code(slot));
    }
    send::departing(skb, L3, &tuple, slot, lookup::matches(Direction::Outbound, slot, &tuple))
}

/// In what [`fwd_find_departing`] returns: the rest is the code of the reason to drop the packet.
const REFUSED: u32 = 1 << 31;

/// Finds the flow of a packet that departs, and writes its `tuple`. A container's flow was made by `from_ns`, before the packet was
/// left to the kernel. Returns its slot, [`SLOT_NONE`] if it is none of ours, [`OPEN`], or a code and [`REFUSED`].
#[inline(always)]
fn find_departing(skb: Skb, tuple: &mut Tuple, l3: u32) -> u32 {
    let Ok(ip) = ipv4::parse(&skb.headers(), l3_off(l3)) else { return SLOT_NONE };
    *tuple = Tuple::without_ports(&ip, 0);
    if in_fwd_network(tuple.saddr) {
        return match container(skb, tuple, l3_off(l3)) {
            Ok(slot) => slot,
            Err(reason) => reason as u32 | REFUSED,
        };
    }
    if !has_ports(tuple.proto) {
        return address_only::of_host(tuple);
    }
    // The first fragment was translated, or it was not.
    let later = usage::host_has_flows()
        && matches!(complete_tuple(skb, tuple, skb.ifindex(), 0, l3_off(l3)), Ok(LATER_FRAGMENT));
    if later { slot_of(Direction::Outbound, tuple) } else { SLOT_NONE }
}

#[inline(always)]
fn container(skb: Skb, tuple: &mut Tuple, l3: usize) -> Result<u32, DropReason> {
    tuple.ifindex = records::host_veth_of(tuple.saddr).ok_or(DropReason::Untranslated)?;
    // Records of their own: `from_ns` has seen these fragments, or the packet that the kernel made them of.
    complete_tuple(skb, tuple, skb.ifindex(), icmp::ECHO_REQUEST.into(), l3)?;
    match slot_of(Direction::Outbound, tuple) {
        0 => Err(DropReason::Untranslated),
        slot => Ok(slot),
    }
}
