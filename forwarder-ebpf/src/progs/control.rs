//! The programs that the control plane runs by itself.

use aya_ebpf::{macros::classifier, programs::TcContext};

use crate::{
    kernel::{clock, packet::skb::Skb},
    table::expire,
};

/// Run once by the control plane: starts (or, after an upgrade, sets anew) the timer that ends idle flows. Returns 0 or a
/// negative errno.
#[classifier]
pub fn start_expiry(_ctx: TcContext) -> i32 {
    expire::start()
}

/// Run by the control plane: ends the flows of an endpoint in one slice of the slots. The packet carries, behind an Ethernet
/// header, the endpoint's host-side veth and the first slot, in host byte order. Returns the number of flows ended.
#[classifier]
pub fn flush(ctx: TcContext) -> i32 {
    expire::flush(Skb::new(&ctx))
}

/// Run by the control plane: ends one flow. The packet carries, behind an Ethernet header, its slot and a version of it, in host byte order.
/// Returns 1 if it did.
#[classifier]
pub fn end_flow(ctx: TcContext) -> i32 {
    expire::end(Skb::new(&ctx))
}

/// Run by the control plane: the low 32 bits of the clock of the flow table, in jiffies.
#[classifier]
pub fn read_clock(_ctx: TcContext) -> i32 {
    clock::now() as i32
}
