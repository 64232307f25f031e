//! Round trips by TCP's timestamps (RFC 7323): a segment carries a time of its sender's, and the other end sends it back.
//!
//! Read of segments whose first option is the timestamp, behind two bytes of padding, as RFC 7323 (appendix A) has it and all common senders
//! write it; the first segments of a connection have other options before it.

use crate::wire::l4::Proto;

/// Words of a segment of IPv4 from its IP header on, to the end of the timestamps.
pub const SEGMENT_WORDS: usize = 13;
/// The same of IPv6.
pub const SEGMENT_WORDS_IPV6: usize = 18;

/// NOP, NOP, timestamp, 10 bytes.
const OPTION: [u8; 4] = [1, 1, 8, 10];
/// Bytes of a TCP header with nothing but that behind it.
const HEADER: u32 = 32;
const TCP: u8 = Proto::Tcp as u8;
const ACK: u8 = 0x10;

/// What a segment says of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// Both ports, the sender's first, as the word lies in memory.
    pub ports: u32,
    /// The sender's time.
    pub value: u32,
    /// The last time that the sender has heard of the other end; 0 where it acknowledges nothing.
    pub echo: u32,
    /// It carries data, which the other end acknowledges.
    pub carries: bool,
}

/// The timestamps of a segment of IPv4, of words as they lie in memory. None of a packet with options of IP, of a fragment, or of anything else.
#[inline(always)]
#[must_use]
pub const fn timestamps(words: &[u32; SEGMENT_WORDS]) -> Option<Timestamps> {
    let [first, second, third, _, _, transport @ ..] = words;
    let [version, _, l0, l1] = first.to_ne_bytes();
    let [_, _, f0, f1] = second.to_ne_bytes();
    let [_, proto, ..] = third.to_ne_bytes();
    if version != 0x45 || proto != TCP || f0 & 0x3f != 0 || f1 != 0 {
        return None;
    }
    of_transport(transport, u16::from_be_bytes([l0, l1]) as u32, 20)
}

/// The same of IPv6, without extension headers.
#[inline(always)]
#[must_use]
pub const fn timestamps_ipv6(words: &[u32; SEGMENT_WORDS_IPV6]) -> Option<Timestamps> {
    let [_, second, _, _, _, _, _, _, _, _, transport @ ..] = words;
    let [l0, l1, next, _] = second.to_ne_bytes();
    if next != TCP {
        return None;
    }
    of_transport(transport, u16::from_be_bytes([l0, l1]) as u32, 0)
}

/// `length` is that of the packet, 0 where it is not known (BIG TCP), of which `before` bytes come before the header of TCP.
#[inline(always)]
const fn of_transport(words: &[u32; 8], length: u32, before: u32) -> Option<Timestamps> {
    let [ports, _, _, control, _, option, value, echo] = *words;
    let [offset, flags, ..] = control.to_ne_bytes();
    let header = (offset as u32 >> 4) << 2;
    if header < HEADER || option != u32::from_ne_bytes(OPTION) {
        return None;
    }
    let echo = if flags & ACK == 0 { 0 } else { echo };
    Some(Timestamps { ports, value, echo, carries: length == 0 || length > before.wrapping_add(header) })
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv6Addr, SocketAddrV4, SocketAddrV6},
        vec::Vec,
    };

    use super::*;
    use crate::wire::{
        emit::{Extension, Ipv6Packet, Packet, Transport},
        l4::tcp_flag,
    };

    const FROM: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 2), 0x1234);
    const TO: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::new(203, 0, 113, 1), 443);

    fn words<const N: usize>(packet: &[u8]) -> [u32; N] {
        core::array::from_fn(|n| {
            u32::from_ne_bytes(core::array::from_fn(|m| packet.get(n * 4 + m).copied().unwrap_or_default()))
        })
    }

    /// Both times as they lie in memory, behind the padding.
    fn option(value: u32, echo: u32) -> Vec<u8> {
        [OPTION, value.to_ne_bytes(), echo.to_ne_bytes()].concat()
    }

    fn segment(flags: u8) -> Packet {
        Packet::tcp(FROM, TO).tcp_flags(flags).tcp_options(&option(7, 9))
    }

    fn read(packet: &Packet) -> Option<Timestamps> {
        timestamps(&words(&packet.emit()))
    }

    #[test]
    fn both_times_are_read_of_a_segment() {
        let ports = u32::from_ne_bytes([0x12, 0x34, 1, 0xbb]);
        let all = Timestamps { ports, value: 7, echo: 9, carries: true };
        assert_eq!(read(&segment(tcp_flag::ACK).payload(b"x")), Some(all));
        assert_eq!(read(&segment(tcp_flag::ACK)), Some(Timestamps { carries: false, ..all }));
        assert_eq!(read(&segment(0).payload(b"x")), Some(Timestamps { echo: 0, ..all }), "what it acknowledges");

        let [from, to] = [FROM, TO].map(|end| SocketAddrV6::new(Ipv6Addr::LOCALHOST, end.port(), 0, 0));
        let packet = |carried: &[u8]| {
            let mut packet = Ipv6Packet::tcp(from, to).payload(carried);
            if let Transport::Tcp(tcp) = &mut packet.transport {
                (tcp.flags, tcp.options) = (tcp_flag::ACK, option(7, 9));
            }
            packet
        };
        let read = |packet: Ipv6Packet| timestamps_ipv6(&words(&packet.emit()));
        assert_eq!(read(packet(b"x")), Some(all));
        assert_eq!(read(packet(b"")), Some(Timestamps { carries: false, ..all }));
        assert_eq!(read(packet(b"x").payload_len(0)), Some(all), "BIG TCP");
        assert_eq!(read(packet(b"x").extension(Extension::Destination(Vec::from([0; 6])))), None);
    }

    #[test]
    fn what_has_none_where_they_are_looked_for_is_left_out() {
        let acknowledges = segment(tcp_flag::ACK).payload(b"x");
        assert_eq!(read(&Packet::tcp(FROM, TO).payload(&[1; 40])), None, "no options");
        assert_eq!(
            read(&acknowledges.clone().tcp_options(&[2, 4, 5, 0xb4, 1, 1, 8, 10, 0, 0, 0, 7])),
            None,
            "another first"
        );
        assert_eq!(read(&acknowledges.clone().options(&[1; 4])), None, "options of IP");
        let mut bytes = acknowledges.emit();
        bytes[6] |= 0x20;
        assert_eq!(timestamps(&words(&bytes)), None, "a fragment");
        assert_eq!(read(&Packet::udp(FROM, TO).payload(&[1; 40])), None);
    }
}
