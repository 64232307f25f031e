//! What both halves of `fwd` agree on.
//!
//! `no_std`, no I/O, no clock, no allocation: the records that live in BPF maps ([`abi`]) and the decisions of the data path as pure
//! functions ([`decide`], [`flow`]) over headers ([`wire`]) in common terms ([`types`]). The eBPF programs look up, call into here and
//! apply; userspace reads the same records; tests run the same functions over byte slices.
#![no_std]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic))]

#[cfg(any(test, feature = "user", feature = "emit"))]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod abi;
pub mod decide;
pub mod flow;
pub mod latency;
pub mod types;
pub mod wire;
