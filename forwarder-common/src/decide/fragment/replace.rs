//! Which record a new packet's takes the place of.

use super::{KNOWN, Steps, Time, state};
use crate::abi::{
    Tuple,
    fragment::{Record, WAYS},
};

/// What one record more of the same sender counts for: more than any age, jiffies.
const SHARE: u32 = 1 << 24;

/// How many records are of the sender of `key`'s packet, seen at the same interface. A namespace has one address there, unless it may send
/// from any.
#[inline(always)]
#[must_use]
pub fn share(records: &[Record; WAYS], key: &Tuple) -> u32 {
    let is_of_sender = |record: &&Record| record.key.ifindex == key.ifindex && record.key.saddr == key.saddr;
    records.iter().filter(is_of_sender).count() as u32
}

/// How soon a record is to be replaced by one of `key`'s packet, the highest number first; 0 if it is that packet's.
///
/// Missed least is an unused, complete or expired record; otherwise, of the sender that has most of them when `key`'s is one more, the
/// oldest: who floods the records does it at their own expense.
#[inline(always)]
#[must_use]
pub fn rank<S: Steps>(records: &[Record; WAYS], record: &Record, key: &Tuple, time: Time) -> u32 {
    if record.is_of(key, time) {
        return 0;
    }
    if record.state == state::FREE || record.state == state::DONE || record.expired(time) {
        return u32::MAX;
    }
    let own = record.key.ifindex == key.ifindex && record.key.saddr == key.saddr;
    let share = S::share(records, &record.key) + u32::from(own);
    // Who is not expired is younger than that.
    share * SHARE + (time.now.wrapping_sub(record.began) & (SHARE - 1))
}

/// See [`Steps::find`].
#[inline(always)]
#[must_use]
pub fn find<S: Steps>(records: &[Record; WAYS], key: &Tuple, time: Time) -> u32 {
    let (mut first, mut greatest) = (0, 0);
    for (index, record) in (0..).zip(records) {
        let rank = S::rank(records, record, key, time);
        if rank == 0 {
            return index | KNOWN;
        }
        if rank > greatest {
            (first, greatest) = (index, rank);
        }
    }
    first
}
