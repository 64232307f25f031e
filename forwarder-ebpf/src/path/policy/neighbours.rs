//! Neighbours have no flows: while some endpoint has rules, what has begun between two of which one has some stands in the map `CONVERSATIONS`,
//! by which answers pass, and errors about it.

use forwarder_common::{
    abi::{Conversation, Endpoint},
    decide::policy::conversation::{Part, lasts},
    types::verdict::{Code, DropReason},
    wire::l4::Proto,
};

use super::{RULED, UNCOUNTED, asked, word};
use crate::kernel::{
    clock::now,
    maps::{CONVERSATIONS, SPOKEN, config},
    records,
    scratch::{Spoken, scratch},
    shared::Shared,
};

global_fn! {
    /// See [`judge`].
    pub(in crate::path) fn fwd_policy_judge(from: u32, to: u32) -> Result<(), Code> = judge;
    /// See [`is_known`].
    fn fwd_policy_known() -> bool = is_known;
    /// See [`note`].
    fn fwd_policy_note() -> Result<(), Code> = note;
    /// See [`turn`].
    fn fwd_policy_turn() -> () = turn;
    /// See [`may_begin`].
    fn fwd_policy_begins(counts: bool) -> Result<(), Code> = may_begin;
}

/// Whether one of the endpoints behind these host-side veths has rules.
#[inline(always)]
pub(in crate::path) fn are_ruled(from: u32, to: u32) -> bool {
    let flags = |host_veth| records::endpoint(host_veth).map_or(0, |endpoint| endpoint.flags);
    (flags(from) | flags(to)) & RULED != 0
}

/// Whether the packet whose part in a conversation stands in the map `SPOKEN` may go from one endpoint to the other: it is of one that has
/// begun, or may begin one by the rules at both ends.
///
/// A segment that goes on with a connection of which nothing is known, because it is older than the rules, passes if either end might have
/// begun it: it can begin none. So does the kernel's conntrack take connections up (`nf_conntrack_tcp_loose`).
#[inline(always)]
fn judge(from: u32, to: u32) -> Result<(), Code> {
    let Some(Spoken { conversation, part }) = scratch(&SPOKEN) else { return Err(DropReason::Contended.into()) };
    let part = Part::of(*part);
    conversation.from = from;
    conversation.to = to;
    if matches!(part, Part::Aside) || part.may_go_on() && fwd_policy_known() {
        return Ok(());
    }
    fwd_policy_turn();
    if part.may_answer() && fwd_policy_known() {
        return Ok(());
    }
    if matches!(part, Part::GoesOn) && fwd_policy_begins(false).is_ok() {
        return fwd_policy_note();
    }
    fwd_policy_turn();
    if matches!(part, Part::Tells) {
        conversation.proto = Proto::Icmp as u8;
    }
    fwd_policy_begins(true)?;
    if part.begins() { fwd_policy_note() } else { Ok(()) }
}

/// Whether the conversation in the map `SPOKEN` has begun and is not idle; it is not idle then.
#[inline(always)]
fn is_known() -> bool {
    let Some(Spoken { conversation, .. }) = scratch(&SPOKEN) else { return false };
    let (Some(seen), Some(config)) = (Shared::recent(&CONVERSATIONS, conversation), config()) else { return false };
    let (then, now) = (seen.read(), now());
    let lasts = lasts(conversation.proto, then, now, &config.timeouts);
    if lasts && then != now {
        seen.write(now);
    }
    lasts
}

/// Notes that the conversation in the map `SPOKEN` has begun.
#[inline(always)]
fn note() -> Result<(), Code> {
    let noted = scratch(&SPOKEN).is_some_and(|spoken| CONVERSATIONS.insert(&spoken.conversation, &now(), 0).is_ok());
    if noted { Ok(()) } else { Err(DropReason::Contended.into()) }
}

/// Makes of the conversation in the map `SPOKEN` that which the other end would have begun.
#[inline(always)]
fn turn() {
    if let Some(Spoken { conversation, .. }) = scratch(&SPOKEN) {
        *conversation = conversation.answer();
    }
}

/// Whether the rules at both ends let the conversation in the map `SPOKEN` begin. What they refuse is counted if it `counts`.
#[inline(always)]
fn may_begin(counts: bool) -> Result<(), Code> {
    let Some(Spoken { conversation, .. }) = scratch(&SPOKEN) else { return Err(DropReason::Contended.into()) };
    let (Some(from), Some(to)) = (records::endpoint(conversation.from), records::endpoint(conversation.to)) else {
        return Err(DropReason::NoEndpoint.into());
    };
    let word = word(conversation.proto, conversation.port().to_be_bytes()) | if counts { 0 } else { UNCOUNTED };
    ask(from, to, conversation, word)
}

#[inline(always)]
fn ask(from: &Endpoint, to: &Endpoint, conversation: &Conversation, word: u32) -> Result<(), Code> {
    asked(from, false, &conversation.dst, word)?;
    asked(to, true, &conversation.src, word)
}
