//! Secrets for tests of how well hashes spread: always the same ones, because of all secrets some spread badly.

use crate::abi::Secret;

/// How many a test tries.
const COUNT: usize = 32;

/// Secrets that look random (SplitMix64).
pub(crate) fn secrets() -> impl Iterator<Item = Secret> {
    let mut state = 0_u64;
    let mut word = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    core::iter::repeat_with(move || core::array::from_fn(|_| word())).take(COUNT)
}
