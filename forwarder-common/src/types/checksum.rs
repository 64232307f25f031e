//! The Internet checksum, updated incrementally (RFC 1624).

/// Adds to a running one's complement sum what changes when the 16-bit word `old` becomes `new`.
#[inline(always)]
#[must_use]
const fn delta16(old: [u8; 2], new: [u8; 2]) -> u64 {
    // Words are taken in host order as they lie in memory: the sum is the same in either order (RFC 1071 §2(B)).
    (!u16::from_ne_bytes(old)) as u64 + u16::from_ne_bytes(new) as u64
}

/// The same for a 32-bit field.
#[inline(always)]
#[must_use]
const fn delta32(old: [u8; 4], new: [u8; 4]) -> u64 {
    (!u32::from_ne_bytes(old)) as u64 + u32::from_ne_bytes(new) as u64
}

/// Folds a sum of 16- and 32-bit words to 16 bits.
#[inline(always)]
#[must_use]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The checksum after one 32-bit and one 16-bit word changed.
#[inline(always)]
#[must_use]
pub const fn update(check: [u8; 2], old32: [u8; 4], new32: [u8; 4], old16: [u8; 2], new16: [u8; 2]) -> [u8; 2] {
    let sum = (!u16::from_ne_bytes(check)) as u64 + delta32(old32, new32) + delta16(old16, new16);
    (!fold(sum)).to_ne_bytes()
}

/// The checksum after one 16-bit word changed.
#[inline(always)]
#[must_use]
pub const fn update16(check: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    (!fold((!u16::from_ne_bytes(check)) as u64 + delta16(old, new))).to_ne_bytes()
}

/// The sum (not its complement) over the pseudo-header of TCP and UDP (RFC 9293 §3.1) with a payload of `length` bytes.
#[inline(always)]
#[must_use]
pub const fn pseudo_sum(src: [u8; 4], dst: [u8; 4], proto: u8, length: u16) -> [u8; 2] {
    let addresses = u32::from_ne_bytes(src) as u64 + u32::from_ne_bytes(dst) as u64;
    let rest = u16::from_ne_bytes([0, proto]) as u64 + u16::from_ne_bytes(length.to_be_bytes()) as u64;
    fold(addresses + rest).to_ne_bytes()
}

/// Whether words with the checksum over them among them add up to `sum`, a sum of 16- and 32-bit words.
#[inline(always)]
#[must_use]
pub const fn verifies(sum: u64) -> bool {
    fold(sum) == 0xffff
}

/// The checksum over `bytes`, computed in full: the reference of the tests, and for what userspace builds.
#[must_use]
pub fn full(bytes: &[u8]) -> [u8; 2] {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let tail = match rest {
        [last] => u64::from(u16::from_ne_bytes([*last, 0])),
        _ => 0,
    };
    let sum = pairs.iter().fold(tail, |sum, pair| sum.wrapping_add(u64::from(u16::from_ne_bytes(*pair))));
    (!fold(sum)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn incremental_update_equals_full_recompute(
            mut bytes in proptest::collection::vec(any::<u8>(), 20..60), new32: [u8; 4], new16: [u8; 2],
        ) {
            bytes[0] |= 1; // All zero has two representations.
            bytes[10..12].fill(0);
            let check = full(&bytes);
            let mut changed: Vec<u8> = bytes.clone();
            changed[12..16].copy_from_slice(&new32);
            changed[8..10].copy_from_slice(&new16);
            let old32 = bytes[12..16].try_into().unwrap();
            let old16 = bytes[8..10].try_into().unwrap();
            prop_assert_eq!(update(check, old32, new32, old16, new16), full(&changed));
        }
    }

    #[test]
    fn a_header_with_its_checksum_sums_to_zero() {
        let mut header = [0x45, 0, 0, 60, 1, 2, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1];
        let check = full(&header);
        header[10..12].copy_from_slice(&check);
        assert_eq!(full(&header), [0, 0]);
        let sum =
            |header: [u8; 20]| header.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        assert!(verifies(sum(header)));
        header[12] ^= 1;
        assert!(!verifies(sum(header)));
    }
}
