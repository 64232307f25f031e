//! Egress of an uplink: nothing leaves with the address of an endpoint, and the host's own sockets keep their conversations.

use forwarder_common::{
    decide::rewrite::{Side, Ttl},
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason, Verdict},
    },
    wire::{
        l4::{Proto, tcp_flag},
        packet::L3_OFF,
    },
};

use super::{apply, guard, icmp_error, read::fwd_read6};
use crate::{
    kernel::{
        counters::{self, Amount},
        devices::is_host_veth,
        maps::PACKET6,
        packet::skb::Skb,
        scratch::scratch,
    },
    path::{
        apply::Action,
        route::{self, Resolution},
    },
    table::{
        ends::fwd_ends_compare,
        fragments::{check_v6, fwd_fragment6_complete},
        lookup::{self, fwd_is_claimed},
        state,
        usage::{host_has_flows, is_published, may_be_external},
    },
};

/// Of a later fragment, which lacks its ports.
const LATER: Code = Verdict::Dropped(DropReason::Fragment).code();
/// What is neither an echo nor of another protocol may be an error.
const ERROR: Code = Verdict::Dropped(DropReason::IcmpType).code();

/// A packet on its way out by an uplink with a link-layer header.
#[inline(always)]
pub(crate) fn to_uplink(skb: Skb) -> Action {
    if !guard::fwd_guard6(skb, true) {
        return Action::DROP;
    }
    let ingress = skb.came_in_by();
    // Redirected by `from_ns`; or forwarded by the kernel for a network that is routed.
    if ingress != 0 && is_host_veth(ingress) || guard::leaves_as_it_is(skb) {
        return Action::NEXT;
    }
    let sent = match fwd_read6(skb, L3_OFF as u32, Direction::Outbound, 0) {
        Ok(()) => from_host(skb, ingress),
        Err(LATER) if host_has_flows() && fwd_fragment6_complete(skb.ifindex()).is_ok() => from_host(skb, ingress),
        Err(ERROR) if ingress == 0 => Ok(icmp_error::of_host(skb)),
        Err(_) => return Action::NEXT,
    };
    match sent {
        Ok(Code::PASS) => Action::NEXT,
        Ok(code) | Err(code) => {
            let Amount { packets, bytes } = Amount::whole(skb, L3_OFF);
            counters::fwd_count_at_uplink(skb.ifindex(), true, code, packets, bytes);
            Action::unsent(code)
        }
    }
}

/// A packet of a socket of the host itself, or one that it forwards, by now with the host's address. Where its port is claimed by an
/// endpoint's flow towards the same destination, it gets another one: as of IPv4, for the same reasons.
#[inline(always)]
fn from_host(skb: Skb, ingress: u32) -> Result<Code, Code> {
    let Some(packet) = scratch(&PACKET6) else { return Ok(Code::PASS) };
    let (tuple, flags) = (&packet.tuple, packet.tcp_flags);
    let port = u16::from_ne_bytes(tuple.sport);
    let published = is_published(tuple.proto, port);
    if !published && !may_be_external(port) {
        return Ok(Code::PASS);
    }
    let mut slot = if host_has_flows() { lookup::slot_of(Direction::Outbound, tuple) } else { 0 };
    if slot == 0 {
        let clashes = fwd_is_claimed(tuple);
        let opens = tuple.proto != Proto::Tcp as u8 || flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN;
        if !opens {
            let refuses = flags & tcp_flag::RST != 0 && clashes;
            return Ok(if refuses { PuntReason::AsymmetricReply.into() } else { Code::PASS });
        }
        // No look-up of sockets finds these; and an answer of who asks from a published port would be taken for a question.
        let asks = published && tuple.proto == Proto::Udp as u8;
        let unseen = ingress == 0 && (tuple.proto == Proto::Icmp as u8 || asks || skb.bound_to() != 0);
        if !unseen && !clashes {
            return Ok(Code::PASS);
        }
        slot = match route::ipv6::open_for_host(skb, tuple, skb.ifindex(), flags, !clashes) {
            Resolution::Flow(slot) => slot,
            // No other port is free: the reply goes to the endpoint that has this one, and the host tries again.
            _ => return Ok(Code::PASS),
        };
    }
    // The other fragments must find it.
    check_v6(skb, packet, Code::DELIVERED)?;
    let version = lookup::matches(Direction::Outbound, slot, tuple);
    if version.is_none() || !fwd_ends_compare(Direction::Outbound, slot) {
        return Err(DropReason::Contended.into());
    }
    let Some(hit) = lookup::copy(Direction::Outbound, slot, version) else { return Err(DropReason::Contended.into()) };
    state::note_segment(Direction::Outbound, &hit, packet.segment(), packet.amount(skb));
    apply::rewrite(skb, Side::Source, Ttl::Keep, hit.port)?;
    Ok(PuntReason::HostFlow.into())
}
