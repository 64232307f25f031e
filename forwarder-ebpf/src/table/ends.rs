//! The addresses of flows of IPv6, of which tuples have fingerprints: see [`forwarder_common::flow::ipv6`].

use core::mem::offset_of;

use forwarder_common::{
    abi::{Addr, FlowEnds},
    types::{checksum::delta, direction::Direction},
};

use super::making::Making;
use crate::kernel::{
    maps::{FLOW_ENDS, PACKET6},
    scratch::scratch,
    shared::Shared,
};

global_fn! {
    /// See [`note`].
    fn fwd_ends_note(slot: Making) -> () = note;
    /// See [`compare`].
    pub(crate) fn fwd_ends_compare(direction: Direction, slot: u32) -> bool = compare;
}

/// Writes the addresses of the flow that is being made in `slot` for the packet in the map `PACKET6`. Nobody finds it yet.
#[inline(always)]
pub(super) fn write(slot: Making) {
    fwd_ends_note(slot);
}

#[inline(always)]
fn note(slot: Making) {
    let (Some(packet), Some(ends)) = (scratch(&PACKET6), Shared::element(&FLOW_ENDS, slot.index())) else { return };
    let (outward, inward) = (delta(packet.src, packet.external), delta(packet.external, packet.src));
    write_words(ends, INTERNAL, halves(packet.src));
    write_words(ends, REMOTE, halves(packet.dst));
    write_words(ends, EXTERNAL, halves(packet.external));
    ends.word_at::<OUTWARD>().write(outward);
    ends.word_at::<INWARD>().write(inward);
}

/// Where the addresses of a [`FlowEnds`] begin, in words of 64 bits, and where the rest stands, in bytes.
const INTERNAL: usize = offset_of!(FlowEnds, internal) / 8;
const REMOTE: usize = offset_of!(FlowEnds, remote) / 8;
const EXTERNAL: usize = offset_of!(FlowEnds, external) / 8;
const OUTWARD: usize = offset_of!(FlowEnds, delta);
const INWARD: usize = OUTWARD + 4;

/// An address as two words: byte by byte it would be copied over the stack.
type Words = [u64; 2];

#[inline(always)]
fn halves([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: Addr) -> Words {
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p])]
}

#[inline(always)]
fn joined(first: u64, second: u64) -> Addr {
    let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (first.to_ne_bytes(), second.to_ne_bytes());
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

#[inline(always)]
fn read_words(ends: Shared<FlowEnds>, at: usize) -> Words {
    [ends.nth_double_word(at).read(), ends.nth_double_word(at.wrapping_add(1)).read()]
}

#[inline(always)]
fn write_words(ends: Shared<FlowEnds>, at: usize, [first, second]: Words) {
    ends.nth_double_word(at).write(first);
    ends.nth_double_word(at.wrapping_add(1)).write(second);
}

#[inline(always)]
const fn differ([a, b]: Words, [c, d]: Words) -> bool {
    (a ^ c) | (b ^ d) != 0
}

/// Whether the packet in the map `PACKET6`, which goes in `direction`, is between the addresses of the flow in `slot`; that map then tells what
/// is to be written. Asked between [`lookup::matches`](super::lookup::matches) and [`lookup::copy`](super::lookup::copy), which reads the
/// version again: what was read here was that flow's, too.
#[inline(always)]
fn compare(direction: Direction, slot: u32) -> bool {
    let (Some(packet), Some(ends)) = (scratch(&PACKET6), Shared::element(&FLOW_ENDS, slot)) else { return false };
    let (from, to, written, delta) = if direction.is_inbound() {
        (REMOTE, EXTERNAL, INTERNAL, ends.word_at::<INWARD>().read())
    } else {
        (INTERNAL, REMOTE, EXTERNAL, ends.word_at::<OUTWARD>().read())
    };
    if differ(read_words(ends, from), halves(packet.src)) || differ(read_words(ends, to), halves(packet.dst)) {
        return false;
    }
    let [first, second] = read_words(ends, written);
    packet.delta = delta;
    packet.to = joined(first, second);
    true
}
