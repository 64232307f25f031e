//! Fragments: what is let through never overlaps, never reaches behind the end, and has the ports of the first.

use std::collections::HashMap;

use forwarder_common::{
    abi::{
        Tuple,
        fragment::{Range, Record, WAYS},
    },
    decide::fragment::{Inline, Note, Piece, Time, ports, see},
    types::verdict::Code,
};

/// What was let through of one packet: its parts, and whether one of them was the last.
type Parts = Vec<(Range, bool)>;

/// Each three bytes are a fragment: bits 0–2 name the packet, bit 3 says that it is the last, bit 4 that time passes; then first
/// unit and length.
///
/// # Panics
/// A fragment is let through that must not be.
pub fn fragments(input: &[u8]) {
    let mut records = [Record::default(); WAYS];
    let mut seen: HashMap<u8, Parts> = HashMap::new();
    let mut time = Time { now: u32::MAX - 500, lifetime: 300 };
    for &[which, start, length] in input.as_chunks::<3>().0 {
        if which & 0x10 != 0 {
            time.now = time.now.wrapping_add(150);
        }
        let (id, last, start) = (which & 7, which & 8 != 0, u16::from(start));
        let range = Range { start, end: start + u16::from(length).max(1) };
        let key = Tuple { sport: [0, id], proto: 17, ifindex: 1, ..Tuple::default() };
        let known = ports::<Inline>(&records, &key, time);
        assert!(known.is_none_or(|ports| ports == [[0, id]; 2]), "the ports of another packet: {known:?}");
        let note = Note { ports: [[0, id]; 2], hops: 64, verdict: Code::FORWARDED };
        if see::<Inline>(&mut records, &key, &Piece { range, last }, note, time).is_err() {
            continue;
        }
        let parts = seen.entry(id).or_default();
        if start == 0 {
            parts.clear();
        } else {
            assert!(known.is_some(), "let through before the first");
        }
        for &(part, ends) in parts.iter() {
            assert!(part.end <= range.start || range.end <= part.start, "{range:?} overlaps {part:?} of {parts:?}");
            assert!(!ends || range.end <= part.start, "{range:?} behind the end of {parts:?}");
            assert!(!last || part.end <= range.start, "{range:?} is no end of {parts:?}");
        }
        parts.push((range, last));
    }
}
