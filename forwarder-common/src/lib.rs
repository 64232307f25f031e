//! What both halves of `fwd` agree on.
//!
//! `no_std`, no I/O, no clock, no allocation: the records that live in BPF maps ([`abi`]) and the *decisions* of the data
//! path as pure functions. The eBPF programs look up, call into here and apply; userspace reads the same records; tests run
//! the same functions over byte slices.
#![no_std]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic))]

#[cfg(test)]
extern crate std;

pub mod abi;
pub mod address_only;
pub mod checksum;
pub mod clamp;
pub mod direction;
pub mod flow;
pub mod fragment;
pub mod header_words;
pub mod icmp_error;
pub mod latency;
pub mod offload;
pub mod options;
pub mod packet;
pub mod ports;
pub mod rewrite;
pub mod validate;
pub mod verdict;
pub mod wire;
