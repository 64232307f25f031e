//! Fragments of IPv6 (RFC 8200 §4.5): only a sender cuts, the identification has 32 bits, and it stands in a header of the chain. What is noted
//! of them, and how long, is as of IPv4.

use super::{Piece, TCP};
use crate::{
    abi::{Secret, Tuple, fragment::Range},
    flow,
    types::verdict::DropReason,
    wire::extension::{FRAGMENT_LEN, Upper},
};

impl Piece {
    /// The fragment whose chain ends at `upper`, of a packet that ends at `end`.
    ///
    /// # Errors
    /// [`DropReason::ExtensionHeaders`] if headers stand between the fragment header and the transport header, which a later fragment does not
    /// show (their senders are none that anybody has met; RFC 7112 §5 lets who looks at headers drop them); otherwise as [`Piece::of`].
    #[inline(always)]
    pub const fn ipv6(upper: &Upper, end: usize) -> Result<Self, DropReason> {
        let start_off = upper.fragment_off.wrapping_add(FRAGMENT_LEN);
        let (start, last) = (upper.fragment_start(), !upper.more_fragments());
        if start_off > end {
            return Err(DropReason::Truncated);
        }
        let length = end.wrapping_sub(start_off);
        if length == 0 || !last && length & 7 != 0 {
            return Err(DropReason::Malformed);
        }
        if upper.off != start_off || crate::wire::extension::is_walked_over(upper.proto) {
            return Err(DropReason::ExtensionHeaders);
        }
        if upper.proto == TCP && start == 1 {
            return Err(DropReason::FragmentTiny);
        }
        // What stands in front of the fragment header counts for the length of the whole packet; it has been walked over, and is short.
        if (start as usize).wrapping_mul(8).wrapping_add(length) > 65_535 {
            return Err(DropReason::FragmentOverlap);
        }
        let units = length.wrapping_add(7) >> 3;
        Ok(Self { range: Range { start, end: start.wrapping_add(units as u16) }, last })
    }
}

/// What names the packet that a fragment is of, where it is seen: `ends` is the tuple of its addresses, protocol and interface; the
/// identification takes the place of the ports.
#[inline(always)]
#[must_use]
pub const fn key(ends: &Tuple, id: u32) -> Tuple {
    let [a, b, c, d] = id.to_be_bytes();
    Tuple { sport: [a, b], dport: [c, d], query: 0, ..*ends }
}

/// As [`super::id_mask`], with 32 bits: 0 for the host itself.
#[inline(always)]
#[must_use]
pub const fn id_mask(tuple: &Tuple, secret: &Secret) -> u32 {
    if tuple.ifindex == 0 {
        return 0;
    }
    flow::hash(&Tuple { sport: [0; 2], dport: [0; 2], query: 0, ..*tuple }, secret)
}

/// An identification under a mask, or without it again.
#[inline(always)]
#[must_use]
pub const fn masked(id: u32, mask: u32) -> u32 {
    id ^ mask
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: u8 = crate::wire::l4::Proto::Udp as u8;

    /// A fragment that begins at a unit and has so many bytes, behind 40 bytes of header and `before` bytes of its chain.
    fn piece(proto: u8, start: u16, more: bool, bytes: usize, before: usize) -> Result<Piece, DropReason> {
        let (fragment_off, fragmentation) = (54 + before, start << 3 | u16::from(more));
        let upper = Upper { proto, off: fragment_off + 8, fragment: true, fragmentation, id: 5, fragment_off };
        Piece::ipv6(&upper, fragment_off + 8 + bytes)
    }

    #[test]
    fn a_fragment_holds_what_stands_behind_its_header() {
        let expected = |start, end, last| Ok(Piece { range: Range { start, end }, last });
        for before in [0, 24] {
            assert_eq!(piece(UDP, 0, true, 1232, before), expected(0, 154, false));
            assert_eq!(piece(UDP, 154, false, 13, before), expected(154, 156, true));
        }
        assert_eq!(piece(UDP, 8190, false, 15, 0), expected(8190, 8192, true));
    }

    #[test]
    fn what_is_no_fragment_of_a_packet_is_refused_for_its_reason() {
        assert_eq!(piece(UDP, 3, true, 12, 0), Err(DropReason::Malformed), "nothing can follow");
        assert_eq!(piece(UDP, 3, false, 0, 0), Err(DropReason::Malformed), "empty");
        assert_eq!(piece(TCP, 1, false, 40, 0), Err(DropReason::FragmentTiny), "RFC 3128");
        assert_eq!(piece(UDP, 8190, false, 16, 0), Err(DropReason::FragmentOverlap), "beyond 65,535 bytes");
        assert_eq!(piece(60, 3, false, 16, 0), Err(DropReason::ExtensionHeaders), "options in a later fragment");
        let options = Upper { proto: UDP, off: 78, fragment: true, fragmentation: 1, id: 5, fragment_off: 54 };
        assert_eq!(Piece::ipv6(&options, 102), Err(DropReason::ExtensionHeaders), "options in the first one");
        assert_eq!(Piece::ipv6(&options, 61), Err(DropReason::Truncated));
    }

    #[test]
    fn an_endpoints_identifications_stay_different_and_are_shown_again() {
        let tuple = |ifindex| Tuple {
            saddr: [1; 4],
            daddr: [2; 4],
            sport: [3; 2],
            dport: [4; 2],
            ifindex,
            proto: UDP,
            ..Tuple::default()
        };
        let secret = [1, 2, 3, 4];
        let mask = id_mask(&tuple(7), &secret);
        assert_ne!(mask, id_mask(&tuple(8), &secret));
        assert_eq!(mask, id_mask(&Tuple { sport: [9; 2], dport: [8; 2], ..tuple(7) }, &secret), "whatever the ports");
        assert_eq!(id_mask(&tuple(0), &secret), 0, "the host's own");
        assert_eq!(masked(masked(0x1234_5678, mask), mask), 0x1234_5678);
        assert_eq!(key(&tuple(7), 0x0102_0304), Tuple { sport: [1, 2], dport: [3, 4], ..tuple(7) });
    }
}
