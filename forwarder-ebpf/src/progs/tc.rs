//! The programs at the hooks of traffic control.

use aya_ebpf::{macros::classifier, programs::TcContext};
use forwarder_common::wire::packet::L3_OFF;

use crate::{
    kernel::packet::{NO_HEADER, skb::Skb},
    path::slow::{from_ns, from_uplink, to_network, to_uplink},
};

/// Ingress of a host-side veth: packets that leave a namespace.
#[classifier]
pub fn from_ns(ctx: TcContext) -> i32 {
    from_ns::from_ns(Skb::new(&ctx)).to_tc_action()
}

/// The slow path of [`from_ns`].
#[classifier]
pub fn from_ns_slow(ctx: TcContext) -> i32 {
    from_ns::slow(Skb::new(&ctx)).to_tc_action()
}

/// Ingress of an uplink: replies on their way back.
#[classifier]
pub fn from_uplink(ctx: TcContext) -> i32 {
    from_uplink::from_uplink(Skb::new(&ctx)).to_tc_action()
}

/// The slow path of [`from_uplink`].
#[classifier]
pub fn from_uplink_slow(ctx: TcContext) -> i32 {
    from_uplink::slow::<L3_OFF>(Skb::new(&ctx)).to_tc_action()
}

/// Egress of an uplink: nothing leaves untranslated.
#[classifier]
pub fn to_uplink(ctx: TcContext) -> i32 {
    to_uplink::to_uplink(Skb::new(&ctx)).to_tc_action()
}

/// The slow path of [`to_uplink`].
#[classifier]
pub fn to_uplink_slow(ctx: TcContext) -> i32 {
    to_uplink::slow::<L3_OFF>(Skb::new(&ctx)).to_tc_action()
}

/// As [`from_uplink`], of an uplink without link-layer header.
#[classifier]
pub fn from_uplink_l3(ctx: TcContext) -> i32 {
    from_uplink::slow::<NO_HEADER>(Skb::new(&ctx)).to_tc_action()
}

/// As [`to_uplink`], of an uplink without link-layer header.
#[classifier]
pub fn to_uplink_l3(ctx: TcContext) -> i32 {
    to_uplink::slow::<NO_HEADER>(Skb::new(&ctx)).to_tc_action()
}

/// Egress of a network's bridge: what the kernel sends into the network.
#[classifier]
pub fn to_network(ctx: TcContext) -> i32 {
    to_network::to_network(Skb::new(&ctx)).to_tc_action()
}
