//! Whose packet it is: addresses of both families, those of IPv4 in their mapped form ([`mapped_words`](crate::abi::mapped_words)), as words
//! of memory in network byte order.

/// Whether `address` lies in a network.
#[inline(always)]
#[must_use]
pub const fn is_inside(address: [u32; 4], network: [u32; 4], mask: [u32; 4]) -> bool {
    let ([a, b, c, d], [e, f, g, h], [m, n, o, p]) = (address, network, mask);
    (a & m ^ e) | (b & n ^ f) | (c & o ^ g) | (d & p ^ h) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{abi::mapped_words, wire::ipv6::words};

    #[test]
    fn networks_of_both_families_have_their_addresses() {
        let v4 = |address: [u8; 4]| mapped_words(u32::from_ne_bytes(address));
        let mask = [!0, !0, !0, u32::from_ne_bytes([255, 255, 255, 0])];
        assert!(is_inside(v4([10, 0, 0, 9]), v4([10, 0, 0, 0]), mask));
        assert!(!is_inside(v4([10, 0, 1, 9]), v4([10, 0, 0, 0]), mask));
        let v6 = |last: u8, eighth: u8| words([0xfd, 0, 0, 0, 0, 0, 0, eighth, 0, 0, 0, 0, 0, 0, 0, last]);
        assert!(is_inside(v6(9, 1), v6(0, 1), [!0, !0, 0, 0]));
        assert!(!is_inside(v6(9, 2), v6(0, 1), [!0, !0, 0, 0]));
        assert!(!is_inside(v4([10, 0, 0, 9]), v6(0, 1), [!0, !0, 0, 0]));
    }
}
