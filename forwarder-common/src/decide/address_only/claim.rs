//! Who may speak a protocol without ports with a destination: first come, first served, the host included.
//!
//! What the host hears, and belongs to no flow, is noted, and what it says; until it has been silent for as long as a flow of such a
//! protocol may be idle, no endpoint takes the answers over with a packet of its own. A note is one word: the keyed hash of the tuple that
//! answers have, whose two low bits (which the place in the map tells anyway) say what was seen, and above it when, in jiffies.

use crate::abi::FlowState;

/// What was seen of a protocol and a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Seen {
    /// A packet arrived for the host, or the host forwarded one with an address that is not an endpoint's. Anybody can send one.
    Heard = 1,
    /// The host itself has sent one.
    Spoken = 2,
    /// The host has told the sender that it does not speak that protocol.
    Refused = 3,
}

const SEEN: u32 = 3;

/// For so many seconds a refusal counts: the kernel refuses one of many packets only (`icmp_ratelimit`), at least one a second.
const REFUSED_SECONDS: u32 = 60;

/// The time of which there is one note at most, seconds.
const GRAIN_SECONDS: u32 = 1;

/// How long ago `then` was, jiffies (wrapping). Another CPU may be a moment ahead.
#[inline(always)]
const fn age(then: u32, now: u32, hz: u32) -> u32 {
    let age = now.wrapping_sub(then);
    if age > u32::MAX - hz { 0 } else { age }
}

/// What is noted in `word` about the tuple with `hash`, and how long ago it was seen; nothing is 0.
#[inline(always)]
const fn known(word: u64, hash: u32, now: u32, hz: u32) -> (u32, u32) {
    let is_it = (word as u32 ^ hash) & !SEEN == 0;
    (if is_it { word as u32 & SEEN } else { 0 }, age((word >> 32) as u32, now, hz))
}

/// The note that takes the place of `word` when `seen` is seen of the tuple with `hash`; `word` itself if it stays. A note lasts for `idle`
/// jiffies, of which a second has `hz`.
///
/// What the host says counts most: it stays though others are heard that share its place, or a forged packet is refused.
#[inline(always)]
#[must_use]
pub const fn noted(word: u64, hash: u32, seen: Seen, now: u32, idle: u32, hz: u32) -> u64 {
    let (before, age) = known(word, hash, now, hz);
    if before == seen as u32 && age < hz.wrapping_mul(GRAIN_SECONDS) {
        return word;
    }
    // One after the other, and not as one condition: the verifier would follow each part of it with each other.
    if !matches!(seen, Seen::Spoken) {
        if word as u32 & SEEN == Seen::Spoken as u32 && age <= idle {
            return word;
        }
        let is_refused = before == Seen::Refused as u32 && age <= hz.wrapping_mul(REFUSED_SECONDS);
        if matches!(seen, Seen::Heard) && is_refused {
            return word;
        }
    }
    (hash & !SEEN | seen as u32) as u64 | (now as u64) << 32
}

/// Whether `word` says that the host speaks, or is spoken to, by the protocol and with the destination of the tuple with `hash`.
#[inline(always)]
#[must_use]
pub const fn is_hosts(word: u64, hash: u32, now: u32, idle: u32, hz: u32) -> bool {
    let (seen, age) = known(word, hash, now, hz);
    (seen == Seen::Heard as u32 || seen == Seen::Spoken as u32) && age <= idle
}

/// Seconds that an endpoint's first packet has for its answer.
const ANSWER_SECONDS: u32 = 2;

/// Whether the endpoint's flow in `state` that has the answers to a protocol without ports gives them to another endpoint: if nobody has
/// answered so far, of `answers` packets, though there was time. It is `age` jiffies old.
#[inline(always)]
#[must_use]
pub const fn gives_way(state: FlowState, answers: u64, age: u32, hz: u32) -> bool {
    state.can_end() && answers == 0 && age >= hz.wrapping_mul(ANSWER_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u32 = 250;
    const IDLE: u32 = 600 * HZ;
    const HASH: u32 = 0x1234_5678;

    /// What is noted after each was seen of `HASH`, at so many seconds; whether it is the host's at the end.
    #[track_caller]
    fn is_after(seen: &[(Seen, u32)], seconds: u32) -> bool {
        let note = |word, (seen, at): &(Seen, u32)| noted(word, HASH, *seen, at * HZ, IDLE, HZ);
        is_hosts(seen.iter().fold(0, note), HASH, seconds * HZ, IDLE, HZ)
    }

    #[test]
    fn what_the_host_hears_or_says_is_its_own_until_it_is_idle() {
        for seen in [Seen::Heard, Seen::Spoken] {
            assert!(is_after(&[(seen, 5)], 5) && is_after(&[(seen, 5)], 605) && !is_after(&[(seen, 5)], 606));
            assert!(is_after(&[(seen, 5), (seen, 400)], 1000));
            let word = noted(0, HASH, seen, 5 * HZ, IDLE, HZ);
            assert!(!is_hosts(word, HASH ^ 4, 5 * HZ, IDLE, HZ), "another tuple");
            assert_eq!(noted(word, HASH, seen, 6 * HZ - 1, IDLE, HZ), word, "written once a second");
            assert!(is_hosts(word, HASH, 5 * HZ - 1, IDLE, HZ), "another CPU's clock");
        }
        assert!(!is_hosts(0, 0, 0, IDLE, HZ), "nothing was seen");
    }

    #[test]
    fn what_the_host_refuses_is_not_its_own_however_often_it_comes() {
        let refused = [(Seen::Heard, 1), (Seen::Refused, 1), (Seen::Heard, 2), (Seen::Heard, 61)];
        assert!(!is_after(&refused, 61));
        assert!(is_after(&[(Seen::Refused, 1), (Seen::Heard, 62)], 62), "nobody refuses it any more");
        assert!(is_after(&[(Seen::Refused, 1), (Seen::Spoken, 2)], 2));
    }

    #[test]
    fn what_the_host_says_outlasts_forged_packets() {
        assert!(is_after(&[(Seen::Spoken, 1), (Seen::Refused, 2), (Seen::Heard, 3)], 601));
        let word = noted(0, HASH, Seen::Spoken, HZ, IDLE, HZ);
        for seen in [Seen::Heard, Seen::Refused] {
            assert_eq!(noted(word, HASH ^ 0x10_0000, seen, 2 * HZ, IDLE, HZ), word, "another tuple at the same place");
            assert_ne!(noted(word, HASH ^ 0x10_0000, seen, 602 * HZ, IDLE, HZ), word, "long ago");
        }
        assert_ne!(noted(word, HASH ^ 0x10_0000, Seen::Spoken, 2 * HZ, IDLE, HZ), word);
    }

    #[test]
    fn who_is_not_answered_gives_way_after_a_moment() {
        for state in [FlowState::HalfOpen, FlowState::OneWay] {
            assert!(gives_way(state, 0, 2 * HZ, HZ) && !gives_way(state, 0, 2 * HZ - 1, HZ));
            assert!(!gives_way(state, 1, u32::MAX, HZ));
        }
        for state in [FlowState::Opening, FlowState::Making, FlowState::Free] {
            assert!(!gives_way(state, 0, u32::MAX, HZ), "{state:?} is its maker's");
        }
    }
}
