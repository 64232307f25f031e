//! A range of ports as prefixes.

/// The prefixes that cover `first..=last` and nothing else, in order: the first port of each, and how many of its bits count.
pub(super) fn prefixes(first: u16, last: u16) -> Vec<(u16, u32)> {
    let (mut next, end) = (u32::from(first), u32::from(last) + 1);
    let mut covered = Vec::new();
    while next < end {
        // The largest block that begins here and does not reach beyond the end.
        let aligned = if next == 0 { 16 } else { next.trailing_zeros().min(16) };
        let free = aligned.min((end - next).ilog2());
        covered.extend(u16::try_from(next).map(|port| (port, 16 - free)));
        next += 1 << free;
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn range_of_ten_thousand_ports_is_a_handful_of_prefixes() {
        assert_eq!(prefixes(80, 80), [(80, 16)]);
        assert_eq!(prefixes(0, u16::MAX), [(0, 0)]);
        assert!(prefixes(30_000, 39_999).len() <= 16);
        assert!(prefixes(1, 65_534).len() <= 30);
    }

    proptest! {
        #[test]
        fn prefixes_cover_the_range_and_nothing_else(a: u16, b: u16) {
            let (first, last) = (a.min(b), a.max(b));
            let mut next = u32::from(first);
            for (port, bits) in prefixes(first, last) {
                let size = 1_u32 << (16 - bits);
                prop_assert_eq!(u32::from(port), next);
                prop_assert_eq!(u32::from(port) % size, 0);
                next += size;
            }
            prop_assert_eq!(next, u32::from(last) + 1);
        }
    }
}
