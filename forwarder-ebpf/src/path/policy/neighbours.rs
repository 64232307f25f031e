//! Neighbours have no flows: what has begun between two of which one has rules, or counts what it speaks, stands in the map `CONVERSATIONS`,
//! or where it is only counted, in `COUNTED`. By that answers pass, and errors about it; and it is what `fwd flows` shows of neighbours.

use forwarder_common::{
    abi::{Conversation, ConversationRecord, Counter, Endpoint, endpoint_flags},
    decide::policy::conversation::{Part, ends, is_over, lasts},
    types::verdict::{Code, DropReason},
    wire::{l4::Proto, packet::L3_OFF},
};

use super::{RULED, UNCOUNTED, asked, word};
use crate::kernel::{
    clock::now,
    counters::Amount,
    maps::{CONVERSATIONS, COUNTED, SPOKEN, config},
    packet::skb::Skb,
    records,
    scratch::{Spoken, scratch},
    shared::Shared,
};

global_fn! {
    /// See [`judge`].
    pub(in crate::path) fn fwd_policy_judge(from: u32, to: u32) -> Result<(), Code> = judge;
    /// See [`is_known`].
    fn fwd_policy_known(answers: bool) -> bool = is_known;
    /// See [`goes_on`].
    fn fwd_policy_goes_on(proto: u32, ended: u32, by_other: u32, seen: u32) -> bool = goes_on;
    /// See [`note`].
    fn fwd_policy_note(answers: bool) -> Result<(), Code> = note;
    /// See [`turn`].
    fn fwd_policy_turn() -> () = turn;
    /// See [`may_begin`].
    fn fwd_policy_begins(counts: bool) -> Result<(), Code> = may_begin;
}

/// The flags of the endpoints behind these host-side veths, together.
#[inline(always)]
fn flags_of(from: u32, to: u32) -> u32 {
    let flags = |host_veth| records::endpoint(host_veth).map_or(0, |endpoint| endpoint.flags);
    flags(from) | flags(to)
}

/// What is done about a packet between the endpoints behind two host-side veths.
#[derive(Clone, Copy)]
pub(in crate::path) struct Kept(u32);

impl Kept {
    /// As their records say.
    #[inline(always)]
    pub(in crate::path) fn of(from: u32, to: u32) -> Self {
        Self(flags_of(from, to))
    }

    /// Whether it is kept what they speak: one of them has rules, or counts it.
    #[inline(always)]
    pub(in crate::path) const fn is_at_all(self) -> bool {
        self.0 & (RULED | endpoint_flags::EAST_WEST) != 0
    }

    /// What becomes of a packet of which this was `said`: where neither has rules nothing is refused, whatever could not be counted.
    #[inline(always)]
    pub(in crate::path) fn settle(self, said: Result<(), Code>) -> Result<(), Code> {
        if self.0 & RULED != 0 { said } else { Ok(()) }
    }
}

/// Notes in the map `SPOKEN` how its conversation is `kept`, and what the packet adds to the counters of that, each segment of which repeats so many
/// bytes of `headers`: as much as to those of its endpoint.
#[inline(always)]
pub(in crate::path) fn weigh(skb: Skb, headers: usize, kept: Kept) {
    let Some(Spoken { packets, bytes, counted, .. }) = scratch(&SPOKEN) else { return };
    *counted = (kept.0 & RULED == 0).into();
    *packets = skb.segments(L3_OFF.wrapping_add(headers));
    *bytes = Amount::whole(skb, L3_OFF).bytes;
}

/// Whether the packet whose part in a conversation stands in the map `SPOKEN` may go from one endpoint to the other: it is of one that has
/// begun, or may begin one by the rules at both ends.
///
/// A segment that goes on with a connection of which nothing is known, because it is older than the rules, passes if either end might have
/// begun it: it can begin none. So does the kernel's conntrack take connections up (`nf_conntrack_tcp_loose`).
#[inline(always)]
fn judge(from: u32, to: u32) -> Result<(), Code> {
    let Some(Spoken { conversation, part, .. }) = scratch(&SPOKEN) else { return Err(DropReason::Contended.into()) };
    let part = Part::of(*part);
    conversation.from = from;
    conversation.to = to;
    if matches!(part, Part::Aside) || part.may_go_on() && fwd_policy_known(false) {
        return Ok(());
    }
    fwd_policy_turn();
    if part.may_answer() && fwd_policy_known(true) {
        return Ok(());
    }
    if matches!(part, Part::GoesOn) && fwd_policy_begins(false).is_ok() {
        return fwd_policy_note(true);
    }
    fwd_policy_turn();
    if matches!(part, Part::Tells) {
        conversation.proto = Proto::Icmp as u8;
    }
    fwd_policy_begins(true)?;
    if part.begins() { fwd_policy_note(false) } else { Ok(()) }
}

/// Whether the conversation in the map `SPOKEN` has begun and is not idle; it is not idle then, and has counted the packet, which the other end
/// has sent if it `answers`.
#[inline(always)]
fn is_known(answers: bool) -> bool {
    let Some(Spoken { conversation, tcp_flags, packets, bytes, counted, .. }) = scratch(&SPOKEN) else { return false };
    let found = if *counted == 0 {
        Shared::recent(&CONVERSATIONS, conversation)
    } else {
        Shared::recent(&COUNTED, conversation)
    };
    let Some(found) = found else { return false };
    let (ended, by_other) = (found.ended().read(), found.ended_by_other().read());
    if !fwd_policy_goes_on(conversation.proto.into(), ended, by_other, found.seen().read()) {
        return false;
    }
    found.seen().write(now());
    let (counter, told) =
        if answers { (found.received(), found.ended_by_other()) } else { (found.sent(), found.ended()) };
    counter.packets().add((*packets).into());
    counter.bytes().add((*bytes).into());
    told.write(ends(told.read(), *tcp_flags as u8));
    true
}

/// Whether a conversation of this protocol that was last seen at `seen`, and of which the two ends have told such ends, still goes on. A function of
/// its own: what follows would be verified for each of its ways.
#[inline(always)]
fn goes_on(proto: u32, ended: u32, by_other: u32, seen: u32) -> bool {
    config().is_some_and(|config| lasts(proto as u8, is_over(ended, by_other), seen, now(), &config.timeouts))
}

/// Notes that the conversation in the map `SPOKEN` has begun with the packet, which the other end has sent if it `answers`.
#[inline(always)]
fn note(answers: bool) -> Result<(), Code> {
    let Some(Spoken { conversation, tcp_flags, packets, bytes, counted, .. }) = scratch(&SPOKEN) else {
        return Err(DropReason::Contended.into());
    };
    let now = now();
    let mut begun = ConversationRecord { seen: now, began: now, ..ConversationRecord::default() };
    let (counter, told) =
        if answers { (&mut begun.received, &mut begun.ended_by_other) } else { (&mut begun.sent, &mut begun.ended) };
    *counter = Counter { packets: (*packets).into(), bytes: (*bytes).into() };
    *told = ends(0, *tcp_flags as u8);
    let noted = if *counted == 0 {
        CONVERSATIONS.insert(conversation, &begun, 0)
    } else {
        COUNTED.insert(conversation, &begun, 0)
    };
    noted.map_err(|_| DropReason::Contended.into())
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
