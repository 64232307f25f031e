//! What everything else is said in: directions, verdicts, checksums.

pub mod checksum;
pub mod direction;
pub mod verdict;
