//! The Internet checksum, updated incrementally (RFC 1624).

/// Number of UDP, which leaves its checksum out by zero (RFC 768).
const UDP: u8 = 17;
/// Number of UDP-Lite, whose checksum is never zero on the wire (RFC 3828 §3.1).
pub const UDP_LITE: u8 = 136;
/// Number of ICMP, whose checksum covers no pseudo-header.
const ICMP: u8 = 1;

/// The checksum of a transport header, as it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Checksum(u16);

/// What a translation changes of what a transport checksum covers, as it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Address before: of the pseudo-header of TCP and UDP (RFC 9293 §3.1).
    pub old_addr: u32,
    /// Address after.
    pub new_addr: u32,
    /// Port, or identifier, before.
    pub old_port: u16,
    /// Port, or identifier, after.
    pub new_port: u16,
}

impl Change {
    /// Of addresses and ports as they stand in a packet, before and after.
    #[inline(always)]
    #[must_use]
    pub const fn new(addr: ([u8; 4], [u8; 4]), port: ([u8; 2], [u8; 2])) -> Self {
        Self {
            old_addr: u32::from_ne_bytes(addr.0),
            new_addr: u32::from_ne_bytes(addr.1),
            old_port: u16::from_ne_bytes(port.0),
            new_port: u16::from_ne_bytes(port.1),
        }
    }

    /// What it adds to the sum under a checksum of `proto`: of the addresses, and of the ports.
    #[inline(always)]
    const fn sums(&self, proto: u8) -> (u64, u64) {
        let addresses = if proto == ICMP { 0 } else { !self.old_addr as u64 + self.new_addr as u64 };
        (addresses, !self.old_port as u64 + self.new_port as u64)
    }
}

/// An address of IPv6 as a word that adds the same to a sum: [`Change`] takes it as it takes an address of IPv4.
#[inline(always)]
#[must_use]
pub const fn folded(addr: [u8; 16]) -> u32 {
    fold32(words_of(addr))
}

/// What it adds to a sum that `old` becomes `new`, two addresses of IPv6.
#[inline(always)]
#[must_use]
pub const fn delta(old: [u8; 16], new: [u8; 16]) -> u32 {
    fold32(!folded(old) as u64 + folded(new) as u64)
}

/// Folds a sum of 32-bit words, below 2⁶³, to 32 bits, and so that a sum of 16-bit words stays the same.
#[inline(always)]
#[must_use]
pub const fn fold32(sum: u64) -> u32 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    (sum + (sum >> 32)) as u32
}

impl Checksum {
    /// From a word of memory.
    #[inline(always)]
    #[must_use]
    pub const fn new(raw: u16) -> Self {
        Self(raw)
    }

    /// As a word of memory.
    #[inline(always)]
    #[must_use]
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// Whether a datagram of `proto` says by it that it has none: zero, of UDP and UDP-Lite.
    #[inline(always)]
    #[must_use]
    pub const fn is_unused(self, proto: u8) -> bool {
        self.0 == 0 && has_zero_rule(proto)
    }

    /// After a change, where it is full. One that is not used stays so, and one that comes to zero is sent as all ones.
    #[inline(always)]
    #[must_use]
    pub const fn after(self, change: &Change, proto: u8) -> Self {
        if self.is_unused(proto) {
            return self;
        }
        let (addresses, ports) = change.sums(proto);
        Self(!fold(!self.0 as u64 + addresses + ports)).sent(proto)
    }

    /// After a change, where it is partial (`CHECKSUM_PARTIAL`): the sum over the pseudo-header, which a device completes.
    #[inline(always)]
    #[must_use]
    pub const fn partial_after(self, change: &Change, proto: u8) -> Self {
        if self.is_unused(proto) {
            return self;
        }
        let (addresses, _) = change.sums(proto);
        Self(fold(self.0 as u64 + addresses)).sent(proto)
    }

    /// After a change that adds `sum` to the sum under it: [`Checksum::after`] where it is full, [`Checksum::partial_after`] otherwise.
    #[inline(always)]
    #[must_use]
    pub const fn plus(self, sum: u64, full: bool, proto: u8) -> Self {
        if self.is_unused(proto) {
            return self;
        }
        let under = if full { !self.0 } else { self.0 };
        let sum = fold(under as u64 + sum);
        Self(if full { !sum } else { sum }).sent(proto)
    }

    #[inline(always)]
    const fn sent(self, proto: u8) -> Self {
        if self.is_unused(proto) { Self(u16::MAX) } else { self }
    }
}

/// Whether zero says of a checksum of `proto` that it is not used.
#[inline(always)]
#[must_use]
pub const fn has_zero_rule(proto: u8) -> bool {
    proto == UDP || proto == UDP_LITE
}

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

/// Folds a sum of 16- and 32-bit words, below 2⁴⁸, to 16 bits.
#[inline(always)]
#[must_use]
pub(crate) const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum + (sum >> 16)) as u16
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

/// The sum (not its complement) over the pseudo-header of IPv6 (RFC 8200 §8.1) with `length` bytes of the protocol `proto`.
#[inline(always)]
#[must_use]
pub const fn pseudo_sum_v6(src: [u8; 16], dst: [u8; 16], proto: u8, length: u32) -> [u8; 2] {
    let rest = word_of([0, 0, 0, proto]) + word_of(length.to_be_bytes());
    fold(words_of(src) + words_of(dst) + rest).to_ne_bytes()
}

/// What a 32-bit word adds to a sum.
#[inline(always)]
#[must_use]
pub const fn word_of(bytes: [u8; 4]) -> u64 {
    u32::from_ne_bytes(bytes) as u64
}

/// What an IPv6 address adds to a sum.
#[inline(always)]
#[must_use]
pub const fn words_of([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [u8; 16]) -> u64 {
    word_of([a, b, c, d]) + word_of([e, f, g, h]) + word_of([i, j, k, l]) + word_of([m, n, o, p])
}

/// The checksum over what adds up to `sum`.
#[inline(always)]
#[must_use]
pub const fn of_sum(sum: u64) -> [u8; 2] {
    (!fold(sum)).to_ne_bytes()
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

    proptest! {
        #[test]
        fn addresses_of_ipv6_change_a_checksum_as_their_words_do(
            src: [u8; 16], dst: [u8; 16], new: [u8; 16], ports: [[u8; 2]; 2], payload in proptest::collection::vec(any::<u8>(), 8..40),
        ) {
            let sum = |src: [u8; 16], port: [u8; 2]| {
                let covered = [&port[..], &payload].concat();
                let length = u32::try_from(covered.len()).unwrap();
                let pseudo = pseudo_sum_v6(src, dst, 6, length);
                (u16::from_ne_bytes(pseudo), u16::from_ne_bytes(update16(full(&covered), [0, 0], pseudo)))
            };
            let ((pseudo, check), (new_pseudo, expected)) = (sum(src, ports[0]), sum(new, ports[1]));
            let [old_port, new_port] = ports.map(u16::from_ne_bytes);
            let change = Change { old_addr: folded(src), new_addr: folded(new), old_port, new_port };
            prop_assert_eq!(Checksum::new(check).after(&change, 6).raw(), expected);
            prop_assert_eq!(Checksum::new(pseudo).partial_after(&change, 6).raw(), new_pseudo);
            let (addresses, ports) = (u64::from(delta(src, new)), u64::from(!old_port) + u64::from(new_port));
            prop_assert_eq!(Checksum::new(check).plus(addresses + ports, true, 6).raw(), expected);
            prop_assert_eq!(Checksum::new(pseudo).plus(addresses, false, 6).raw(), new_pseudo);
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
