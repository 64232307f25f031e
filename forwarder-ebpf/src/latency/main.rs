//! The programs that measure forwarding latency, attached only while `fwd latency` runs: one at either end of each way. The
//! first notes when a packet passed, under a number that the packet has at both ends ([`forwarder_common::latency::key`]);
//! the second finds that and counts the time in between. Those at the namespace measure round trips, too, where they are asked for.
//!
//! They change no packet and let every one through.
#![no_std]
#![no_main]
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]
#![feature(core_intrinsics, asm_experimental_arch)]
#![allow(internal_features, reason = "as in the data path: atomic adds")]
#![allow(
    unreachable_pub,
    missing_docs,
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the classifier macro makes public items that take the context"
)]

#[macro_use]
mod kernel;
mod packet;
mod round_trips;
mod tally;

use aya_ebpf::{macros::classifier, programs::TcContext};
use forwarder_common::{types::direction::Direction, wire::packet::L3_OFF};

use crate::kernel::skb::Skb;

const TCX_NEXT: i32 = -1;
/// Where the network header begins without a link-layer header.
const NO_HEADER: usize = 0;

/// Where a packet leaves its namespace.
#[classifier]
pub fn leaves_ns(ctx: TcContext) -> i32 {
    round_trips::leaves::<L3_OFF>(Skb::new(&ctx));
    tally::starts::<L3_OFF>(Skb::new(&ctx), Direction::Outbound);
    TCX_NEXT
}

/// Where it leaves the uplink.
#[classifier]
pub fn leaves_uplink(ctx: TcContext) -> i32 {
    tally::ends::<L3_OFF>(Skb::new(&ctx), Direction::Outbound);
    TCX_NEXT
}

/// As [`leaves_uplink`], of an uplink without link-layer header.
#[classifier]
pub fn leaves_uplink_l3(ctx: TcContext) -> i32 {
    tally::ends::<NO_HEADER>(Skb::new(&ctx), Direction::Outbound);
    TCX_NEXT
}

/// Where a packet comes in by the uplink.
#[classifier]
pub fn enters_uplink(ctx: TcContext) -> i32 {
    tally::starts::<L3_OFF>(Skb::new(&ctx), Direction::Inbound);
    TCX_NEXT
}

/// As [`enters_uplink`], of an uplink without link-layer header.
#[classifier]
pub fn enters_uplink_l3(ctx: TcContext) -> i32 {
    tally::starts::<NO_HEADER>(Skb::new(&ctx), Direction::Inbound);
    TCX_NEXT
}

/// Where it comes into the namespace.
#[classifier]
pub fn enters_ns(ctx: TcContext) -> i32 {
    tally::ends::<L3_OFF>(Skb::new(&ctx), Direction::Inbound);
    round_trips::enters::<L3_OFF>(Skb::new(&ctx));
    TCX_NEXT
}

/// Both ends at once: what the measuring itself costs and shows.
#[classifier]
pub fn both_ends(ctx: TcContext) -> i32 {
    tally::starts::<L3_OFF>(Skb::new(&ctx), Direction::Outbound);
    tally::ends::<L3_OFF>(Skb::new(&ctx), Direction::Outbound);
    TCX_NEXT
}

/// Nothing: what running a program costs.
#[classifier]
pub fn empty(_ctx: TcContext) -> i32 {
    TCX_NEXT
}
