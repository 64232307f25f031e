//! The life of a TCP flow: only legal steps, whatever the flags and their order.

use forwarder_common::{
    abi::{FlowState, TIMEOUTS, Timeout},
    flow::{Segment, TRACKED, Transition, advance, expired, timeout},
    types::direction::Direction,
    wire::l4::{Proto, tcp_flag},
};

/// The first byte opens the flow, each further one is a segment: its flags, in bit 6 whether it has a payload, and in bit 7 the direction.
///
/// # Panics
/// A flow takes a step that its segments do not allow.
pub fn track(input: &[u8]) {
    let Some((&first, segments)) = input.split_first() else { return };
    let (mut state, mut seen) = (FlowState::HalfOpen, [first & TRACKED, 0]);
    for &byte in segments {
        let (flags, data, back) = (byte & 0x3f, byte & 0x40 != 0, byte & 0x80 != 0);
        let direction = if back { Direction::Inbound } else { Direction::Outbound };
        seen[usize::from(back)] |= flags & TRACKED;
        let segment = Segment { flags, direction, data };
        let step = advance(state, seen, segment);
        let said = format!("{step:?} in {state:?} after {seen:02x?}, flags {flags:02x} from {direction:?}");
        assert!(legal(state, seen, segment, step), "{said}");
        match step {
            Transition::Stay => {}
            Transition::Establish => state = FlowState::Established,
            Transition::Sustain => state = FlowState::OneWay,
            Transition::Close => state = FlowState::Closing,
            Transition::Reopen => (state, seen) = (FlowState::HalfOpen, [flags & TRACKED, 0]),
            Transition::Revive => {
                state = FlowState::Established;
                seen[1] &= !tcp_flag::RST;
            }
            Transition::Continue => {
                state = FlowState::Established;
                seen[1] &= !(tcp_flag::RST | tcp_flag::FIN);
            }
        }
        expires_once(state, seen, byte);
    }
}

fn legal(state: FlowState, seen: [u8; 2], segment: Segment, step: Transition) -> bool {
    let Segment { flags, direction, data } = segment;
    let back = direction == Direction::Inbound;
    let closing = state == FlowState::Closing;
    let reset = flags & tcp_flag::RST != 0;
    match step {
        // A reset never leaves a flow open.
        Transition::Stay => closing || !reset,
        Transition::Establish => state == FlowState::HalfOpen && !reset && seen[0] & seen[1] & tcp_flag::ACK != 0,
        // Only other protocols have streams that are not answered.
        Transition::Sustain => false,
        Transition::Close => !closing && (reset || seen[0] & seen[1] & tcp_flag::FIN != 0),
        // Nobody outside opens a closed flow again.
        Transition::Reopen => {
            state != FlowState::HalfOpen && !back && flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN
        }
        Transition::Revive => closing && !back && !reset && flags & tcp_flag::SYN == 0,
        // Only data takes back what was said in the name of the same side, and nothing what the inside said.
        Transition::Continue => {
            back && data && !reset && flags & (tcp_flag::SYN | tcp_flag::FIN) == 0 && seen[0] & tcp_flag::RST == 0
        }
    }
}

/// A flow that has expired stays expired, and an established one is given its two hours unless a side has finished.
fn expires_once(state: FlowState, seen: [u8; 2], idle: u8) {
    let timeouts = [10; TIMEOUTS];
    let at = |idle: u32| expired(state, Proto::Tcp, seen, idle, &timeouts);
    assert!(!at(u32::from(idle)) || at(u32::from(idle) + 1));
    if state == FlowState::Established && (seen[0] | seen[1]) & tcp_flag::FIN == 0 {
        assert_eq!(timeout(state, Proto::Tcp, seen), Timeout::TcpEstablished);
    }
}
