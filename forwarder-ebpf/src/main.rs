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
mod count;
mod devices;
mod fib;
mod flow;
mod hook;
mod maps;
mod object;
mod route;
mod skb;
mod sweep;
#[cfg(feature = "trace")]
mod trace;
#[cfg(not(feature = "trace"))]
#[path = "untraced.rs"]
mod trace;
mod xdp;

use aya_ebpf::{
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

use forwarder_common::{abi::TracePoint, packet::L3_OFF};

use crate::{hook::NO_HEADER, skb::Skb, xdp::Frame};

/// Ingress of a host end: packets that leave a namespace.
#[classifier]
pub fn from_ns(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromNs, |skb| hook::from_ns(skb).perform())
}

/// The general way of [`from_ns`], which begins with the short one.
#[classifier]
pub fn from_ns_general(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromNs, |skb| hook::from_ns_generally(skb).perform())
}

/// Ingress of an uplink: replies on their way back.
#[classifier]
pub fn from_uplink(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromUplink, |skb| hook::from_uplink(skb).perform())
}

/// The general way of [`from_uplink`].
#[classifier]
pub fn from_uplink_general(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromUplink, |skb| hook::from_uplink_generally::<L3_OFF>(skb).perform())
}

/// Egress of an uplink: nothing leaves untranslated.
#[classifier]
pub fn to_uplink(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::ToUplink, |skb| hook::to_uplink(skb).perform())
}

/// The general way of [`to_uplink`].
#[classifier]
pub fn to_uplink_general(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::ToUplink, |skb| hook::to_uplink_generally::<L3_OFF>(skb).perform())
}

/// As [`from_uplink`], of an uplink without link-layer header.
#[classifier]
pub fn from_uplink_l3(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromUplinkL3, |skb| hook::from_uplink_generally::<NO_HEADER>(skb).perform())
}

/// As [`to_uplink`], of an uplink without link-layer header.
#[classifier]
pub fn to_uplink_l3(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::ToUplinkL3, |skb| hook::to_uplink_l3(skb).perform())
}

/// Egress of a network's bridge: what the kernel sends into the network.
#[classifier]
pub fn to_network(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::ToNetwork, |skb| hook::to_network(skb).perform())
}

/// XDP at a host end: packets of established flows that leave a namespace.
#[xdp(frags)]
pub fn xdp_from_ns(ctx: XdpContext) -> u32 {
    trace::xdp(Frame::new(&ctx), TracePoint::XdpFromNs, xdp::from_ns)
}

/// XDP at an uplink: packets of established flows on their way back.
#[xdp(frags)]
pub fn xdp_from_uplink(ctx: XdpContext) -> u32 {
    trace::xdp(Frame::new(&ctx), TracePoint::XdpFromUplink, xdp::from_uplink)
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
    trace::xdp(Frame::new(&ctx), TracePoint::XdpFromUplink, xdp::from_uplink)
}

/// Run once by the control plane: starts (or, after an upgrade, sets anew) the timer that ends idle flows. Returns 0 or a
/// negative errno.
#[classifier]
pub fn start_sweep(_ctx: TcContext) -> i32 {
    sweep::start()
}

/// Run by the control plane: ends the flows of an endpoint in one slice of the slots. The packet carries, behind an Ethernet
/// header, the endpoint's host end and the first slot, in host byte order. Returns the number of flows ended.
#[classifier]
pub fn purge(ctx: TcContext) -> i32 {
    sweep::purge(Skb::new(&ctx))
}

/// Run by the control plane: the low 32 bits of the clock of the flow table, in jiffies.
#[classifier]
pub fn read_clock(_ctx: TcContext) -> i32 {
    flow::now() as i32
}
