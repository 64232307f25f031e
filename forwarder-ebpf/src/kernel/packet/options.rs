//! Finds an option of an IP or a TCP header.

use core::ops::ControlFlow;

use forwarder_common::wire::options::{LONGEST, Outcome, STEPS, Walk};

use crate::kernel::{
    packet::skb::Skb,
    repeat::{Repeat, repeat},
};

/// [`Outcome::Present`] as a number.
pub(crate) const PRESENT: u32 = Outcome::Present as u32;
/// [`Outcome::Absent`] as a number.
pub(crate) const ABSENT: u32 = Outcome::Absent as u32;

/// Looks for one of two options among the `length` bytes at `off`: the [`Outcome`], and how far behind `off` it stands.
#[inline(always)]
pub(crate) fn find(skb: Skb, off: u32, length: u32, wanted: [u8; 2]) -> (u32, u32) {
    let found = fwd_find_option(skb, off, length, u16::from_ne_bytes(wanted).into());
    (found as u32, (found >> 32) as u32)
}

global_fn! {
    /// As [`find`], the outcome in the low word.
    fn fwd_find_option(skb: Skb, off: u32, length: u32, wanted: u32) -> u64 = find_option;
}

#[inline(always)]
fn find_option(skb: Skb, off: u32, length: u32, wanted: u32) -> u64 {
    let (outcome, at) = walk(skb, off, length, (wanted as u16).to_ne_bytes());
    u64::from(outcome) | u64::from(at) << 32
}

#[inline(always)]
fn walk(skb: Skb, off: u32, length: u32, wanted: [u8; 2]) -> (u32, u32) {
    let mut walk = Walk::new(length, wanted);
    let (words, _) = walk.bytes.as_chunks_mut::<4>();
    let mut at = 0;
    while at < LONGEST {
        if at < length
            && let Some(word) = words.get_mut(at as usize / 4)
            && !skb.copy(off.wrapping_add(at), word, 4)
        {
            return (Outcome::Malformed as u32, 0);
        }
        at = at.wrapping_add(4);
    }
    repeat(&mut walk, STEPS);
    let ended = walk.at >= walk.length;
    // As many paddings as there are steps.
    (if ended && walk.outcome == Outcome::Going as u32 { ABSENT } else { walk.outcome }, walk.at)
}

impl Repeat for Walk {
    #[inline(always)]
    fn round(&mut self, _number: u32) -> ControlFlow<()> {
        if self.step() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
