//! The TC programs of `fwd`: entry points → [`hook`] (one file per hook, a packet's way from top to bottom) → [`apply`].
//!
//! This crate decides nothing: it looks up, calls `forwarder-common`, applies. It is the only place with packet pointers.
#![no_std]
#![no_main]
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]
#![feature(core_intrinsics, asm_experimental_arch)]
#![allow(internal_features, reason = "bpfel has no AtomicU32::fetch_add (atomic-cas=false); the intrinsics compile")]
#![allow(unreachable_pub, missing_docs, reason = "the classifier macro makes public items")]
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "the classifier macro wraps the context that the kernel passes")]

#[macro_use]
mod fields;

mod apply;
mod atomic;
mod checksum;
mod clamp;
mod clock;
mod count;
mod devices;
mod expiry;
mod fib;
mod flow;
mod hook;
mod maps;
mod object;
mod options;
mod route;
mod scratch;
mod skb;
mod xdp;

use aya_ebpf::{
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

use forwarder_common::packet::L3_OFF;

use crate::{hook::NO_HEADER, skb::Skb, xdp::Frame};

/// Ingress of a host-side veth: packets that leave a namespace.
#[classifier]
pub fn from_ns(ctx: TcContext) -> i32 {
    hook::from_ns(Skb::new(&ctx)).to_tc_action()
}

/// The slow path of [`from_ns`].
#[classifier]
pub fn from_ns_slow(ctx: TcContext) -> i32 {
    hook::from_ns_slow(Skb::new(&ctx)).to_tc_action()
}

/// Ingress of an uplink: replies on their way back.
#[classifier]
pub fn from_uplink(ctx: TcContext) -> i32 {
    hook::from_uplink(Skb::new(&ctx)).to_tc_action()
}

/// The slow path of [`from_uplink`].
#[classifier]
pub fn from_uplink_slow(ctx: TcContext) -> i32 {
    hook::from_uplink_slow::<L3_OFF>(Skb::new(&ctx)).to_tc_action()
}

/// Egress of an uplink: nothing leaves untranslated.
#[classifier]
pub fn to_uplink(ctx: TcContext) -> i32 {
    hook::to_uplink(Skb::new(&ctx)).to_tc_action()
}

/// The slow path of [`to_uplink`].
#[classifier]
pub fn to_uplink_slow(ctx: TcContext) -> i32 {
    hook::to_uplink_slow::<L3_OFF>(Skb::new(&ctx)).to_tc_action()
}

/// As [`from_uplink`], of an uplink without link-layer header.
#[classifier]
pub fn from_uplink_l3(ctx: TcContext) -> i32 {
    hook::from_uplink_slow::<NO_HEADER>(Skb::new(&ctx)).to_tc_action()
}

/// As [`to_uplink`], of an uplink without link-layer header.
#[classifier]
pub fn to_uplink_l3(ctx: TcContext) -> i32 {
    hook::to_uplink_l3(Skb::new(&ctx)).to_tc_action()
}

/// Egress of a network's bridge: what the kernel sends into the network.
#[classifier]
pub fn to_network(ctx: TcContext) -> i32 {
    hook::to_network(Skb::new(&ctx)).to_tc_action()
}

/// XDP at a host-side veth: packets of established flows that leave a namespace.
#[xdp(frags)]
pub fn xdp_from_ns(ctx: XdpContext) -> u32 {
    xdp::from_ns(Frame::new(&ctx))
}

/// XDP at an uplink: packets of established flows on their way back.
#[xdp(frags)]
pub fn xdp_from_uplink(ctx: XdpContext) -> u32 {
    xdp::from_uplink(Frame::new(&ctx))
}

/// In the place of [`xdp_from_ns`] where XDP is generic: all goes to the TC programs. A packet that the kernel makes a frame of for the
/// program keeps what its sender has left to a device, which no XDP program can see, and a device would write over a translation.
#[xdp]
pub fn xdp_from_ns_skb(_ctx: XdpContext) -> u32 {
    xdp::PASS
}

/// As [`xdp_from_uplink`], for generic XDP. It does not take frames in several buffers: a packet that the kernel copies for a program
/// that does comes to the TC programs without its link-layer header (`skb_pp_cow_data` loses `mac_len`, net/core/skbuff.c).
#[xdp]
pub fn xdp_from_uplink_skb(ctx: XdpContext) -> u32 {
    xdp::from_uplink(Frame::new(&ctx))
}

/// Run once by the control plane: starts (or, after an upgrade, sets anew) the timer that ends idle flows. Returns 0 or a
/// negative errno.
#[classifier]
pub fn start_expiry(_ctx: TcContext) -> i32 {
    expiry::start()
}

/// Run by the control plane: ends the flows of an endpoint in one slice of the slots. The packet carries, behind an Ethernet
/// header, the endpoint's host-side veth and the first slot, in host byte order. Returns the number of flows ended.
#[classifier]
pub fn flush(ctx: TcContext) -> i32 {
    expiry::flush(Skb::new(&ctx))
}

/// Run by the control plane: the low 32 bits of the clock of the flow table, in jiffies.
#[classifier]
pub fn read_clock(_ctx: TcContext) -> i32 {
    clock::now() as i32
}
