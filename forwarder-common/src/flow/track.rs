//! The life of a flow: half-open until it has shown to be a conversation, established, closing after a reset or both FINs.

use crate::{abi::FlowState, types::direction::Direction, wire::l4::tcp_flag};

/// Packets one way that are many; see [`standing`].
const MANY: u64 = 4;
/// Seconds of life that are long; see [`standing`].
const LONG: u32 = 2;

/// What a packet does to its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Transition {
    /// Nothing: the common case.
    Stay,
    /// Becomes [`FlowState::Established`].
    Establish,
    /// Becomes [`FlowState::OneWay`].
    Sustain,
    /// Becomes [`FlowState::Closing`].
    Close,
    /// A new connection over one that is closed, or closed by half: [`FlowState::HalfOpen`], with the flags forgotten.
    Reopen,
    /// The reset that closed it was not heeded: [`FlowState::Established`] again, with the reset forgotten.
    Revive,
    /// What should have ended the other side was not of the other side: [`FlowState::Established`], with its FIN and its reset forgotten.
    Continue,
}

/// A segment of TCP, as far as it matters to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its flags.
    pub flags: u8,
    /// Which way it goes.
    pub direction: Direction,
    /// Whether it has a payload.
    pub data: bool,
}

/// The TCP flags that matter to a flow.
pub const TRACKED: u8 = tcp_flag::FIN | tcp_flag::SYN | tcp_flag::RST | tcp_flag::ACK;

/// What a packet that goes in `direction` does to a flow in `state` that is not TCP, and has shown to be what `standing` says.
#[inline(always)]
#[must_use]
pub const fn progress(state: FlowState, direction: Direction, standing: Standing) -> Transition {
    match (state, standing) {
        (FlowState::HalfOpen, Standing::Conversation) => Transition::Establish,
        (FlowState::HalfOpen, Standing::Stream) => Transition::Sustain,
        (FlowState::OneWay, _) if direction.is_inbound() => Transition::Establish,
        _ => Transition::Stay,
    }
}

/// What a segment does to a flow of TCP in `state`. `seen` are the flags of both directions
/// ([`crate::abi::FlowShared::tcp_flags`]), this segment's included. See [`progress`] for other protocols.
#[inline(always)]
#[must_use]
pub const fn advance(state: FlowState, seen: [u8; 2], segment: Segment) -> Transition {
    let Segment { flags, direction, .. } = segment;
    let outbound = !direction.is_inbound();
    let reset = flags & tcp_flag::RST != 0;
    let opens = flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN;
    match state {
        FlowState::Established | FlowState::Closing if goes_on(seen, segment) => Transition::Continue,
        FlowState::HalfOpen | FlowState::Established if reset || both(seen, tcp_flag::FIN) => Transition::Close,
        // Each side has acknowledged something of the other's: the handshake is complete, also a simultaneous one
        // (RFC 5382 REQ-2). A scan gets as far as a SYN-ACK, which nobody acknowledges.
        FlowState::HalfOpen if both(seen, tcp_flag::ACK) => Transition::Establish,
        FlowState::Closing if outbound && opens => Transition::Reopen,
        // Who opens a new connection has forgotten the one that was closed by half.
        FlowState::Established if outbound && opens && (seen[0] | seen[1]) & tcp_flag::FIN != 0 => Transition::Reopen,
        FlowState::Closing if outbound && ignores_reset(seen, flags) => Transition::Revive,
        _ => Transition::Stay,
    }
}

/// Whether `flag` was seen in both directions.
#[inline(always)]
const fn both([outbound, inbound]: [u8; 2], flag: u8) -> bool {
    outbound & inbound & flag != 0
}

/// Whether an outbound segment with `flags` shows that a reset from outside was not heeded: who accepts a reset sends nothing
/// any more, so it was forged or out of the window (RFC 5961 §3.2; RFC 7857 §2.2 and RFC 6146 §3.5.2.2).
#[inline(always)]
const fn ignores_reset(seen: [u8; 2], flags: u8) -> bool {
    let [outbound, inbound] = seen;
    let ended = outbound & tcp_flag::RST != 0 || both(seen, tcp_flag::FIN);
    flags & (tcp_flag::RST | tcp_flag::SYN) == 0 && inbound & tcp_flag::RST != 0 && both(seen, tcp_flag::ACK) && !ended
}

/// Whether a segment shows that the other side's FIN or reset was forged: that side still sends data. Whoever does not see the
/// conversation can forge one, for only its ends know the sequence numbers. If it is data on its way from before a real FIN, the FIN comes
/// again after it.
#[inline(always)]
const fn goes_on(seen: [u8; 2], segment: Segment) -> bool {
    const ENDS: u8 = tcp_flag::FIN | tcp_flag::RST;
    let Segment { flags, direction, data } = segment;
    let [outbound, inbound] = seen;
    let acknowledges = flags & (ENDS | tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::ACK && both(seen, tcp_flag::ACK);
    direction.is_inbound() && data && acknowledges && inbound & ENDS != 0 && outbound & tcp_flag::RST == 0
}

/// What a flow that is not TCP has shown to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// Nothing yet: a query, perhaps with its answer, or a flood.
    Unproven = 0,
    /// A stream in one direction: many packets, for some time, and no answer.
    Stream = 1,
    /// A conversation: answered, and one side has sent many packets, or it has lasted.
    Conversation = 2,
}

/// What a flow that is not TCP has shown to be.
///
/// `packets` are those outbound and inbound so far, `age` is in jiffies, of which a second has `hz`.
#[inline(always)]
#[must_use]
pub const fn standing([outbound, inbound]: [u64; 2], age: u32, hz: u32) -> Standing {
    let answered = outbound > 0 && inbound > 0;
    let many = outbound >= MANY || inbound >= MANY;
    let lasted = age >= hz.wrapping_mul(LONG);
    match (answered, many, lasted) {
        (true, true, _) | (true, _, true) => Standing::Conversation,
        (false, true, true) => Standing::Stream,
        _ => Standing::Unproven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcp_flag::{ACK, FIN, RST, SYN};

    use Direction::{Inbound, Outbound};
    use FlowState::{Closing, Established, HalfOpen, OneWay};
    use Standing::{Conversation, Stream, Unproven};

    /// A TCP flow as the data path keeps it.
    struct Connection {
        state: FlowState,
        seen: [u8; 2],
    }

    impl Connection {
        /// The flow that a first segment with `flags` makes.
        fn opened_by(flags: u8) -> Self {
            Self { state: HalfOpen, seen: [flags, 0] }
        }

        fn established() -> Self {
            Self { state: Established, seen: [SYN | ACK, SYN | ACK] }
        }

        /// Segments, one after another; the state after the last.
        #[track_caller]
        fn sees(&mut self, segments: &[(Direction, u8)]) -> FlowState {
            for &(direction, flags) in segments {
                self.step(Segment { flags, direction, data: false });
            }
            self.state
        }

        /// A segment with a payload; the state after it.
        #[track_caller]
        fn sends_data(&mut self, direction: Direction) -> FlowState {
            self.step(Segment { flags: ACK, direction, data: true });
            self.state
        }

        #[track_caller]
        fn step(&mut self, segment: Segment) {
            const ENDS: u8 = FIN | RST;
            let Segment { flags, direction, .. } = segment;
            self.seen[usize::from(direction == Inbound)] |= flags & TRACKED;
            match advance(self.state, self.seen, segment) {
                Transition::Stay => {}
                Transition::Sustain => panic!("TCP is never one-way"),
                Transition::Establish => self.state = Established,
                Transition::Close => self.state = Closing,
                Transition::Reopen => *self = Self::opened_by(SYN),
                Transition::Revive => {
                    self.state = Established;
                    self.seen[1] &= !RST;
                }
                Transition::Continue => {
                    self.state = Established;
                    self.seen[1] &= !ENDS;
                }
            }
        }
    }

    #[test]
    fn handshake_establishes_with_its_last_segment() {
        let mut connection = Connection::opened_by(SYN);
        assert_eq!(connection.sees(&[(Inbound, SYN | ACK)]), HalfOpen);
        assert_eq!(connection.sees(&[(Outbound, SYN), (Inbound, SYN | ACK)]), HalfOpen, "after a retransmission");
        assert_eq!(connection.sees(&[(Outbound, ACK)]), Established);
    }

    #[test]
    fn simultaneous_open_establishes() {
        let mut connection = Connection::opened_by(SYN);
        assert_eq!(connection.sees(&[(Inbound, SYN), (Outbound, SYN | ACK)]), HalfOpen);
        assert_eq!(connection.sees(&[(Inbound, SYN | ACK)]), Established);
    }

    #[test]
    fn scan_of_answering_hosts_stays_half_open_and_its_reset_closes() {
        let mut connection = Connection::opened_by(SYN);
        assert_eq!(connection.sees(&[(Inbound, SYN | ACK), (Inbound, SYN | ACK)]), HalfOpen);
        assert_eq!(connection.sees(&[(Outbound, RST)]), Closing);
    }

    #[test]
    fn connection_met_midway_establishes_with_the_first_answer() {
        assert_eq!(Connection::opened_by(ACK).sees(&[(Inbound, ACK)]), Established);
    }

    #[test]
    fn refused_connection_closes_at_once() {
        assert_eq!(Connection::opened_by(SYN).sees(&[(Inbound, RST | ACK)]), Closing);
    }

    #[test]
    fn closes_on_reset_or_on_both_fins() {
        for direction in [Outbound, Inbound] {
            assert_eq!(Connection::established().sees(&[(direction, RST)]), Closing);
        }
        let mut connection = Connection::established();
        assert_eq!(
            connection.sees(&[(Outbound, FIN | ACK), (Inbound, ACK), (Inbound, ACK), (Outbound, ACK)]),
            Established
        );
        assert_eq!(connection.sees(&[(Inbound, FIN | ACK)]), Closing);
        assert_eq!(connection.sees(&[(Outbound, ACK)]), Closing, "the last acknowledgement revives nothing");
    }

    #[test]
    fn connection_that_goes_on_after_a_reset_from_outside_lives() {
        let mut connection = Connection::established();
        assert_eq!(connection.sees(&[(Inbound, RST)]), Closing);
        assert_eq!(connection.sees(&[(Inbound, ACK)]), Closing, "who forges a reset may forge more");
        assert_eq!(connection.sees(&[(Outbound, ACK)]), Established);
        assert_eq!(connection.sees(&[(Outbound, ACK), (Inbound, ACK)]), Established, "the reset is forgotten");
        assert_eq!(connection.sees(&[(Inbound, RST), (Outbound, FIN | ACK)]), Established);
    }

    #[test]
    fn connection_whose_server_goes_on_after_a_forged_fin_or_reset_lives() {
        for forged in [FIN | ACK, RST, RST | ACK, FIN | RST] {
            let mut connection = Connection::established();
            connection.sees(&[(Inbound, forged)]);
            assert_eq!(connection.sends_data(Inbound), Established, "{forged:x}");
            assert_eq!(connection.seen, [SYN | ACK, SYN | ACK], "nothing is left of it");
        }
        // The client's own FIN stays: the connection is closed by half.
        let mut connection = Connection::established();
        assert_eq!(connection.sees(&[(Inbound, FIN | ACK), (Outbound, FIN | ACK)]), Closing);
        assert_eq!(connection.sends_data(Inbound), Established);
        assert_eq!(connection.seen, [SYN | ACK | FIN, SYN | ACK]);
        assert_eq!(connection.sees(&[(Inbound, FIN | ACK)]), Closing, "the real one");
    }

    #[test]
    fn mere_acknowledgements_of_the_server_do_not_take_its_fin_back() {
        let mut connection = Connection::established();
        assert_eq!(connection.sees(&[(Inbound, FIN | ACK), (Outbound, ACK), (Inbound, ACK)]), Established);
        connection.sends_data(Outbound);
        assert_eq!(connection.seen[1], SYN | ACK | FIN, "it has finished, and the client goes on");
    }

    #[test]
    fn data_from_outside_revives_nothing_that_the_client_reset_or_that_never_was() {
        let mut connection = Connection::established();
        connection.sees(&[(Outbound, RST | ACK), (Inbound, RST)]);
        assert_eq!(connection.sends_data(Inbound), Closing);
        let mut refused = Connection::opened_by(SYN);
        refused.sees(&[(Inbound, RST | ACK)]);
        assert_eq!(refused.sends_data(Inbound), Closing);
    }

    #[test]
    fn syn_over_a_connection_closed_by_half_starts_anew() {
        for (direction, other) in [(Outbound, Inbound), (Inbound, Outbound)] {
            let mut connection = Connection::established();
            assert_eq!(connection.sees(&[(direction, FIN | ACK), (other, ACK)]), Established);
            assert_eq!(connection.sees(&[(Outbound, SYN)]), HalfOpen);
            assert_eq!(connection.seen, [SYN, 0], "no FIN is left, nor its idle time");
            assert_eq!(connection.sees(&[(Inbound, SYN | ACK), (Outbound, ACK)]), Established);
        }
        assert_eq!(Connection::established().sees(&[(Outbound, SYN)]), Established, "a challenge, if anything");
    }

    #[test]
    fn reset_from_inside_is_final() {
        let mut connection = Connection::established();
        assert_eq!(connection.sees(&[(Outbound, RST), (Inbound, RST), (Outbound, ACK)]), Closing);
        assert_eq!(connection.sees(&[(Outbound, RST | ACK)]), Closing);
    }

    #[test]
    fn refused_connection_is_not_revived() {
        assert_eq!(Connection::opened_by(SYN).sees(&[(Inbound, RST | ACK), (Outbound, RST)]), Closing);
    }

    #[test]
    fn only_an_outbound_syn_reopens() {
        let closed = || Connection { state: Closing, seen: [SYN | ACK | FIN, SYN | ACK | FIN] };
        assert_eq!(closed().sees(&[(Inbound, SYN)]), Closing);
        assert_eq!(closed().sees(&[(Outbound, SYN | ACK)]), Closing);
        let mut connection = closed();
        assert_eq!(connection.sees(&[(Outbound, SYN)]), HalfOpen);
        assert_eq!(connection.sees(&[(Inbound, SYN | ACK), (Outbound, ACK)]), Established);
    }

    #[test]
    fn half_open_connection_that_the_full_table_kept_so_closes_too() {
        let mut connection = Connection { state: HalfOpen, seen: [SYN | ACK | FIN, SYN | ACK] };
        assert_eq!(connection.sees(&[(Inbound, FIN | ACK)]), Closing);
    }

    #[test]
    fn two_of_three_make_a_conversation() {
        const HZ: u32 = 250;
        let cases = [
            ("a query", [1, 0], 0, Unproven),
            ("a query and its answer", [1, 1], 0, Unproven),
            ("two queries from one socket", [2, 2], 0, Unproven),
            ("a flood", [1000, 0], 2 * HZ - 1, Unproven),
            ("an exchange", [4, 1], 0, Conversation),
            ("a stream that was asked for", [1, 4], 0, Conversation),
            ("an answer after two seconds", [1, 1], 2 * HZ, Conversation),
            ("a stream in one direction", [4, 0], 2 * HZ, Stream),
            ("a datagram now and then", [3, 0], 100 * HZ, Unproven),
        ];
        for (what, packets, age, expected) in cases {
            assert_eq!(standing(packets, age, HZ), expected, "{what}");
        }
    }

    #[test]
    fn conversation_establishes_whoever_speaks() {
        for direction in [Outbound, Inbound] {
            let advanced = |standing| progress(HalfOpen, direction, standing);
            assert_eq!((advanced(Conversation), advanced(Unproven)), (Transition::Establish, Transition::Stay));
        }
    }

    #[test]
    fn stream_is_one_way_until_it_is_answered() {
        assert_eq!(progress(HalfOpen, Outbound, Stream), Transition::Sustain);
        assert_eq!(progress(OneWay, Outbound, Unproven), Transition::Stay);
        assert_eq!(progress(OneWay, Inbound, Unproven), Transition::Establish);
    }
}
