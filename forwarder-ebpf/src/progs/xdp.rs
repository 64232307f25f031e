//! The XDP programs.
#![allow(
    clippy::redundant_closure,
    reason = "a closure of each program's own is inlined, a function that two of them share is not"
)]

use aya_ebpf::{macros::xdp, programs::XdpContext};
use forwarder_common::abi::TracePoint;

use crate::{
    kernel::{
        packet::frame::{Frame, PASS},
        trace,
    },
    path::xdp,
};

/// XDP at a host-side veth: packets of established flows that leave a namespace.
#[xdp(frags)]
pub fn xdp_from_ns(ctx: XdpContext) -> u32 {
    trace::xdp(Frame::new(&ctx), TracePoint::XdpFromNs, |frame| xdp::from_ns(frame))
}

/// XDP at an uplink: packets of established flows on their way back.
#[xdp(frags)]
pub fn xdp_from_uplink(ctx: XdpContext) -> u32 {
    trace::xdp(Frame::new(&ctx), TracePoint::XdpFromUplink, |frame| xdp::from_uplink(frame))
}

/// In the place of [`xdp_from_ns`] where XDP is generic: all goes to the TC programs. A packet that the kernel makes a frame of for the
/// program keeps what its sender has left to a device, which no XDP program can see, and a device would write over a translation.
#[xdp]
pub fn xdp_from_ns_skb(_ctx: XdpContext) -> u32 {
    PASS
}

/// As [`xdp_from_uplink`], for generic XDP. It does not take frames in several buffers: a packet that the kernel copies for a program
/// that does comes to the TC programs without its link-layer header (`skb_pp_cow_data` loses `mac_len`, net/core/skbuff.c).
#[xdp]
pub fn xdp_from_uplink_skb(ctx: XdpContext) -> u32 {
    trace::xdp(Frame::new(&ctx), TracePoint::XdpFromUplink, |frame| xdp::from_uplink(frame))
}
