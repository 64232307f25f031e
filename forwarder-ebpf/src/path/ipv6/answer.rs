//! By which uplinks what the kernel has translated is answered: its conntrack knows of no interface, and no source check of IPv6.

use forwarder_common::{
    abi::ZONE_MAIN,
    decide::forward,
    types::{
        direction::Direction,
        verdict::{Code, DropReason, Verdict},
    },
    wire::packet::L3_OFF,
};

use super::{
    icmp_error::{self, fwd_icmp6_error_read},
    read::fwd_read6,
};
use crate::kernel::{
    fib::{Route, look_up_ipv6},
    maps::PACKET6,
    packet::skb::Skb,
    records,
    scratch::scratch,
};

/// Of a later fragment.
const LATER: Code = Verdict::Dropped(DropReason::Fragment).code();
/// What has no ports: its addresses tell where it goes.
const WITHOUT_PORTS: Code = Verdict::Dropped(DropReason::Protocol).code();
/// What is neither an echo nor of another protocol may be an error.
const ERROR: Code = Verdict::Dropped(DropReason::IcmpType).code();

global_fn! {
    /// See [`may_answer`].
    pub(super) fn fwd_may_answer6(skb: Skb, ingress: u32) -> bool = may_answer;
}

/// Whether a packet on its way into the network of this bridge, which came in by `ingress`, may answer what has left the network: where that
/// leaves now tells by which uplink it was. As of flows, that is for [`forward::may_arrive`] to say.
#[inline(always)]
fn may_answer(skb: Skb, ingress: u32) -> bool {
    let network = skb.ifindex();
    let read = match fwd_read6(skb, L3_OFF as u32, Direction::Inbound, ZONE_MAIN) {
        Err(ERROR) => fwd_icmp6_error_read(skb, L3_OFF as u32).is_ok() && icmp_error::take_ports(),
        // What is not understood may be about anything: the kernel reads longer chains of headers.
        Err(code) => code == LATER || code == WITHOUT_PORTS,
        Ok(()) => true,
    };
    let Some(packet) = scratch(&PACKET6) else { return false };
    if !read {
        return false;
    }
    packet.turn();
    _ = look_up_ipv6(skb, network);
    // Where there is no way, this is the bridge still, which is no uplink.
    let Some(leaves) = Route::found().map(Route::out_if) else { return false };
    if leaves == ingress {
        return true;
    }
    let (Some(leaves), Some(arrives)) = (records::uplink(leaves), records::uplink(ingress)) else { return false };
    forward::may_arrive(leaves.flags, arrives.flags, true)
}
