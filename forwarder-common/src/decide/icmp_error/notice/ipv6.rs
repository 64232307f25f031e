//! The same of IPv6: that a packet is too big (RFC 8201 §4, RFC 4443 §3.2), and that the way out is prohibited (RFC 4443 §3.1).

use super::sum;
use crate::{
    abi::Addr,
    types::checksum::fold,
    wire::{
        ethernet::{self, ethertype},
        icmpv6::{self, kind},
        ipv6::{self, field},
        l4::Proto,
    },
};

/// What is embedded of a packet that is refused, bytes: its header and eight bytes, by which a socket is found.
pub const EMBEDDED: usize = ipv6::LEN + 8;

/// Version 6; neither class nor label.
const FIRST: [u8; 4] = [0x60, 0, 0, 0];
const HOP_LIMIT: u8 = 64;
/// Of what is unreachable: communication administratively prohibited.
const PROHIBITED: u8 = 1;
/// Bytes behind the header.
const PAYLOAD: u16 = (icmpv6::LEN + EMBEDDED) as u16;

/// Length of the frame that tells a namespace, bytes.
pub const LEN: usize = ethernet::LEN + ipv6::LEN + PAYLOAD as usize;

/// Where its parts stand in the frame, bytes. The hardware addresses come before them.
pub mod off {
    use super::{ethernet, field, icmpv6, ipv6};

    /// [`super::Notice::head`].
    pub const HEAD: u32 = ethernet::field::TYPE as u32;
    /// Who tells.
    pub const SRC: u32 = (ethernet::LEN + field::SRC) as u32;
    /// Who is told.
    pub const DST: u32 = (ethernet::LEN + field::DST) as u32;
    /// [`super::Notice::message`].
    pub const MESSAGE: u32 = (ethernet::LEN + ipv6::LEN) as u32;
    /// [`super::Notice::embedded`].
    pub const EMBEDDED: u32 = MESSAGE + icmpv6::LEN as u32;
}

/// What is told.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// The largest packet that gets through, bytes.
    TooBig(u16),
    /// The host does not let it out by the way that it would take.
    Prohibited,
}

/// The parts of the frame that are no addresses; all of it as on the wire. The addresses are written from where they are: to put them together
/// first takes a program more stack than it has.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// From the type of the frame to the hop limit.
    pub head: [u8; 10],
    /// The header of the message.
    pub message: [u8; icmpv6::LEN],
    /// The beginning of the packet, from its header on.
    pub embedded: [u8; EMBEDDED],
}

/// Whether the sender of a packet that begins with `embedded` is told: of one whose transport header comes at once, so that it is in what is
/// embedded, and not about an error (RFC 4443 §2.4).
#[inline(always)]
#[must_use]
pub fn may_tell(embedded: &[u8; EMBEDDED]) -> bool {
    let at = |place: usize| embedded.get(place).copied().unwrap_or_default();
    let next = at(field::NEXT_HEADER);
    let transport = next == Proto::Tcp as u8 || next == Proto::Udp as u8;
    transport || next == icmpv6::PROTO && !icmpv6::is_error(at(ipv6::LEN))
}

impl Notice {
    /// Whom it is for: who has sent the packet.
    #[inline(always)]
    #[must_use]
    pub fn source(&self) -> Option<&Addr> {
        self.embedded.get(field::SRC..).and_then(|rest| rest.first_chunk())
    }

    /// Completes it around `embedded`, as from `gateway`.
    #[inline(always)]
    pub fn complete(&mut self, gateway: &Addr, told: Told) {
        let (kind, code, mtu) = match told {
            Told::TooBig(mtu) => (kind::TOO_BIG, 0, mtu),
            Told::Prohibited => (kind::UNREACHABLE, PROHIBITED, 0),
        };
        let ([m0, m1], [p0, p1]) = (mtu.to_be_bytes(), PAYLOAD.to_be_bytes());
        let message = |[c0, c1]: [u8; 2]| [kind, code, c0, c1, 0, 0, m0, m1];
        // What is summed of addresses, length and next header (RFC 8200 §8.1).
        let addresses = sum(gateway).wrapping_add(self.source().map_or(0, sum));
        let pseudo = addresses.wrapping_add(sum(&[p0, p1])).wrapping_add(sum(&[0, icmpv6::PROTO]));
        let whole = pseudo.wrapping_add(sum(&message([0; 2]))).wrapping_add(sum(&self.embedded));
        let ([t0, t1], [f0, f1, f2, f3]) = (ethertype::IPV6, FIRST);
        self.head = [t0, t1, f0, f1, f2, f3, p0, p1, icmpv6::PROTO, HOP_LIMIT];
        self.message = message((!fold(whole)).to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;

    const GATEWAY: Addr = [0xfd, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

    fn packet(next: u8, first: u8) -> [u8; EMBEDDED] {
        let mut embedded = [7; EMBEDDED];
        embedded[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 100, next, 63]);
        embedded[8..24].copy_from_slice(&[0xfd; 16]);
        embedded[40] = first;
        embedded
    }

    fn told(embedded: [u8; EMBEDDED], what: Told) -> Vec<u8> {
        let mut notice = Notice { head: [0; 10], message: [0; 8], embedded };
        notice.complete(&GATEWAY, what);
        let mut frame = vec![0; LEN];
        let mut write = |off: u32, bytes: &[u8]| frame[off as usize..][..bytes.len()].copy_from_slice(bytes);
        write(off::HEAD, &notice.head);
        write(off::SRC, &GATEWAY);
        write(off::DST, notice.source().expect("it is long enough"));
        write(off::MESSAGE, &notice.message);
        write(off::EMBEDDED, &notice.embedded);
        frame
    }

    #[test]
    fn the_sender_is_told_that_a_way_is_prohibited_or_what_gets_through() {
        let embedded = packet(Proto::Udp as u8, 1);
        let too_big = told(embedded, Told::TooBig(1400));
        assert_eq!(too_big[54..56], [2, 0]);
        assert_eq!(too_big[58..62], [0, 0, 0x05, 0x78], "RFC 8201");
        let told = told(embedded, Told::Prohibited);
        assert!(adds_up(&too_big) && adds_up(&told));
        let ip = ipv6::parse(&told.as_slice(), 14).expect("IPv6");
        assert_eq!((ip.src, ip.dst, ip.end()), (GATEWAY, [0xfd; 16], LEN));
        assert_eq!((&told[12..14], told[20], &told[54..56]), (&[0x86, 0xdd][..], icmpv6::PROTO, &[1, 1][..]));
        assert_eq!(told[62..], embedded);
    }

    /// Whether the sum over the pseudo-header and everything behind the header comes out even.
    fn adds_up(told: &[u8]) -> bool {
        let mut whole = told[22..54].to_vec();
        whole.extend(u32::from(PAYLOAD).to_be_bytes());
        whole.extend([0, 0, 0, icmpv6::PROTO]);
        whole.extend(&told[54..]);
        let sum: u32 = whole.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        (sum >> 16) + (sum & 0xffff) == 0xffff
    }

    #[test]
    fn nobody_is_told_about_an_error_nor_where_the_ports_would_be_cut() {
        assert!(may_tell(&packet(Proto::Tcp as u8, 0)) && may_tell(&packet(icmpv6::PROTO, kind::ECHO_REQUEST)));
        assert!(!may_tell(&packet(icmpv6::PROTO, kind::UNREACHABLE)));
        for header in [0, 43, 44, 60] {
            assert!(!may_tell(&packet(header, 0)), "{header}");
        }
    }
}
