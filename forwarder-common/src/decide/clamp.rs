//! The largest TCP segment that a way carries (RFC 879, RFC 6691), and how the checksum follows.

/// Headers without options: IPv4 and TCP, bytes.
const HEADERS: u32 = 40;
/// IPv6 and TCP.
const HEADERS_IPV6: u32 = 60;

/// The largest segment between an endpoint and a way out with these MTUs, bytes. Both are at least 68 (RFC 791 §3.2).
#[inline(always)]
#[must_use]
pub const fn segment(way_out: u32, inside: u32) -> u16 {
    without(HEADERS, way_out, inside)
}

/// As [`segment`], of IPv6: both are at least 1280 (RFC 8200 §5).
#[inline(always)]
#[must_use]
pub const fn segment_ipv6(way_out: u32, inside: u32) -> u16 {
    without(HEADERS_IPV6, way_out, inside)
}

#[inline(always)]
const fn without(headers: u32, way_out: u32, inside: u32) -> u16 {
    let mtu = if way_out < inside { way_out } else { inside };
    let segment = mtu.saturating_sub(headers);
    if segment > u16::MAX as u32 { u16::MAX } else { segment as u16 }
}

/// The 16-bit words that the checksum sees change when the value `old` becomes `new`: at an odd offset its halves belong to two
/// words, which is the same sum with the bytes swapped (RFC 1071 §2(B)).
#[inline(always)]
#[must_use]
pub const fn words(old: [u8; 2], new: [u8; 2], odd: bool) -> (u16, u16) {
    let (old, new) = (u16::from_ne_bytes(old), u16::from_ne_bytes(new));
    if odd { (old.swap_bytes(), new.swap_bytes()) } else { (old, new) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::checksum;

    #[test]
    fn segments_fit_the_smaller_of_two_ways() {
        assert_eq!((segment(1500, 1400), segment(1280, 65_535), segment(65_535, 65_575)), (1360, 1240, 65_495));
        assert_eq!((segment_ipv6(1500, 1400), segment_ipv6(1280, 65_535)), (1340, 1220));
    }

    proptest! {
        #[test]
        fn checksum_follows_at_every_offset(mut bytes: [u8; 40], value: u16, at in 2_usize..37) {
            bytes[0] |= 1; // All zero has two representations.
            let check = checksum::full(&bytes);
            let old = [bytes[at], bytes[at + 1]];
            let new = value.to_be_bytes();
            bytes[at..at + 2].copy_from_slice(&new);
            let (from, to) = words(old, new, at % 2 != 0);
            prop_assert_eq!(checksum::update16(check, from.to_ne_bytes(), to.to_ne_bytes()), checksum::full(&bytes));
        }
    }
}
