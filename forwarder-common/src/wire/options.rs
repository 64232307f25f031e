//! Options of IPv4 (RFC 791 §3.1) and TCP (RFC 9293 §3.1): the same format, walked step by step with a bound.

/// Most bytes of options in either header.
pub const LONGEST: u32 = 40;

/// Steps after which every walk is over.
pub const STEPS: u32 = LONGEST;

/// What a walk has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Outcome {
    /// Not at the end yet.
    Going = 0,
    /// None of the wanted options is there.
    Absent = 1,
    /// One of them is at [`Walk::at`].
    Present = 2,
    /// An option has no length, or is longer than the rest.
    Malformed = 3,
}

/// Kinds of options.
pub mod kind {
    /// End of the list.
    pub const END: u8 = 0;
    /// One byte of padding.
    pub const NOP: u8 = 1;
    /// TCP: maximum segment size, four bytes.
    pub const MSS: u8 = 2;
    /// IPv4: loose source route.
    pub const LOOSE: u8 = 131;
    /// IPv4: strict source route.
    pub const STRICT: u8 = 137;
}

/// A walk through options, looking for one of two kinds.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Walk {
    /// The options, then zeros.
    pub bytes: [u8; 64],
    /// Where the walk is, bytes.
    pub at: u32,
    /// Bytes of options, at most [`LONGEST`].
    pub length: u32,
    /// What is looked for.
    pub wanted: [u8; 2],
    /// Explicit padding.
    pub _pad: [u8; 2],
    /// See [`Outcome`].
    pub outcome: u32,
}

impl Walk {
    /// A walk through no options yet: the bytes are to be filled in.
    #[inline(always)]
    #[must_use]
    pub const fn new(length: u32, wanted: [u8; 2]) -> Self {
        Self { bytes: [0; 64], at: 0, length, wanted, _pad: [0; 2], outcome: Outcome::Going as u32 }
    }

    /// The byte `behind` bytes behind where the walk is.
    #[inline(always)]
    #[must_use]
    pub fn byte(&self, behind: u32) -> u8 {
        // The mask is a bound: no position is beyond 63.
        self.bytes.get((self.at.wrapping_add(behind) & 0x3f) as usize).copied().unwrap_or_default()
    }

    /// Goes on by one option; whether there may be more.
    #[inline(always)]
    pub fn step(&mut self) -> bool {
        let kind = self.byte(0);
        let rest = self.length.wrapping_sub(self.at);
        let outcome = if self.at >= self.length || kind == kind::END {
            Outcome::Absent
        } else if kind == kind::NOP {
            self.at = self.at.wrapping_add(1);
            Outcome::Going
        } else {
            let length = u32::from(self.byte(1));
            if rest < 2 || length < 2 || length > rest {
                Outcome::Malformed
            } else if kind == self.wanted[0] || kind == self.wanted[1] {
                Outcome::Present
            } else {
                self.at = self.at.wrapping_add(length);
                Outcome::Going
            }
        };
        self.outcome = outcome as u32;
        outcome as u32 == Outcome::Going as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walked(options: &[u8], wanted: [u8; 2]) -> (u32, u32) {
        let mut walk = Walk::new(options.len() as u32, wanted);
        walk.bytes[..options.len()].copy_from_slice(options);
        for _ in 0..STEPS {
            if !walk.step() {
                break;
            }
        }
        if walk.outcome == Outcome::Going as u32 && walk.at >= walk.length {
            walk.outcome = Outcome::Absent as u32;
        }
        (walk.outcome, walk.at)
    }

    const SOURCE_ROUTE: [u8; 2] = [kind::LOOSE, kind::STRICT];

    #[test]
    fn source_routes_are_found_behind_other_options() {
        let present = Outcome::Present as u32;
        assert_eq!(walked(&[131, 7, 4, 1, 2, 3, 4, 0], SOURCE_ROUTE), (present, 0));
        assert_eq!(walked(&[1, 1, 137, 3, 4, 0, 0, 0], SOURCE_ROUTE), (present, 2));
        assert_eq!(walked(&[7, 7, 4, 0, 0, 0, 0, 131, 3, 4, 0, 0], SOURCE_ROUTE), (present, 7));
        // Behind the end there are no options.
        assert_eq!(walked(&[0, 131, 3, 4], SOURCE_ROUTE), (Outcome::Absent as u32, 0));
        assert_eq!(walked(&[1; 40], SOURCE_ROUTE), (Outcome::Absent as u32, 40));
        for bad in [&[7, 0, 0, 0][..], &[7, 1, 0, 0], &[7, 5, 0, 0], &[1, 1, 1, 7]] {
            assert_eq!(walked(bad, SOURCE_ROUTE).0, Outcome::Malformed as u32, "{bad:?}");
        }
    }

    #[test]
    fn segment_size_is_found_where_it_stands() {
        assert_eq!(walked(&[2, 4, 5, 0xb4, 4, 2, 1, 1], [kind::MSS; 2]), (Outcome::Present as u32, 0));
        assert_eq!(walked(&[1, 3, 3, 7, 2, 4, 5, 0xb4], [kind::MSS; 2]), (Outcome::Present as u32, 4));
    }

    proptest! {
        #[test]
        fn every_walk_ends_within_its_bounds(options in proptest::collection::vec(any::<u8>(), 0..=40)) {
            let (outcome, at) = walked(&options, SOURCE_ROUTE);
            prop_assert!(outcome != Outcome::Going as u32 && at as usize <= options.len());
        }
    }
}
