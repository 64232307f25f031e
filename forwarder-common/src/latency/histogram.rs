//! A log-linear histogram: each doubling of the value is divided into equal buckets, as in HdrHistogram.

/// Buckets of each doubling: a value is known within 1/32 of it.
const PER_DOUBLING: u64 = 1 << BITS;
const BITS: u32 = 5;

/// Number of buckets. The last one begins at 68 s less 1/64 and takes everything above.
pub const BUCKETS: usize = 1024;
const LAST: u64 = BUCKETS as u64 - 1;

/// The bucket of a value, always below [`BUCKETS`].
#[inline(always)]
#[must_use]
pub const fn bucket(value: u64) -> usize {
    if value < PER_DOUBLING {
        return value as usize;
    }
    let exponent = value.ilog2();
    let within = value >> exponent.wrapping_sub(BITS) & (PER_DOUBLING - 1);
    let index = (exponent.wrapping_sub(BITS - 1) as u64) << BITS | within;
    if index < LAST { index as usize } else { LAST as usize }
}

/// The smallest and the largest value of a bucket.
#[must_use]
pub const fn bounds(bucket: usize) -> (u64, u64) {
    let index = bucket as u64;
    if index < PER_DOUBLING {
        return (index, index);
    }
    if index >= LAST {
        return (first(LAST), u64::MAX);
    }
    (first(index), first(index.wrapping_add(1)).wrapping_sub(1))
}

/// The smallest value of a bucket beyond the exact ones.
const fn first(index: u64) -> u64 {
    let shift = (index >> BITS).wrapping_sub(1);
    (PER_DOUBLING | index & (PER_DOUBLING - 1)) << shift
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_values_are_exact_and_huge_ones_are_kept() {
        for value in 0..64 {
            assert_eq!(bounds(bucket(value)), (value, value));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bounds(BUCKETS - 1).1, u64::MAX);
    }

    #[test]
    fn buckets_follow_each_other_without_gap() {
        for index in 1..BUCKETS {
            assert_eq!(bounds(index).0, bounds(index - 1).1 + 1, "bucket {index}");
        }
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let (low, high) = bounds(bucket(value));
            prop_assert!(low <= value && value <= high);
            if bucket(value) < BUCKETS - 1 {
                prop_assert!((high - low).saturating_mul(32) <= value, "{low} to {high} is too wide");
            }
        }
    }
}
