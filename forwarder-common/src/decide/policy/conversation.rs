//! What two neighbours speak: which part a packet has in their conversation, and whether that has begun.

use crate::{
    abi::{Conversation, TIMEOUTS, Timeout},
    flow::idle,
    wire::{
        icmp, icmpv6,
        l4::{Proto, tcp_flag},
        ndisc,
    },
};

const ICMP: u8 = Proto::Icmp as u8;
const TCP: u8 = Proto::Tcp as u8;
const UDP: u8 = Proto::Udp as u8;

/// Which part a packet has in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Part {
    /// None: a later fragment, which is nothing without the first, or neighbour discovery.
    Aside = 0,
    /// It begins one, or goes on with one that either end began.
    Speaks = 1,
    /// A segment of TCP that goes on with one.
    GoesOn = 2,
    /// A query of ICMP, by which one begins.
    Asks = 3,
    /// The answer to such a query.
    Answers = 4,
    /// An error of ICMP about a packet of one.
    Tells = 5,
    /// It begins none, and belongs to none: what else ICMP says.
    Alone = 6,
}

impl Part {
    /// That with this number.
    #[inline(always)]
    #[must_use]
    pub const fn of(number: u32) -> Self {
        match number {
            0 => Self::Aside,
            1 => Self::Speaks,
            2 => Self::GoesOn,
            3 => Self::Asks,
            4 => Self::Answers,
            5 => Self::Tells,
            _ => Self::Alone,
        }
    }

    /// That of a packet with ports or an identifier: of its protocol, as [`super::protocol`] has it, the flags of a segment of TCP, and the type of
    /// ICMP, which is that of ICMPv6 if `ipv6`.
    #[inline(always)]
    #[must_use]
    pub const fn with(proto: u8, tcp_flags: u8, icmp_type: u8, ipv6: bool) -> Self {
        match proto {
            TCP if tcp_flags & tcp_flag::SYN == 0 => Self::GoesOn,
            // It answers nothing: else whoever was spoken to, or pretends it by a bare ACK, might begin.
            TCP if tcp_flags & tcp_flag::ACK == 0 => Self::Asks,
            ICMP if ipv6 && icmp_type == icmpv6::kind::ECHO_REQUEST => Self::Asks,
            ICMP if !ipv6 && icmp::is_request(icmp_type) => Self::Asks,
            ICMP => Self::Answers,
            _ => Self::Speaks,
        }
    }

    /// That of a message of ICMPv6 with this type, which is neither an echo nor an error.
    #[inline(always)]
    #[must_use]
    pub const fn with_message(kind: u8) -> Self {
        if ndisc::is_discovery(kind) { Self::Aside } else { Self::Alone }
    }

    /// Whether such a packet is of a conversation that its sender began.
    #[inline(always)]
    #[must_use]
    pub const fn may_go_on(self) -> bool {
        matches!(self, Self::Speaks | Self::GoesOn | Self::Asks | Self::Tells)
    }

    /// Whether it is of one that its receiver began.
    #[inline(always)]
    #[must_use]
    pub const fn may_answer(self) -> bool {
        matches!(self, Self::Speaks | Self::GoesOn | Self::Answers | Self::Tells)
    }

    /// Whether a conversation begins by it, and is noted.
    #[inline(always)]
    #[must_use]
    pub const fn begins(self) -> bool {
        matches!(self, Self::Speaks | Self::GoesOn | Self::Asks)
    }
}

impl Conversation {
    /// The same conversation, if the other end had begun it.
    #[inline(always)]
    #[must_use]
    pub const fn answer(&self) -> Self {
        let Self { from, to, src, dst, sport, dport, proto, query, _pad } = *self;
        Self { from: to, to: from, src: dst, dst: src, sport: dport, dport: sport, proto, query, _pad }
    }

    /// The port of whom it was begun with, host byte order, as rules know it: 0 of what has none.
    #[inline(always)]
    #[must_use]
    pub const fn port(&self) -> u16 {
        if self.proto == ICMP { 0 } else { u16::from_be_bytes(self.dport) }
    }
}

/// What a segment of TCP with these flags makes of the ends that its sender has told before: a SYN begins anew.
#[inline(always)]
#[must_use]
pub const fn ends(told: u32, tcp_flags: u8) -> u32 {
    if tcp_flags & tcp_flag::SYN != 0 { 0 } else { told | (tcp_flags & (tcp_flag::FIN | tcp_flag::RST)) as u32 }
}

/// Whether a TCP connection is over of which the two ends have told so: by a reset, or both by a FIN.
#[inline(always)]
#[must_use]
pub const fn is_over(ended: u32, by_other: u32) -> bool {
    (ended | by_other) & tcp_flag::RST as u32 != 0 || ended & by_other & tcp_flag::FIN as u32 != 0
}

/// Whether a conversation of this protocol that was last seen at `seen` still goes on, or [`is_over`], by the idle times of flows that were
/// answered. In jiffies (wrapping).
#[inline(always)]
#[must_use]
pub fn lasts(proto: u8, is_over: bool, seen: u32, now: u32, timeouts: &[u32; TIMEOUTS]) -> bool {
    let which = match proto {
        TCP if is_over => Timeout::TcpClosing,
        TCP => Timeout::TcpEstablished,
        UDP => Timeout::UdpEstablished,
        ICMP => Timeout::Icmp,
        _ => Timeout::Other,
    };
    timeouts.get(which as usize).is_some_and(|limit| idle(now, seen) <= *limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Part::{Alone, Answers, Aside, Asks, GoesOn, Speaks, Tells};

    #[test]
    fn each_packet_has_its_part() {
        assert_eq!((Part::with(UDP, 0, 0, false), Part::with(47, 0, 0, false)), (Speaks, Speaks));
        assert_eq!(Part::with(TCP, tcp_flag::SYN, 0, false), Asks);
        assert_eq!(Part::with(TCP, tcp_flag::SYN | tcp_flag::ACK, 0, true), Speaks);
        assert_eq!(Part::with(TCP, tcp_flag::ACK, 0, true), GoesOn);
        assert_eq!((Part::with(ICMP, 0, 8, false), Part::with(ICMP, 0, 0, false)), (Asks, Answers));
        assert_eq!((Part::with(ICMP, 0, 13, false), Part::with(ICMP, 0, 14, false)), (Asks, Answers));
        assert_eq!((Part::with(ICMP, 0, 128, true), Part::with(ICMP, 0, 129, true)), (Asks, Answers));
        assert_eq!((Part::with_message(135), Part::with_message(138)), (Aside, Alone));
    }

    #[test]
    fn numbers_are_those_of_the_parts() {
        for part in [Aside, Speaks, GoesOn, Asks, Answers, Tells, Alone] {
            assert_eq!(Part::of(part as u32), part);
        }
    }

    #[test]
    fn who_was_asked_may_answer_and_not_ask_by_that() {
        assert!(Asks.may_go_on() && !Asks.may_answer() && Answers.may_answer() && !Answers.may_go_on());
        assert!(Tells.may_go_on() && Tells.may_answer() && !Tells.begins() && !Answers.begins());
        assert!(!Alone.may_go_on() && !Alone.may_answer() && !Alone.begins());
    }

    #[test]
    fn answer_to_the_answer_is_the_conversation() {
        let conversation = Conversation {
            from: 3,
            to: 4,
            src: [1; 16],
            dst: [2; 16],
            sport: [0, 1],
            dport: [0, 80],
            proto: 6,
            ..Conversation::default()
        };
        let answer = conversation.answer();
        assert_eq!((answer.from, answer.dst, answer.sport, answer.port()), (4, [1; 16], [0, 80], 1));
        assert_eq!((answer.answer(), conversation.port()), (conversation, 80));
        assert_eq!(Conversation { proto: 1, ..conversation }.port(), 0, "an identifier is no port");
    }

    #[test]
    fn connection_is_over_by_a_reset_or_when_both_have_finished_and_a_syn_begins_anew() {
        let (fin, rst, ack) = (tcp_flag::FIN | tcp_flag::ACK, tcp_flag::RST, tcp_flag::ACK);
        let told = |flags: &[u8]| flags.iter().fold(0, |told, flags| ends(told, *flags));
        assert!(!is_over(told(&[tcp_flag::SYN, ack]), told(&[tcp_flag::SYN | ack, ack])));
        assert!(!is_over(told(&[fin, ack]), told(&[ack])) && is_over(told(&[fin, ack]), told(&[fin])));
        assert!(is_over(told(&[rst]), 0) && is_over(0, told(&[rst, ack])));
        assert!(!is_over(told(&[fin, rst, tcp_flag::SYN]), told(&[fin])), "the same ports again");
    }

    #[test]
    fn conversation_lasts_as_long_as_a_flow_that_was_answered() {
        let mut timeouts = [0; TIMEOUTS];
        for (class, limit) in timeouts.iter_mut().zip(1..) {
            *class = limit * 100;
        }
        for (proto, class) in
            [(6, Timeout::TcpEstablished), (17, Timeout::UdpEstablished), (1, Timeout::Icmp), (47, Timeout::Other)]
        {
            let limit = timeouts[class as usize];
            assert!(lasts(proto, false, u32::MAX, limit - 1, &timeouts));
            assert!(!lasts(proto, false, u32::MAX, limit, &timeouts));
            assert!(lasts(proto, false, 5, 4, &timeouts), "another CPU was a moment ahead");
        }
        let limit = timeouts[Timeout::TcpClosing as usize];
        assert!(lasts(TCP, true, 0, limit, &timeouts) && !lasts(TCP, true, 0, limit + 1, &timeouts));
    }
}
