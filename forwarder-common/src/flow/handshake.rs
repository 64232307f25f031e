//! The round trip of a TCP handshake: from the SYN out to the SYN/ACK in.

use crate::{abi::FlowState, types::direction::Direction, wire::l4::tcp_flag};

/// [`Handshake::rtt`] when the SYN was sent again: an answer may be to either one (RFC 6298 §3).
const AMBIGUOUS: u32 = u32::MAX;

/// What a flow knows of its handshake, in microseconds of a clock that wraps. All zeros at the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// When the SYN left; 0 for never.
    pub syn_at: u32,
    /// The round trip; 0 while it is not known.
    pub rtt: u32,
}

impl Handshake {
    /// What is known after a segment with `flags` passed, of a flow that was in `state` before.
    #[inline(always)]
    #[must_use]
    pub const fn after(self, flags: u8, direction: Direction, state: FlowState, now: u32) -> Self {
        let both = flags & (tcp_flag::SYN | tcp_flag::ACK);
        if !direction.is_inbound() && both == tcp_flag::SYN {
            // A closed flow begins again.
            if self.syn_at == 0 || matches!(state, FlowState::Closing) {
                return Self { syn_at: now | 1, rtt: 0 };
            }
            return Self { rtt: AMBIGUOUS, ..self };
        }
        if direction.is_inbound() && both == tcp_flag::SYN | tcp_flag::ACK && self.syn_at != 0 && self.rtt == 0 {
            let passed = now.wrapping_sub(self.syn_at);
            // It took some time, and less than half of the clock's round; a clock may seem to run backwards between CPUs.
            let rtt = if passed == 0 || passed > i32::MAX as u32 { 1 } else { passed };
            return Self { rtt, ..self };
        }
        self
    }

    /// The round trip, microseconds, if it is known.
    #[must_use]
    pub const fn known(self) -> Option<u32> {
        match self.rtt {
            0 | AMBIGUOUS => None,
            rtt => Some(rtt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Inbound, Outbound};

    const SYN: u8 = tcp_flag::SYN;
    const ANSWER: u8 = tcp_flag::SYN | tcp_flag::ACK;

    /// What is known after segments: flags, direction, and when.
    #[track_caller]
    fn check(segments: &[(u8, Direction, u32)], expected: Option<u32>) {
        let open = FlowState::HalfOpen;
        let after = segments
            .iter()
            .fold(Handshake::default(), |so_far, &(flags, direction, now)| so_far.after(flags, direction, open, now));
        assert_eq!(after.known(), expected);
    }

    #[test]
    fn time_from_syn_to_answer_is_the_round_trip() {
        check(&[(SYN, Outbound, 1001)], None);
        check(&[(SYN, Outbound, 1001), (ANSWER, Inbound, 31_001)], Some(30_000));
        check(&[(SYN, Outbound, u32::MAX), (ANSWER, Inbound, 9)], Some(10));
        check(&[(SYN, Outbound, 1001), (ANSWER, Inbound, 1001)], Some(1));
        check(&[(SYN, Outbound, 1001), (ANSWER, Inbound, 999)], Some(1));
    }

    #[test]
    fn answer_to_a_repeated_syn_tells_nothing() {
        check(&[(SYN, Outbound, 1001), (SYN, Outbound, 9001), (ANSWER, Inbound, 9101)], None);
    }

    #[test]
    fn only_the_first_answer_counts() {
        check(&[(SYN, Outbound, 1001), (ANSWER, Inbound, 2001), (ANSWER, Inbound, 9001)], Some(1000));
    }

    #[test]
    fn what_begins_outside_or_is_no_handshake_is_not_timed() {
        check(&[(SYN, Inbound, 1001), (ANSWER, Outbound, 2001)], None);
        check(&[(ANSWER, Inbound, 1001)], None);
        check(&[(SYN, Outbound, 1001), (tcp_flag::ACK, Inbound, 2001)], None);
    }

    #[test]
    fn flow_that_is_opened_again_is_timed_again() {
        let known = Handshake { syn_at: 1001, rtt: 500 };
        let again = known.after(SYN, Outbound, FlowState::Closing, 9001);
        assert_eq!(again.known(), None);
        assert_eq!(again.after(ANSWER, Inbound, FlowState::HalfOpen, 9101).known(), Some(100));
    }
}
