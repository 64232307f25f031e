//! The data path of `fwd`. Four rooms, each of which knows those below it only: [`progs`], the entry points; [`path`], what becomes of a
//! packet; [`table`], the flow table; [`kernel`], packets, maps and helpers.
//!
//! This crate decides as little as it can: it looks up, calls `forwarder-common`, applies.
#![no_std]
#![no_main]
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]
#![feature(core_intrinsics, asm_experimental_arch)]
#![allow(internal_features, reason = "bpfel has no AtomicU32::fetch_add (atomic-cas=false); the intrinsics compile")]
#![allow(unreachable_pub, missing_docs, reason = "the classifier macro makes public items")]
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "the classifier macro wraps the context that the kernel passes")]

#[macro_use]
mod kernel;
mod path;
mod progs;
mod table;
