//! The stores among which the flow table was chosen, one program each, to be measured against each other (docs/stores.md).
//!
//! A run does [`walk::LOOK_UPS`] look-ups, so that its fixed costs vanish. The stores of the data path are its own code.
#![no_std]
#![no_main]
#![feature(core_intrinsics, asm_experimental_arch)]
#![allow(internal_features, reason = "bpfel has no AtomicU32::fetch_add (atomic-cas=false); the intrinsics compile")]
#![allow(
    unreachable_pub,
    missing_docs,
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the classifier macro makes public items that take the context"
)]

#[path = "../table/bucket.rs"]
mod bucket;
mod fill;
#[macro_use]
mod kernel;
mod look_up;
#[path = "../table/lookup.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
mod lookup;
mod walk;

use aya_ebpf::{macros::classifier, programs::TcContext};

/// Everything but a look-up: what the others are compared with.
#[classifier]
pub fn reference(_ctx: TcContext) -> i32 {
    walk::run::<look_up::Reference>(walk::LOOK_UPS)
}

/// Hash: tuple → translation and counters.
#[classifier]
pub fn direct(_ctx: TcContext) -> i32 {
    walk::run::<look_up::Direct>(walk::LOOK_UPS)
}

/// Hash: tuple → slot; array of slots.
#[classifier]
pub fn pool(_ctx: TcContext) -> i32 {
    walk::run::<look_up::Pool>(walk::LOOK_UPS)
}

/// Set-associative array of lines with tuple, translation and counters; `direct` behind it.
#[classifier]
pub fn lines(_ctx: TcContext) -> i32 {
    walk::run::<look_up::Lines>(walk::LOOK_UPS)
}

/// Array: hash of the tuple → slot; `pool` behind it. The data path's.
#[classifier]
pub fn cache(_ctx: TcContext) -> i32 {
    walk::run::<look_up::Cache>(walk::LOOK_UPS)
}

/// Reference at all: what a run by itself costs (`./x packets`).
#[classifier]
pub fn empty(_ctx: TcContext) -> i32 {
    -1
}

/// Makes the next flows of `direct`.
#[classifier]
pub fn fill_direct(_ctx: TcContext) -> i32 {
    walk::run::<fill::Direct>(walk::FILLS)
}

/// Makes the next flows of `pool` and `cache`.
#[classifier]
pub fn fill_pool(_ctx: TcContext) -> i32 {
    walk::run::<fill::Pool>(walk::FILLS)
}

/// Makes the next flows of `lines`.
#[classifier]
pub fn fill_lines(_ctx: TcContext) -> i32 {
    walk::run::<fill::Lines>(walk::FILLS)
}
