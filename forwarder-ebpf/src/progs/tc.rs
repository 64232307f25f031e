//! The programs at the hooks of traffic control.

use aya_ebpf::{macros::classifier, programs::TcContext};
use forwarder_common::{abi::TracePoint, wire::packet::L3_OFF};

use crate::{
    kernel::{
        packet::{NO_HEADER, skb::Skb},
        trace,
    },
    path::{
        ipv6, multicast,
        slow::{
            from_ns::{self, netkit},
            from_uplink, to_network, to_uplink,
        },
    },
};

/// Ingress of a host-side veth: packets that leave a namespace.
#[classifier]
pub fn from_ns(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromNs, |skb| from_ns::from_ns(skb).to_tc_action())
}

/// As [`from_ns`], where the namespace is connected by a netkit pair: run while its end inside sends.
#[classifier]
pub fn from_netkit(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromNs, |skb| netkit::from_netkit(skb).to_tc_action())
}

/// The slow path of [`from_ns`], and of [`from_netkit`].
#[classifier]
pub fn from_ns_slow(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromNs, |skb| multicast::finish(skb, from_ns::slow(skb)))
}

/// As [`from_ns`], which hands it IPv6.
#[classifier]
pub fn from_ns_ipv6(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromNs, |skb| ipv6::from_ns::from_ns(skb).to_tc_action())
}

/// Ingress of an uplink: replies on their way back.
#[classifier]
pub fn from_uplink(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromUplink, |skb| from_uplink::from_uplink(skb).to_tc_action())
}

/// The slow path of [`from_uplink`].
#[classifier]
pub fn from_uplink_slow(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromUplink, |skb| multicast::finish(skb, from_uplink::slow::<L3_OFF>(skb)))
}

/// Egress of an uplink: nothing leaves untranslated.
#[classifier]
pub fn to_uplink(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::ToUplink, |skb| to_uplink::to_uplink(skb).to_tc_action())
}

/// The slow path of [`to_uplink`].
#[classifier]
pub fn to_uplink_slow(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::ToUplink, |skb| to_uplink::slow::<L3_OFF>(skb).to_tc_action())
}

/// The slow path of [`from_ns_ipv6`].
#[classifier]
pub fn from_ns_ipv6_slow(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromNs, |skb| multicast::finish(skb, ipv6::from_ns::slow(skb)))
}

/// As [`from_uplink`], which hands it IPv6.
#[classifier]
pub fn from_uplink_ipv6(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromUplink, |skb| ipv6::from_uplink::from_uplink(skb).to_tc_action())
}

/// The slow path of [`from_uplink_ipv6`].
#[classifier]
pub fn from_uplink_ipv6_slow(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromUplink, |skb| multicast::finish(skb, ipv6::from_uplink::slow(skb)))
}

/// As [`to_uplink`], which hands it IPv6.
#[classifier]
pub fn to_uplink_ipv6(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::ToUplink, |skb| ipv6::to_uplink::to_uplink(skb).to_tc_action())
}

/// Where slow paths go on with what is for a group.
#[classifier]
pub fn multicast(ctx: TcContext) -> i32 {
    multicast::pass(Skb::new(&ctx))
}

/// As [`from_uplink`], of an uplink without link-layer header.
#[classifier]
pub fn from_uplink_l3(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::FromUplinkL3, |skb| from_uplink::slow::<NO_HEADER>(skb).to_tc_action())
}

/// As [`to_uplink`], of an uplink without link-layer header.
#[classifier]
pub fn to_uplink_l3(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::ToUplinkL3, |skb| to_uplink::slow::<NO_HEADER>(skb).to_tc_action())
}

/// Egress of a network's bridge: what the kernel sends into the network.
#[classifier]
pub fn to_network(ctx: TcContext) -> i32 {
    trace::tc(Skb::new(&ctx), TracePoint::ToNetwork, |skb| to_network::to_network(skb).to_tc_action())
}
