//! What a program tells a namespace itself, where the kernel must not see the packet, because it would send it by another interface than its
//! flow leaves by, or untranslated: "fragmentation needed" (RFC 1191 §4), and that the way out is prohibited (RFC 1812 §5.2.7.1).

pub mod ipv6;

use crate::{
    types::checksum::fold,
    wire::{
        ethernet::ethertype,
        icmp,
        ipv4::{self, MIN_LEN},
        l4::Proto,
        packet::PacketBytes,
    },
};

/// What is embedded of a packet that is too big, bytes: the longest header and eight bytes, as RFC 792 asks for. None has less: an MTU of
/// IPv4 is no smaller (RFC 791 §3.2).
pub const EMBEDDED: usize = 68;

/// What is embedded of a packet that is refused, bytes: a header without options and eight bytes. Whose header has options is not told.
pub const EMBEDDED_SHORT: usize = 28;

const VERSION_AND_LENGTH: u8 = 0x45;
/// Internetwork control, as the kernel marks its errors (RFC 1812 §4.3.2.5).
const PRECEDENCE: u8 = 0xc0;
const TTL: u8 = 64;
/// Of what is unreachable: fragmentation needed; communication administratively prohibited.
const NEEDED: u8 = 4;
const PROHIBITED: u8 = 13;

/// What is told.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// The largest packet that gets through, bytes.
    TooBig(u16),
    /// The host does not let it out by the way that it would take.
    Prohibited,
}

impl Told {
    /// How much of the packet is embedded, bytes.
    const fn embedded(self) -> usize {
        match self {
            Self::TooBig(_) => EMBEDDED,
            Self::Prohibited => EMBEDDED_SHORT,
        }
    }
}

/// The frame that tells a namespace; all of it as on the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, zerocopy::IntoBytes, zerocopy::Immutable)]
pub struct Notice {
    to: [u8; 6],
    from: [u8; 6],
    ethertype: [u8; 2],
    header: [u8; MIN_LEN],
    icmp: [u8; icmp::LEN],
    /// The beginning of the packet, from its IPv4 header on; zero behind what is embedded of it.
    pub embedded: [u8; EMBEDDED],
}

/// Length of [`Notice`], bytes.
pub const LEN: usize = size_of::<Notice>();

/// Its length where less is embedded, bytes.
pub const LEN_SHORT: usize = LEN - EMBEDDED + EMBEDDED_SHORT;

/// Who is told, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Hardware address of the interface inside.
    pub mac: [u8; 6],
    /// Hardware address of the gateway, as the namespace sees it.
    pub gateway_mac: [u8; 6],
    /// Address of the gateway.
    pub gateway: [u8; 4],
}

/// Whether the sender of a packet that begins with `embedded` is told (RFC 1812 §4.3.2.7): not about an error, nor about a later fragment.
#[inline(always)]
#[must_use]
pub fn may_tell(embedded: &[u8; EMBEDDED]) -> bool {
    let bytes = embedded.as_slice();
    let Ok(ip) = ipv4::parse(&bytes, 0) else { return false };
    if ip.fragment_start() != 0 {
        return false;
    }
    let message = bytes.load::<1>(ip.payload_off());
    ip.proto != Proto::Icmp as u8 || matches!(message, Ok([message]) if !icmp::is_error(message))
}

/// As [`may_tell`], where only [`EMBEDDED_SHORT`] bytes are embedded.
#[inline(always)]
#[must_use]
pub fn may_tell_short(embedded: &[u8; EMBEDDED]) -> bool {
    let [version_and_length, ..] = *embedded;
    version_and_length == VERSION_AND_LENGTH && may_tell(embedded)
}

impl Notice {
    /// As it is sent, where less is embedded. It is longer than that, so that there is always such a beginning.
    #[inline(always)]
    #[must_use]
    pub fn as_short_frame(&self) -> Option<&[u8; LEN_SHORT]> {
        self.as_frame().first_chunk()
    }

    /// As it is sent.
    #[inline(always)]
    #[must_use]
    pub fn as_frame(&self) -> &[u8; LEN] {
        zerocopy::transmute_ref!(self)
    }

    /// Completes it around `embedded`.
    #[inline(always)]
    pub fn complete(&mut self, ends: &Ends, told: Told) {
        let [_, _, _, _, _, _, _, _, _, _, _, _, s0, s1, s2, s3, ..] = self.embedded;
        let ([g0, g1, g2, g3], [length, short]) = (ends.gateway, total(told).to_be_bytes());
        let header = |check: [u8; 2]| {
            let (icmp, [c0, c1]) = (Proto::Icmp as u8, check);
            [
                VERSION_AND_LENGTH,
                PRECEDENCE,
                length,
                short,
                0,
                0,
                0,
                0,
                TTL,
                icmp,
                c0,
                c1,
                g0,
                g1,
                g2,
                g3,
                s0,
                s1,
                s2,
                s3,
            ]
        };
        let (code, mtu) = match told {
            Told::TooBig(mtu) => (NEEDED, mtu),
            Told::Prohibited => (PROHIBITED, 0),
        };
        let [m0, m1] = mtu.to_be_bytes();
        let message = |[c0, c1]: [u8; 2]| [icmp::UNREACHABLE, code, c0, c1, 0, 0, m0, m1];
        let check = |sum: u64| (!fold(sum)).to_ne_bytes();
        self.to = ends.mac;
        self.from = ends.gateway_mac;
        self.ethertype = ethertype::IPV4;
        self.header = header(check(sum(&header([0; 2]))));
        self.icmp = message(check(sum(&message([0; 2])).wrapping_add(sum(&self.embedded))));
    }
}

/// Total length of what is told, bytes.
const fn total(told: Told) -> u16 {
    (MIN_LEN as u16).wrapping_add(icmp::LEN as u16).wrapping_add(told.embedded() as u16)
}

/// The words of an even number of bytes, added up as they lie in memory.
#[inline(always)]
fn sum<const N: usize>(bytes: &[u8; N]) -> u64 {
    let (words, _) = bytes.as_chunks::<2>();
    let mut sum = 0_u64;
    for word in words {
        sum = sum.wrapping_add(u16::from_ne_bytes(*word).into());
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddrV4, vec::Vec};

    use super::*;
    use crate::wire::{emit::Packet, l4};

    const ENDS: Ends = Ends { mac: [2, 0, 0, 0, 0, 7], gateway_mac: [2, 0x67, 10, 77, 0, 1], gateway: [10, 77, 0, 1] };

    fn embedded(frame: &[u8]) -> [u8; EMBEDDED] {
        frame[..EMBEDDED].try_into().expect("a packet that is too big")
    }

    fn udp() -> Vec<u8> {
        Packet::udp(SocketAddrV4::new([10, 77, 0, 2].into(), 5000), SocketAddrV4::new([203, 0, 113, 1].into(), 53))
            .payload(&[7; 100])
            .emit()
    }

    fn told(embedded: [u8; EMBEDDED], mtu: u16) -> Vec<u8> {
        let mut notice =
            Notice { to: [0; 6], from: [0; 6], ethertype: [0; 2], header: [0; 20], icmp: [0; 8], embedded };
        notice.complete(&ENDS, Told::TooBig(mtu));
        notice.as_frame().to_vec()
    }

    fn folds(bytes: &[u8]) -> bool {
        let sum: u32 = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        (sum >> 16) + (sum & 0xffff) == 0xffff
    }

    #[test]
    fn the_sender_is_told_what_gets_through_and_about_which_packet() {
        let frame = udp();
        let told = told(embedded(&frame), 1234);
        assert_eq!(told.len(), LEN);
        assert_eq!((&told[..6], &told[6..12], &told[12..14]), (&ENDS.mac[..], &ENDS.gateway_mac[..], &[8, 0][..]));
        let ip = ipv4::parse(&told.as_slice(), 14).expect("IPv4");
        assert_eq!((ip.src, ip.dst, ip.proto), (ENDS.gateway, [10, 77, 0, 2], 1));
        assert_eq!(usize::from(ip.total_len), told.len() - 14);
        assert_eq!(told[34..36], [3, 4]);
        assert_eq!(told[38..42], [0, 0, 0x04, 0xd2], "RFC 1191");
        assert_eq!(told[42..], frame[..EMBEDDED]);
        assert!(folds(&told[14..34]) && folds(&told[34..]), "{told:x?}");
    }

    #[test]
    fn the_sender_is_told_that_a_way_is_prohibited_by_the_shortest_packet() {
        let frame =
            Packet::udp(SocketAddrV4::new([10, 77, 0, 2].into(), 5000), SocketAddrV4::new([203, 0, 113, 1].into(), 53))
                .emit();
        let mut embedded = [0; EMBEDDED];
        embedded[..EMBEDDED_SHORT].copy_from_slice(&frame[..EMBEDDED_SHORT]);
        assert!(may_tell_short(&embedded));
        let mut notice =
            Notice { to: [0; 6], from: [0; 6], ethertype: [0; 2], header: [0; 20], icmp: [0; 8], embedded };
        notice.complete(&ENDS, Told::Prohibited);
        let told = notice.as_short_frame().expect("it is longer");
        let ip = ipv4::parse(&told.as_slice(), 14).expect("IPv4");
        assert_eq!((ip.src, ip.dst, usize::from(ip.total_len)), (ENDS.gateway, [10, 77, 0, 2], LEN_SHORT - 14));
        assert_eq!(told[34..36], [3, 13], "RFC 1812");
        assert_eq!(told[42..], frame[..EMBEDDED_SHORT]);
        assert!(folds(&told[14..34]) && folds(&told[34..]), "{told:x?}");
        embedded[0] = 0x46;
        assert!(!may_tell_short(&embedded), "its header would be cut");
    }

    #[test]
    fn nobody_is_told_about_an_error_or_a_later_fragment() {
        let frame = udp();
        assert!(may_tell(&embedded(&frame)));
        let mut later = embedded(&frame);
        later[6..8].copy_from_slice(&[0x20, 0x10]);
        assert!(!may_tell(&later));
        let mut first = embedded(&frame);
        first[6..8].copy_from_slice(&[0x20, 0]);
        assert!(may_tell(&first));
        let mut error = embedded(&frame);
        error[9] = l4::Proto::Icmp as u8;
        error[20] = icmp::UNREACHABLE;
        assert!(!may_tell(&error));
        error[20] = icmp::ECHO_REQUEST;
        assert!(may_tell(&error));
        assert!(!may_tell(&[0; EMBEDDED]), "no packet at all");
    }
}
