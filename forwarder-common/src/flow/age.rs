//! How long a flow may be idle, and a route be believed.

use crate::{
    abi::{FlowState, TIMEOUTS, Timeout},
    wire::l4::{Proto, tcp_flag},
};

/// The idle time that ends a flow.
#[inline(always)]
#[must_use]
pub const fn timeout(state: FlowState, proto: Proto, [outbound, inbound]: [u8; 2]) -> Timeout {
    match (proto, state) {
        (Proto::Icmp, _) => Timeout::Icmp,
        (Proto::Udp, FlowState::Established | FlowState::OneWay) => Timeout::UdpEstablished,
        (Proto::Udp, _) => Timeout::UdpHalfOpen,
        (Proto::Tcp, FlowState::Closing) => Timeout::TcpClosing,
        (Proto::Tcp, FlowState::Established) if (outbound | inbound) & tcp_flag::FIN != 0 => Timeout::TcpHalfClosed,
        (Proto::Tcp, FlowState::Established) => Timeout::TcpEstablished,
        (Proto::Tcp, _) => Timeout::TcpHalfOpen,
    }
}

/// Whether a flow that has been idle for `idle` has ended, by `timeouts` (indexed by [`Timeout`], in the unit of `idle`). Free
/// slots and flows that are just being made do not expire.
#[inline(always)]
#[must_use]
pub fn expired(state: FlowState, proto: Proto, flags: [u8; 2], idle: u32, timeouts: &[u32; TIMEOUTS]) -> bool {
    outlived(state, timeout(state, proto, flags), idle, timeouts)
}

/// Whether a flow in `state` has been idle for longer than the time of class `which`.
#[inline(always)]
#[must_use]
pub fn outlived(state: FlowState, which: Timeout, idle: u32, timeouts: &[u32; TIMEOUTS]) -> bool {
    if !state.can_end() {
        return false;
    }
    match timeouts.get(which as usize) {
        Some(limit) => idle > *limit,
        None => false,
    }
}

/// How long a flow has been idle at `now` whose last packet was at `seen`, in jiffies (wrapping). A packet that another CPU has noted after
/// the clock was read, by which time this one may have been stopped for a while, is later than `now`: the flow has not been idle at all.
#[inline(always)]
#[must_use]
pub const fn idle(now: u32, seen: u32) -> u32 {
    /// No CPU is stopped for longer, and no idle time comes so close to where the clock wraps.
    const AHEAD: u32 = 1 << 16;
    let idle = now.wrapping_sub(seen);
    if idle > u32::MAX - AHEAD { 0 } else { idle }
}

/// Whether the route of a flow, last looked up at `checked`, is to be looked up again: it is more than a second old. In jiffies (wrapping),
/// of which a second has `hz`.
#[inline(always)]
#[must_use]
pub const fn is_route_old(checked: u32, now: u32, hz: u32) -> bool {
    now.wrapping_sub(checked) > hz
}

#[cfg(test)]
mod tests {
    use FlowState::{Closing, Established, Free, HalfOpen, OneWay, Opening};
    use tcp_flag::{ACK, FIN, RST, SYN};

    use super::*;

    #[test]
    fn route_is_looked_up_again_after_a_second() {
        assert!(!is_route_old(100, 1100, 1000) && is_route_old(100, 1101, 1000));
        assert!(!is_route_old(u32::MAX, 999, 1000) && is_route_old(u32::MAX, 1000, 1000), "the clock wraps");
    }

    #[test]
    fn packet_that_comes_while_the_clock_is_read_keeps_its_flow() {
        assert_eq!((idle(1000, 400), idle(7, 7), idle(99, u32::MAX)), (600, 0, 100), "the clock wraps");
        for ahead in [1, 2, 250, 60_000] {
            assert_eq!((idle(1000, 1000 + ahead), idle(u32::MAX, ahead - 1)), (0, 0), "{ahead} jiffies ahead");
        }
        assert_eq!(idle(0, 1 << 30), 3 << 30, "it is long idle");
    }

    #[test]
    fn each_state_expires_after_its_own_time() {
        let mut timeouts = [u32::MAX; TIMEOUTS];
        for (class, limit) in timeouts.iter_mut().zip(1..) {
            *class = limit * 100;
        }
        let (open, one_fin) = ([SYN | ACK, SYN | ACK], [SYN | ACK | FIN, SYN | ACK]);
        let cases = [
            (HalfOpen, Proto::Tcp, [SYN, 0], Timeout::TcpHalfOpen),
            (HalfOpen, Proto::Tcp, [SYN, SYN | ACK], Timeout::TcpHalfOpen),
            (Established, Proto::Tcp, open, Timeout::TcpEstablished),
            (Established, Proto::Tcp, one_fin, Timeout::TcpHalfClosed),
            (Established, Proto::Tcp, [open[0], open[1] | FIN], Timeout::TcpHalfClosed),
            (Closing, Proto::Tcp, [one_fin[0], one_fin[0]], Timeout::TcpClosing),
            (Closing, Proto::Tcp, [SYN, RST | ACK], Timeout::TcpClosing),
            (HalfOpen, Proto::Udp, [0, 0], Timeout::UdpHalfOpen),
            (Established, Proto::Udp, [0, 0], Timeout::UdpEstablished),
            (OneWay, Proto::Udp, [0, 0], Timeout::UdpEstablished),
            (HalfOpen, Proto::Icmp, [0, 0], Timeout::Icmp),
            (Established, Proto::Icmp, [0, 0], Timeout::Icmp),
        ];
        for (state, proto, flags, class) in cases {
            let limit = timeouts[class as usize];
            let expired = |idle| expired(state, proto, flags, idle, &timeouts);
            assert!(!expired(limit) && expired(limit + 1), "{state:?} {proto:?} {flags:x?} ends after {class:?}");
        }
        for state in [Free, Opening] {
            assert!(!expired(state, Proto::Tcp, open, u32::MAX, &timeouts), "{state:?} does not expire");
        }
    }
}
