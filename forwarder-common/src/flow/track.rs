//! The life of a flow: half-open until it is seen in both directions, established, closing after a reset or both FINs.

use crate::{
    abi::{FlowState, Timeout},
    wire::l4::{Header, Proto, tcp_flag},
};

/// Packets of a UDP flow without replies that establish it, when they are spread over [`UDP_PROMOTE_SECONDS`].
pub const UDP_PROMOTE_PACKETS: u64 = 4;
/// See [`UDP_PROMOTE_PACKETS`].
pub const UDP_PROMOTE_SECONDS: u32 = 2;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Namespace → outside.
    Out,
    /// Outside → namespace.
    Back,
}

/// What a packet does to its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Transition {
    /// Nothing: the common case.
    Stay,
    /// Becomes [`FlowState::Established`].
    Establish,
    /// Becomes [`FlowState::Closing`].
    Close,
    /// A new connection over a closed one: [`FlowState::Established`], with the flags forgotten.
    Reopen,
}

/// The TCP flags that matter to a flow.
pub const TRACKED: u8 = tcp_flag::FIN | tcp_flag::SYN | tcp_flag::RST | tcp_flag::ACK;

/// What a packet with header `l4` does to a flow in `state`. `seen` are the flags of both directions
/// ([`crate::abi::FlowShared::tcp_flags`]), this packet's included. `long_lived` says that a UDP flow has earned its place
/// without a reply.
#[inline(always)]
#[must_use]
pub fn advance(state: FlowState, seen: [u8; 2], l4: &Header, direction: Direction, long_lived: bool) -> Transition {
    let back = matches!(direction, Direction::Back);
    match (state, l4.proto) {
        (FlowState::HalfOpen, Proto::Tcp) if back && l4.tcp_flags & tcp_flag::RST != 0 => Transition::Close,
        (FlowState::HalfOpen, _) if back => Transition::Establish,
        (FlowState::HalfOpen, Proto::Udp) if long_lived => Transition::Establish,
        (FlowState::Established, Proto::Tcp) if l4.tcp_flags & tcp_flag::RST != 0 => Transition::Close,
        (FlowState::Established, Proto::Tcp) if both(seen, tcp_flag::FIN) => Transition::Close,
        (FlowState::Closing, Proto::Tcp) if !back && l4.opens() => Transition::Reopen,
        _ => Transition::Stay,
    }
}

/// Whether `flag` was seen in both directions.
#[inline(always)]
const fn both([out, back]: [u8; 2], flag: u8) -> bool {
    out & back & flag != 0
}

/// The idle time that ends a flow.
#[inline(always)]
#[must_use]
pub const fn timeout(state: FlowState, proto: Proto, [_, seen_back]: [u8; 2]) -> Timeout {
    match (proto, state) {
        (Proto::Icmp, _) => Timeout::Icmp,
        (Proto::Udp, FlowState::Established) => Timeout::UdpEstablished,
        (Proto::Udp, _) => Timeout::UdpHalfOpen,
        (Proto::Tcp, FlowState::Closing) => Timeout::TcpClosing,
        // A connection reopened but not answered counts as half-open.
        (Proto::Tcp, FlowState::Established) if seen_back != 0 => Timeout::TcpEstablished,
        (Proto::Tcp, _) => Timeout::TcpHalfOpen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcp_flag::{ACK, FIN, RST, SYN};

    fn header(proto: Proto, tcp_flags: u8) -> Header {
        Header { proto, src_port: [0, 1], dst_port: [0, 2], tcp_flags, icmp_type: 0, len: 20 }
    }

    fn tcp(state: FlowState, [out, back]: [u8; 2], flags: u8, direction: Direction) -> Transition {
        let seen = match direction {
            Direction::Out => [out | flags, back],
            Direction::Back => [out, back | flags],
        };
        advance(state, seen, &header(Proto::Tcp, flags), direction, false)
    }

    #[test]
    fn first_reply_establishes() {
        for proto in [Proto::Tcp, Proto::Udp, Proto::Icmp] {
            let l4 = header(proto, if proto == Proto::Tcp { SYN | ACK } else { 0 });
            let half_open = FlowState::HalfOpen;
            assert_eq!(advance(half_open, [0, 0], &l4, Direction::Back, false), Transition::Establish);
            assert_eq!(advance(half_open, [0, 0], &l4, Direction::Out, false), Transition::Stay);
        }
    }

    #[test]
    fn one_way_udp_establishes_when_it_lasts() {
        let udp = header(Proto::Udp, 0);
        assert_eq!(advance(FlowState::HalfOpen, [0, 0], &udp, Direction::Out, true), Transition::Establish);
    }

    #[test]
    fn refused_connection_closes_at_once() {
        assert_eq!(tcp(FlowState::HalfOpen, [SYN, 0], RST | ACK, Direction::Back), Transition::Close);
    }

    #[test]
    fn closes_on_reset_or_on_both_fins() {
        let established = FlowState::Established;
        assert_eq!(tcp(established, [0, 0], RST, Direction::Out), Transition::Close);
        assert_eq!(tcp(established, [0, 0], FIN | ACK, Direction::Out), Transition::Stay);
        assert_eq!(tcp(established, [FIN, 0], FIN | ACK, Direction::Back), Transition::Close);
        assert_eq!(tcp(established, [0, 0], ACK, Direction::Back), Transition::Stay);
    }

    #[test]
    fn only_an_outbound_syn_reopens() {
        assert_eq!(tcp(FlowState::Closing, [0, 0], SYN, Direction::Out), Transition::Reopen);
        assert_eq!(tcp(FlowState::Closing, [0, 0], SYN, Direction::Back), Transition::Stay);
        assert_eq!(tcp(FlowState::Closing, [0, 0], SYN | ACK, Direction::Out), Transition::Stay);
    }

    #[test]
    fn reopened_connection_keeps_the_short_timeout_until_answered() {
        assert_eq!(timeout(FlowState::Established, Proto::Tcp, [SYN, 0]), Timeout::TcpHalfOpen);
        assert_eq!(timeout(FlowState::Established, Proto::Tcp, [SYN, SYN | ACK]), Timeout::TcpEstablished);
        assert_eq!(timeout(FlowState::Closing, Proto::Tcp, [FIN, FIN]), Timeout::TcpClosing);
        assert_eq!(timeout(FlowState::HalfOpen, Proto::Udp, [0, 0]), Timeout::UdpHalfOpen);
    }
}
