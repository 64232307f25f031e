//! What a packet of IPv4 to a neighbour speaks of.

use forwarder_common::{
    abi::mapped,
    decide::policy::{conversation::Part, head},
    types::verdict::{Code, DropReason},
    wire::{icmp, ipv4, l4::Proto, packet::L3_OFF},
};

use super::{
    is_asked,
    neighbours::{Kept, fwd_policy_judge, weigh},
};
use crate::{
    kernel::{
        maps::SPOKEN,
        packet::{anywhere::Anywhere, skb::Skb},
        scratch::{IcmpError, Spoken, scratch},
    },
    path::slow::icmp_error::read::{error, fwd_icmp_error_read},
};

global_fn! {
    /// See [`between`].
    fn fwd_policy_between(skb: Skb, peer: u32) -> Result<(), Code> = judged;
    /// See [`name`].
    fn fwd_policy_name(skb: Skb) -> u32 = name;
    /// See [`transport`].
    fn fwd_policy_transport(skb: Skb, at: u32) -> Code = transport;
    /// See [`tells`].
    fn fwd_policy_tells(skb: Skb) -> () = tells;
}

/// Whether a packet of IPv4 that left a namespace may go to the neighbour behind `peer`.
#[inline(always)]
pub(in crate::path) fn between(skb: Skb, peer: u32) -> Result<(), Code> {
    fwd_policy_between(skb, peer)
}

#[inline(always)]
fn judged(skb: Skb, peer: u32) -> Result<(), Code> {
    if !is_asked() {
        return Ok(());
    }
    let kept = Kept::of(skb.ifindex(), peer);
    if kept.is_at_all() { kept.settle(speaks(skb, peer, kept)) } else { Ok(()) }
}

/// Finds out of which conversation the packet is, judges and counts it.
#[inline(always)]
fn speaks(skb: Skb, peer: u32, kept: Kept) -> Result<(), Code> {
    weigh(skb, 2 * ipv4::MIN_LEN, kept);
    let at = fwd_policy_name(skb);
    if at & REFUSED != 0 {
        return Err(Code::from_raw(at & !REFUSED));
    }
    if at != 0 {
        match fwd_policy_transport(skb, at) {
            Code::FORWARDED => {}
            Code::PASS => fwd_policy_tells(skb),
            broken => return Err(broken),
        }
    }
    fwd_policy_judge(skb.ifindex(), peer)
}

/// Set above a code in what [`name`] returns.
const REFUSED: u32 = 1 << 31;

/// Tells in the map `SPOKEN` of which conversation the packet is, as far as its network header knows. Returns where its transport header tells
/// more, 0 if it need not be asked, or [`REFUSED`] and a code.
///
/// In steps that are global functions: of what stands in a map by then the verifier knows nothing.
#[inline(always)]
fn name(skb: Skb) -> u32 {
    let Some(Spoken { conversation, part, tcp_flags, .. }) = scratch(&SPOKEN) else {
        return REFUSED | DropReason::Contended as u32;
    };
    let ip = match ipv4::parse(&Anywhere(skb), L3_OFF) {
        Ok(ip) => ip,
        Err(reason) => return REFUSED | reason as u32,
    };
    conversation.src = mapped(ip.src);
    conversation.dst = mapped(ip.dst);
    conversation.sport = [0; 2];
    conversation.dport = [0; 2];
    conversation.proto = ip.proto;
    conversation.query = 0;
    conversation._pad = [0; 2];
    *tcp_flags = 0;
    match head::transport(&ip) {
        Ok(Ok(at)) => at as u32,
        Ok(Err(found)) => {
            *part = found as u32;
            0
        }
        Err(reason) => REFUSED | reason as u32,
    }
}

/// Tells in the map `SPOKEN` what the transport header knows. [`Code::PASS`] if the packet may be an error of ICMP.
#[inline(always)]
fn transport(skb: Skb, at: u32) -> Code {
    let Some(Spoken { conversation, part, tcp_flags, .. }) = scratch(&SPOKEN) else {
        return DropReason::Contended.into();
    };
    let head = match head::read(&Anywhere(skb), conversation.proto, at as usize) {
        Ok(head) => head,
        Err(reason) => return reason.into(),
    };
    conversation.sport = head.sport;
    conversation.dport = head.dport;
    conversation.query = head.query;
    *part = head.part as u32;
    *tcp_flags = head.tcp_flags.into();
    if matches!(head.part, Part::Alone) { Code::PASS } else { Code::FORWARDED }
}

/// The same of ICMP that is neither a query nor its answer: an error is of the conversation of what it embeds, which went the other way.
#[inline(always)]
fn tells(skb: Skb) {
    let embedded = if fwd_icmp_error_read(skb, L3_OFF as u32) == 0 { error() } else { None };
    let Some(Spoken { conversation, part, .. }) = scratch(&SPOKEN) else { return };
    let Some(IcmpError { ip, embedded, .. }) = embedded else { return };
    if ip.dst != embedded.ip.src {
        return;
    }
    conversation.src = mapped(embedded.ip.dst);
    conversation.sport = embedded.l4.dst_port;
    conversation.dport = embedded.l4.src_port;
    conversation.proto = embedded.ip.proto;
    conversation.query = if embedded.ip.proto == Proto::Icmp as u8 { icmp::query(embedded.l4.icmp_type) } else { 0 };
    *part = Part::Tells as u32;
}
