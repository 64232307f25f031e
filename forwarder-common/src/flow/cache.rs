//! The flow cache: which slots a tuple may be in, by its hash, so that few packets need the index.
//!
//! A bucket has two entries, each a slot and a tag of further bits of the hash, and counts those tuples of the index that found no
//! place in it. So every tuple in the index has its entry or is counted, and a bucket without an entry for a hash that counts
//! nobody says for sure that there is no such tuple. A bucket is one word, which changes by compare-and-exchange.
//!
//! An entry proves nothing: it may be of another tuple with the same tag, or of a flow that ends at this moment.

/// Bits of a slot's number in an entry.
const SLOT_BITS: u32 = 25;
/// Slots that can be named.
pub const MAX_SLOTS: u32 = 1 << SLOT_BITS;

const TAG_BITS: u32 = 5;
/// Bits of an entry.
const BITS: u32 = SLOT_BITS + TAG_BITS;
const SLOT: u64 = (1 << SLOT_BITS) - 1;
const ENTRY: u64 = (1 << BITS) - 1;
/// One tuple that found no place.
pub const OVERFLOW: u64 = 1 << (2 * BITS);
/// So many, or more: the count stays for good, for nobody knows how many more. A full table has one tuple for each bucket on average, so that
/// one in 10¹⁴ would come so far.
const FULL: u64 = 15;
/// The count of a bucket that is full.
const FULL_COUNT: u64 = FULL * OVERFLOW;

/// An entry for a tuple with `hash` in `slot`. Buckets are chosen by the hash's low bits, of which there are up to 27.
#[inline(always)]
#[must_use]
pub const fn entry(hash: u32, slot: u32) -> u64 {
    ((hash >> (u32::BITS - TAG_BITS)) as u64) << SLOT_BITS | slot as u64
}

/// How many tuples found no place.
#[inline(always)]
const fn overflow(bucket: u64) -> u64 {
    bucket >> (2 * BITS)
}

/// The slots that a tuple with `hash` may be in; 0 for none.
#[inline(always)]
#[must_use]
pub const fn candidates(bucket: u64, hash: u32) -> [u32; 2] {
    let tag = (hash >> (u32::BITS - TAG_BITS)) as u64;
    let (first, second) = (bucket & ENTRY, bucket >> BITS & ENTRY);
    [
        if first >> SLOT_BITS == tag { (first & SLOT) as u32 } else { 0 },
        if second >> SLOT_BITS == tag { (second & SLOT) as u32 } else { 0 },
    ]
}

/// Whether tuples are in the index that have no entry.
#[inline(always)]
#[must_use]
pub const fn overflows(bucket: u64) -> bool {
    overflow(bucket) != 0
}

/// The bucket with one tuple more.
#[inline(always)]
#[must_use]
const fn with(bucket: u64, entry: u64) -> u64 {
    if bucket & SLOT == 0 {
        return bucket & !ENTRY | entry;
    }
    if bucket >> BITS & SLOT == 0 {
        return bucket & !(ENTRY << BITS) | entry << BITS;
    }
    counted(bucket)
}

/// The bucket, one more of its tuples without a place.
#[inline(always)]
const fn counted(bucket: u64) -> u64 {
    if overflow(bucket) < FULL { bucket + OVERFLOW } else { bucket }
}

/// The bucket, one less of its tuples without a place.
#[inline(always)]
const fn uncounted(bucket: u64) -> u64 {
    match overflow(bucket) {
        0 | FULL => bucket,
        _ => bucket - OVERFLOW,
    }
}

/// The bucket with one tuple less: its entry goes, or, if it has none, it is counted no more.
#[inline(always)]
#[must_use]
const fn without(bucket: u64, entry: u64) -> u64 {
    if bucket & ENTRY == entry {
        return bucket & !ENTRY;
    }
    if bucket >> BITS & ENTRY == entry {
        return bucket & !(ENTRY << BITS);
    }
    uncounted(bucket)
}

/// Gives a place to a tuple that has none, that of another one if none is free. Until the tuple is counted no more, or [`without`] says
/// that it has gone, the bucket counts one too many: never one too few. `None` if there is nothing to do.
#[inline(always)]
#[must_use]
const fn promoted(bucket: u64, entry: u64) -> Option<u64> {
    if overflow(bucket) == 0 || bucket & ENTRY == entry || bucket >> BITS & ENTRY == entry {
        return None;
    }
    if bucket & SLOT == 0 || bucket >> BITS & SLOT == 0 {
        return Some(with(bucket, entry));
    }
    let counted = counted(bucket);
    // Whose turn it is says the entry itself.
    Some(if entry & 1 == 0 { counted & !ENTRY | entry } else { counted & !(ENTRY << BITS) | entry << BITS })
}

/// A bucket that other CPUs change at the same time.
pub trait Bucket {
    /// What it is now.
    fn load(&self) -> u64;
    /// Replaces `old` by `new`; whether it was `old`.
    fn replace(&self, old: u64, new: u64) -> bool;
    /// Sets those bits of it that are set in `bits`, whatever other CPUs do.
    fn set(&self, bits: u64);
}

/// Notes a tuple that came into the index: it has an entry or is counted, or, where other CPUs were faster each time, the bucket counts as
/// full.
#[inline(always)]
pub fn add(bucket: &impl Bucket, entry: u64) {
    if !change(bucket, |bucket| with(bucket, entry)) {
        bucket.set(FULL_COUNT);
    }
}

/// How often a bucket is tried again that another CPU changed: once more than a CPU does that ends a flow and makes another.
const ATTEMPTS: u32 = 5;

/// Forgets a tuple that has left the index; false if that is still to be done: until then the bucket holds or counts one too many.
#[inline(always)]
pub fn remove(bucket: &impl Bucket, entry: u64) -> bool {
    change(bucket, |bucket| without(bucket, entry))
}

/// Changes a bucket as `how` says; whether it did.
#[inline(always)]
fn change(bucket: &impl Bucket, how: impl Fn(u64) -> u64) -> bool {
    let mut attempt = 0_u32;
    while attempt < ATTEMPTS {
        let before = bucket.load();
        if bucket.replace(before, how(before)) {
            return true;
        }
        attempt = attempt.wrapping_add(1);
    }
    false
}

/// Gives a tuple that the index has a place, if it has none. `lives` says, after that, whether its flow still is what it was when it
/// was found in the index.
#[inline(always)]
pub fn promote(bucket: &impl Bucket, entry: u64, lives: impl FnOnce() -> bool) {
    let before = bucket.load();
    let Some(promoted) = promoted(before, entry) else { return };
    if !bucket.replace(before, promoted) {
        // There will be another packet.
        return;
    }
    // Where other CPUs are faster each time, one too many is counted.
    if lives() {
        change(bucket, uncounted);
    } else {
        // Who ended the flow has taken off its place, or its count: what is left is the other.
        remove(bucket, entry);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::{cell::Cell, vec::Vec};

    use super::*;

    /// A tuple of this bucket: its hash and its slot.
    type Member = (u32, u32);

    fn is_held(bucket: u64, (hash, slot): Member) -> bool {
        candidates(bucket, hash).contains(&slot) || overflows(bucket)
    }

    fn count(bucket: u64) -> u64 {
        u64::from(bucket & SLOT != 0) + u64::from(bucket >> BITS & SLOT != 0) + overflow(bucket)
    }

    #[test]
    fn tuple_is_found_by_its_tag() {
        let (one, two) = ((0x0800_0000, 7), (0x1000_0000, MAX_SLOTS - 1));
        let bucket = with(with(0, entry(one.0, one.1)), entry(two.0, two.1));
        assert_eq!((candidates(bucket, one.0), candidates(bucket, two.0)), ([7, 0], [0, MAX_SLOTS - 1]));
        assert_eq!((candidates(bucket, 0), overflows(bucket)), ([0, 0], false));
        assert_eq!(without(without(bucket, entry(one.0, one.1)), entry(two.0, two.1)), 0);
    }

    /// A bucket that another CPU changes whenever this one has read it.
    struct Contested {
        word: Cell<u64>,
        other: fn(u64) -> u64,
    }

    impl Bucket for Contested {
        fn load(&self) -> u64 {
            let read = self.word.get();
            self.word.set((self.other)(read));
            read
        }

        fn replace(&self, old: u64, new: u64) -> bool {
            let same = self.word.get() == old;
            if same {
                self.word.set(new);
            }
            same
        }

        fn set(&self, bits: u64) {
            self.word.set(self.word.get() | bits);
        }
    }

    #[test]
    fn as_many_as_a_bucket_counts_leave_nothing_behind() {
        let entries = || (1..2 + FULL as u32).map(|slot| entry(0, slot));
        let filled = entries().fold(0, with);
        assert_eq!(count(filled), 1 + FULL);
        assert_eq!(entries().fold(filled, without), 0);
    }

    #[test]
    fn who_is_too_late_again_and_again_is_held() {
        for members in 0..=2 + FULL as u32 {
            let filled = (1..=members).fold(0, |bucket, slot| with(bucket, entry(0, slot)));
            // Its lowest entry changes each time.
            let bucket = Contested { word: Cell::new(filled), other: |bucket| bucket ^ 1 << (SLOT_BITS - 1) };
            add(&bucket, entry(0, 100));
            assert!(overflows(bucket.word.get()), "after {members} others");
        }
    }

    #[test]
    fn two_that_add_to_a_full_bucket_leave_it_full() {
        let came = |bucket, slot| with(bucket, entry(0, slot));
        let filled = (1..40).fold(0, came);
        let bucket = Contested { word: Cell::new(filled), other: |bucket| with(bucket, entry(0, 100)) };
        for slot in 200..300 {
            add(&bucket, entry(0, slot));
            assert!(overflows(bucket.word.get()), "after {} more", slot - 199);
        }
        for slot in 1..40 {
            remove(&bucket, entry(0, slot));
        }
        assert!(overflows(bucket.word.get()), "those that came meanwhile are not forgotten");
    }

    #[test]
    fn promotion_does_not_uncount_who_came_meanwhile() {
        let filled = (1..=2 + FULL as u32).fold(0, |bucket, slot| with(bucket, entry(0, slot)));
        let bucket = Contested { word: Cell::new(filled), other: |bucket| bucket };
        promote(&bucket, entry(0, 9), || {
            bucket.word.set((20..30).fold(bucket.word.get(), |bucket, slot| with(bucket, entry(0, slot))));
            true
        });
        assert!(overflow(bucket.word.get()) >= FULL, "a full bucket stays full");
    }

    #[test]
    fn more_than_it_counts_are_never_forgotten() {
        let mut bucket = 0;
        let entries: Vec<_> = (1..40).map(|slot| entry(0, slot)).collect();
        bucket = entries.iter().fold(bucket, |bucket, entry| with(bucket, *entry));
        bucket = entries.iter().fold(bucket, |bucket, entry| without(bucket, *entry));
        assert!(overflows(bucket), "beyond its count a bucket stays full");
    }

    proptest! {
        /// Tuples come, are used, and go, in any order: what is in the index is held, and in the end nothing is left.
        #[test]
        fn bucket_holds_what_came_and_did_not_go(steps in proptest::collection::vec((0usize..3, 0usize..9, 0u32..3), 1..200)) {
            let mut members: Vec<Member> = Vec::new();
            let mut bucket = 0;
            for (number, (what, which, tag)) in (1u32..).zip(steps) {
                match what {
                    0 if members.len() < 2 + FULL as usize - 1 => {
                        members.push((tag << 27, number));
                        bucket = with(bucket, entry(tag << 27, number));
                    }
                    1 if !members.is_empty() => {
                        let (hash, slot) = members.remove(which % members.len());
                        bucket = without(bucket, entry(hash, slot));
                    }
                    2 if !members.is_empty() => {
                        let (hash, slot) = members[which % members.len()];
                        if let Some(promoted) = promoted(bucket, entry(hash, slot)) {
                            prop_assert_eq!(count(promoted), count(bucket) + 1);
                            bucket = promoted - OVERFLOW;
                            prop_assert!(candidates(bucket, hash).contains(&slot));
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(count(bucket), members.len() as u64);
                prop_assert!(members.iter().all(|member| is_held(bucket, *member)));
            }
            for (hash, slot) in members {
                bucket = without(bucket, entry(hash, slot));
            }
            prop_assert_eq!(bucket, 0);
        }
    }
}
