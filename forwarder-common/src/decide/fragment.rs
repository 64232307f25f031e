//! Fragments: each is translated on its own, nothing is reassembled. The first has the ports; a record of them is kept until the
//! packet is complete, and the others find it.
//!
//! A record also notes which parts were let through, so that no fragment overwrites another's bytes behind the translator's
//! back (RFC 1858, RFC 3128). As Linux does: a fragment that repeats what was seen is dropped, one that overlaps in part poisons
//! the packet (RFC 5722 §4, RFC 8200 §4.5).
//!
//! Endpoints share the address behind which their packets appear, and the receiver tells fragments apart by addresses, protocol and
//! identification alone (RFC 791 §3.2). So that nobody completes another's packet there, no fragment goes where the first one did not: what
//! is left to the kernel is left to it as a whole, and a later fragment has no more hops to live than the first. And identifications leave
//! under a mask that nobody inside knows ([`id_mask`]).

pub mod ipv6;
mod replace;

pub use replace::{find, rank, share};

use crate::{
    abi::{
        Secret, Tuple,
        fragment::{RANGES, Range, Record, WAYS},
    },
    flow,
    types::verdict::{Code, DropReason},
    wire::ipv4,
};

/// How long a packet may take to arrive, seconds: what Linux waits for (`ipfrag_time`).
pub const LIFETIME_SECONDS: u32 = 30;

const TCP: u8 = crate::wire::l4::Proto::Tcp as u8;

/// Values of the state of a [`Record`].
mod state {
    /// Unused.
    pub(super) const FREE: u8 = 0;
    /// Parts are missing.
    pub(super) const OPEN: u8 = 1;
    /// Complete: only a new first fragment with the same identification goes on.
    pub(super) const DONE: u8 = 2;
    /// Fragments overlapped: the rest is dropped.
    pub(super) const POISONED: u8 = 3;
    /// The first was left to the kernel, and so are the others.
    pub(super) const LEFT: u8 = 4;
}

impl Range {
    /// Both numbers in one.
    #[inline(always)]
    const fn pack(self) -> u32 {
        self.start as u32 | (self.end as u32) << 16
    }

    #[inline(always)]
    const fn unpack(word: u32) -> Self {
        Self { start: word as u16, end: (word >> 16) as u16 }
    }

    const fn is_empty(self) -> bool {
        self.end == 0
    }

    const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    const fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    const fn adjoins(self, other: Self) -> bool {
        self.end == other.start || self.start == other.end
    }
}

/// The steps of [`see`] that look at one record or one range after another. In the kernel each is a function that is verified by
/// itself: the verifier would follow all combinations of their branches otherwise.
pub trait Steps {
    /// Index of the record of `key`, and [`KNOWN`]; otherwise index of the record to be replaced first.
    fn find(records: &[Record; WAYS], key: &Tuple, time: Time) -> u32;
    /// See [`rank`].
    fn rank(records: &[Record; WAYS], record: &Record, key: &Tuple, time: Time) -> u32;
    /// See [`share`].
    fn share(records: &[Record; WAYS], key: &Tuple) -> u32;
    /// See [`look`].
    fn look(state: u64, known: u32, range: u32) -> u64;
    /// See [`place`].
    fn place(known: u32, range: u32, merged: u32, flags: u32) -> u64;
}

/// The steps as they are.
pub struct Inline;

impl Steps for Inline {
    #[inline(always)]
    fn find(records: &[Record; WAYS], key: &Tuple, time: Time) -> u32 {
        find::<Self>(records, key, time)
    }

    #[inline(always)]
    fn rank(records: &[Record; WAYS], record: &Record, key: &Tuple, time: Time) -> u32 {
        rank::<Self>(records, record, key, time)
    }

    #[inline(always)]
    fn share(records: &[Record; WAYS], key: &Tuple) -> u32 {
        share(records, key)
    }

    #[inline(always)]
    fn look(state: u64, known: u32, range: u32) -> u64 {
        look(state, known, range)
    }

    #[inline(always)]
    fn place(known: u32, range: u32, merged: u32, flags: u32) -> u64 {
        place(known, range, merged, flags)
    }
}

/// In the result of [`find`]: the record is `key`'s.
pub const KNOWN: u32 = 1 << 31;

const REPEATED: u64 = 1 << 32;
const OVERLAPS: u64 = 1 << 33;
const ENDS_INSIDE: u64 = 1 << 34;
const GROWS: u64 = 1 << 35;
const PLACED: u64 = 1 << 32;

/// Compares a new `range` with a `known` one (packed). `state` has what was found so far, and in its low half what the new range
/// becomes together with its neighbours.
#[inline(always)]
#[must_use]
pub const fn look(state: u64, known: u32, range: u32) -> u64 {
    let (mut merged, known, range) = (Range::unpack(state as u32), Range::unpack(known), Range::unpack(range));
    if known.is_empty() {
        return state;
    }
    let mut found = state & !0xffff_ffff;
    if known.contains(range) {
        found |= REPEATED;
    }
    if known.overlaps(range) {
        found |= OVERLAPS;
    }
    if known.end > range.end {
        found |= ENDS_INSIDE;
    }
    if known.adjoins(range) {
        found |= GROWS;
    }
    if known.end == range.start {
        merged.start = known.start;
    }
    if known.start == range.end {
        merged.end = known.end;
    }
    found | merged.pack() as u64
}

/// What becomes of a `known` range when `range` is noted: a neighbour gives way to `merged`; without neighbours, an empty one takes
/// it. `flags` are bit 0, that there are neighbours, and bit 1, that `merged` has its place. In the result, above the range,
/// stands that it has now.
#[inline(always)]
#[must_use]
pub const fn place(known: u32, range: u32, merged: u32, flags: u32) -> u64 {
    let (grows, placed) = (flags & 1 != 0, flags & 2 != 0);
    let here = Range::unpack(known);
    let gives_way = grows && !here.is_empty() && here.adjoins(Range::unpack(range));
    if gives_way && placed {
        return PLACED;
    }
    if gives_way || !grows && !placed && here.is_empty() {
        return PLACED | merged as u64;
    }
    known as u64 | if placed { PLACED } else { 0 }
}

/// One fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it holds.
    pub range: Range,
    /// Whether the packet ends with it.
    pub last: bool,
}

impl Piece {
    /// The fragment with header `ip`.
    ///
    /// # Errors
    /// [`DropReason::FragmentOverlap`] beyond 65,535 bytes, [`DropReason::FragmentTiny`] for TCP that begins inside the
    /// header (RFC 3128), [`DropReason::Malformed`] without payload, or with one that nothing can follow.
    #[inline(always)]
    pub const fn of(ip: &ipv4::Header) -> Result<Self, DropReason> {
        let (start, length, last) = (ip.fragment_start(), ip.payload_len(), !ip.more_fragments());
        if length == 0 || !last && length & 7 != 0 {
            return Err(DropReason::Malformed);
        }
        if ip.proto == TCP && start == 1 {
            return Err(DropReason::FragmentTiny);
        }
        if ip.len + (start as usize) * 8 + length > 65_535 {
            return Err(DropReason::FragmentOverlap);
        }
        let end = start.wrapping_add(length.div_ceil(8) as u16);
        Ok(Self { range: Range { start, end }, last })
    }
}

/// What names the packet that a fragment with header `ip` is of, where it is seen at `ifindex` (RFC 791 §3.2): the
/// identification takes the place of the ports.
#[inline(always)]
#[must_use]
pub const fn key(ip: &ipv4::Header, ifindex: u32) -> Tuple {
    Tuple { saddr: ip.src, daddr: ip.dst, sport: ip.id, dport: [0, 0], ifindex, proto: ip.proto, query: 0, family: 0 }
}

/// What the identifications of the fragments of packets like `tuple`, of an endpoint, leave under: whose they are, and where they go, has
/// one of its own. An endpoint's own stay as different as they were. 0 for the host itself, whose fragments leave as they are.
#[inline(always)]
#[must_use]
pub const fn id_mask(tuple: &Tuple, secret: &Secret) -> u16 {
    if tuple.ifindex == 0 {
        return 0;
    }
    let Tuple { saddr, daddr, ifindex, proto, .. } = *tuple;
    let ends = Tuple { saddr, daddr, sport: [0, 0], dport: [0, 0], ifindex, proto, query: 0, family: 0 };
    (flow::hash(&ends, secret) >> 16) as u16
}

/// An identification under a mask, or without it again.
#[inline(always)]
#[must_use]
pub const fn masked(id: [u8; 2], mask: u16) -> [u8; 2] {
    (u16::from_ne_bytes(id) ^ mask).to_ne_bytes()
}

/// What is noted of a fragment.
#[derive(Clone, Copy, Debug)]
pub struct Note {
    /// Source and destination port (or identifier) of its packet.
    pub ports: [[u8; 2]; 2],
    /// How many hops it has to live; the greatest number where that does not matter.
    pub hops: u8,
    /// The code of the verdict about it: a punt leaves the others to the kernel too.
    pub verdict: Code,
}

/// Now, and how long records live, in jiffies.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// Now.
    pub now: u32,
    /// Lifetime of a record.
    pub lifetime: u32,
}

impl Record {
    #[inline(always)]
    fn is_of(&self, key: &Tuple, time: Time) -> bool {
        self.state != state::FREE && !self.expired(time) && self.key == *key
    }

    #[inline(always)]
    const fn expired(&self, time: Time) -> bool {
        time.now.wrapping_sub(self.began) > time.lifetime
    }

    /// Notes a fragment, or says why it must not be let through.
    #[inline(always)]
    fn insert<S: Steps>(&mut self, piece: &Piece) -> Result<(), DropReason> {
        if self.state == state::POISONED {
            return Err(DropReason::FragmentOverlap);
        }
        let Piece { range, last } = *piece;
        let mut found = u64::from(range.pack());
        for known in &self.ranges {
            found = S::look(found, known.pack(), range.pack());
        }
        if found & REPEATED != 0 {
            return Err(DropReason::FragmentOverlap);
        }
        let beyond = self.end != 0 && (range.end > self.end || last);
        if found & OVERLAPS != 0 || beyond || last && found & ENDS_INSIDE != 0 {
            self.state = state::POISONED;
            return Err(DropReason::FragmentOverlap);
        }
        let merged = found as u32;
        let mut flags = u32::from(found & GROWS != 0);
        for known in &mut self.ranges {
            let placed = S::place(known.pack(), range.pack(), merged, flags);
            *known = Range::unpack(placed as u32);
            flags |= ((placed & PLACED) >> 31) as u32;
        }
        if flags & 2 == 0 {
            // Too many gaps: as if it had come before the first.
            return Err(DropReason::FragmentUnknown);
        }
        if last {
            self.end = range.end;
        }
        if self.end != 0 && merged == (Range { start: 0, end: self.end }).pack() {
            self.state = state::DONE;
        }
        Ok(())
    }
}

/// The ports of the first fragment of `key`'s packet.
#[inline(always)]
#[must_use]
pub fn ports<S: Steps>(records: &[Record; WAYS], key: &Tuple, time: Time) -> Option<[[u8; 2]; 2]> {
    let index = S::find(records, key, time);
    let record = records.get(index as usize & (WAYS - 1))?;
    (index & KNOWN != 0).then_some(record.ports)
}

/// Notes a fragment of `key`'s packet about which was decided; the first one makes the record.
///
/// # Errors
/// The code of [`DropReason::FragmentUnknown`] before the first or beyond [`RANGES`] gaps, of [`DropReason::FragmentOverlap`], also with
/// more hops to live than the first had, or of the punt that the first was left to the kernel for.
#[inline(always)]
pub fn see<S: Steps>(
    records: &mut [Record; WAYS],
    key: &Tuple,
    piece: &Piece,
    note: Note,
    time: Time,
) -> Result<(), Code> {
    let first = piece.range.start == 0;
    let index = S::find(records, key, time);
    let known = index & KNOWN != 0;
    let Some(record) = records.get_mut(index as usize & (WAYS - 1)) else { return Err(DropReason::Contended.into()) };
    if first && (!known || record.state == state::DONE || record.state == state::LEFT) {
        // A new packet, or one whose identification is in use again.
        begin(record, key, piece, note, time);
        return Ok(());
    }
    if !known {
        return Err(DropReason::FragmentUnknown.into());
    }
    if record.state == state::LEFT {
        return Err(Code::from_raw(record.end.into()));
    }
    if note.hops > record.hops {
        return Err(DropReason::FragmentOverlap.into());
    }
    Ok(record.insert::<S>(piece)?)
}

#[inline(always)]
fn begin(record: &mut Record, key: &Tuple, piece: &Piece, note: Note, time: Time) {
    let Note { ports, hops, verdict } = note;
    let mut ranges = [Range { start: 0, end: 0 }; RANGES];
    let [first, ..] = &mut ranges;
    *first = piece.range;
    let (end, state) = if verdict.is_punt() {
        (verdict.raw() as u16, state::LEFT)
    } else {
        (if piece.last { piece.range.end } else { 0 }, state::OPEN)
    };
    *record = Record { key: *key, ports, began: time.now, end, state, hops, ranges };
}

#[cfg(test)]
mod tests;
