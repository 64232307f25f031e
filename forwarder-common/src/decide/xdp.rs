//! Which frames the XDP programs may send: those about which there is nothing that needs more than a translation.

use crate::{
    types::{checksum, verdict::DropReason},
    wire::{
        ethernet::{self, ethertype},
        ipv4,
        l4::{self, Proto, tcp_flag},
        packet::{L3_OFF, PacketBytes},
    },
};

/// The headers of such a frame.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    /// Its IPv4 header.
    pub ip: ipv4::Header,
    /// Its transport header.
    pub l4: l4::Header,
}

impl Headers {
    /// Reads them, if the packet is whole and in one piece, its IPv4 header is right, has no options and a TTL to spare, it opens no
    /// connection, and its checksum is full. The frame is `length` bytes long, and the words of its IPv4 header without options sum up to
    /// `header_sum`.
    ///
    /// # Errors
    /// Any reason: the frame goes on to the programs of traffic control.
    #[inline(always)]
    pub fn read<P: PacketBytes>(
        frame: &P,
        length: usize,
        header_sum: impl FnOnce() -> u64,
    ) -> Result<Self, DropReason> {
        const ELSEWHERE: Result<Headers, DropReason> = Err(DropReason::Protocol);
        if frame.load::<2>(ethernet::field::TYPE)? != ethertype::IPV4 {
            return ELSEWHERE;
        }
        let ip = ipv4::parse(frame, L3_OFF)?;
        if ip.len != ipv4::MIN_LEN || ip.ttl_expires() || ip.total_len == 0 {
            return ELSEWHERE;
        }
        if !checksum::verifies(header_sum()) {
            return ELSEWHERE;
        }
        // A frame in several buffers has the rest of the packet elsewhere.
        if usize::from(ip.total_len).wrapping_add(L3_OFF) > length {
            return ELSEWHERE;
        }
        let l4 = l4::parse(frame, &ip)?;
        if l4.tcp_flags & tcp_flag::SYN != 0 || is_partial(frame, &ip, &l4)? {
            return ELSEWHERE;
        }
        Ok(Self { ip, l4 })
    }
}

/// Whether the transport checksum is still to be computed by a network card (`CHECKSUM_PARTIAL`, include/linux/skbuff.h), as
/// between virtual interfaces. A frame says nothing of it, and would leave so for good; but then the checksum field holds the sum
/// of the pseudo-header. One in 65,536 full ones looks the same, and takes the slow path.
#[inline(always)]
fn is_partial<P: PacketBytes>(frame: &P, ip: &ipv4::Header, l4: &l4::Header) -> Result<bool, DropReason> {
    let field = match l4.proto {
        Proto::Tcp => l4::field::TCP_CHECK,
        Proto::Udp => l4::field::UDP_CHECK,
        // It has no pseudo-header: the kernel always computes it.
        Proto::Icmp => return Ok(false),
    };
    let check = frame.load::<2>(ip.payload_off().wrapping_add(field))?;
    Ok(check == ip.pseudo_sum())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// A datagram of four bytes, with a full checksum.
    fn datagram() -> Vec<u8> {
        let ip = [0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0, 10, 77, 0, 2, 198, 51, 100, 7];
        let udp = [0x13, 0x88, 0, 53, 0, 12, 0x12, 0x34, 1, 2, 3, 4];
        right([&[2; 12][..], &[8, 0], &ip, &udp].concat())
    }

    /// The same with the right checksum of the header.
    fn right(mut frame: Vec<u8>) -> Vec<u8> {
        frame[24..26].fill(0);
        let sum: u32 =
            frame[14..34].as_chunks::<2>().0.iter().map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        frame[24..26].copy_from_slice(&(!(folded as u16)).to_be_bytes());
        frame
    }

    fn takes(frame: &[u8]) -> bool {
        let words = || frame[14..34].as_chunks().0.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        Headers::read(&frame, frame.len(), words).is_ok()
    }

    #[test]
    fn a_common_packet_is_taken_and_whatever_is_uncommon_goes_on() {
        assert!(takes(&datagram()));
        let changed = |at: usize, byte: u8| {
            let mut frame = datagram();
            frame[at] = byte;
            right(frame)
        };
        let uncommon = [
            ("another protocol", changed(13, 6)),
            ("options", changed(14, 0x46)),
            ("a TTL at its end", changed(22, 1)),
            ("BIG TCP", changed(17, 0)),
            ("longer than its frame", changed(17, 33)),
            ("a fragment", changed(20, 0x20)),
            ("a later fragment", changed(21, 1)),
            ("without ports", changed(23, 47)),
        ];
        for (what, frame) in uncommon {
            assert!(!takes(&frame), "{what}");
        }
    }

    #[test]
    fn a_wrong_header_checksum_is_not_made_right() {
        let mut frame = datagram();
        frame[24] ^= 1;
        assert!(!takes(&frame));
    }

    #[test]
    fn a_partial_checksum_goes_on_to_whom_it_is_told() {
        let mut frame = datagram();
        let ip = ipv4::parse(&frame.as_slice(), L3_OFF).expect("a header");
        frame[40..42].copy_from_slice(&ip.pseudo_sum());
        assert!(!takes(&frame));
    }

    #[test]
    fn what_opens_a_connection_goes_on() {
        for (flags, taken) in [(tcp_flag::ACK, true), (tcp_flag::SYN, false), (tcp_flag::SYN | tcp_flag::ACK, false)] {
            let mut frame = datagram();
            frame.truncate(34);
            frame.extend([0x13, 0x88, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0x12, 0x34, 0, 0]);
            (frame[17], frame[23]) = (40, 6);
            assert_eq!(takes(&right(frame)), taken, "{flags:#x}");
        }
    }
}
