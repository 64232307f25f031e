//! The same of IPv6, for each packet: it has no flows yet.

use forwarder_common::{
    abi::{Addr, Endpoint, endpoint_flags},
    decide::route,
    types::verdict::{Code, DropReason, PuntReason, Verdict},
    wire::{
        ipv6,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use super::{Resolution, Resolved};
use crate::kernel::{
    devices,
    fib::look_up_ipv6,
    packet::{anywhere::Anywhere, skb::Skb},
    records,
};

/// What becomes of a packet of a namespace that was validated: to a neighbour, or refused; what leaves by the uplink as
/// [`PuntReason::KernelIpv6`], because the kernel translates it.
#[inline(always)]
pub(crate) fn resolve(skb: Skb) -> Resolution {
    fwd_resolve_ipv6(skb).decode()
}

global_fn! {
    /// See [`resolve`].
    fn fwd_resolve_ipv6(skb: Skb) -> Resolved = decide;
}

#[inline(always)]
fn decide(skb: Skb) -> Resolved {
    const BY_KERNEL: Resolved = Resolved::refused(Verdict::Punted(PuntReason::KernelIpv6).code());
    let packet = Anywhere(skb);
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return Resolved::drop(DropReason::NoEndpoint) };
    let Ok(ip) = ipv6::parse(&packet, L3_OFF) else { return Resolved::drop(DropReason::Truncated) };
    // On the link the bridge knows where.
    if ipv6::is_multicast(ip.dst) || ipv6::is_link_local(ip.dst) {
        return BY_KERNEL;
    }
    if let Some(peer) = neighbour(endpoint, ip.dst) {
        let may_reach = endpoint.flags & endpoint_flags::NO_ICC == 0;
        return if may_reach { Resolved::new(Resolved::PEER, peer) } else { Resolved::drop(DropReason::PeerIsolated) };
    }
    let Ok(first) = packet.load::<4>(L3_OFF) else { return Resolved::drop(DropReason::Truncated) };
    let Some((lookup, out_if)) = look_up_ipv6(skb, first, [ip.src, ip.dst], endpoint.network) else {
        return Resolved::drop(DropReason::Contended);
    };
    let is_there = || devices::fwd_is_there(endpoint.uplink);
    match route::egress(lookup, out_if, endpoint, is_there, || records::network(out_if).is_some()) {
        Code::FORWARDED => BY_KERNEL,
        code => Resolved::refused(code),
    }
}

/// The host-side veth of the endpoint with address `addr` in the same network.
#[inline(always)]
fn neighbour(endpoint: &Endpoint, addr: Addr) -> Option<u32> {
    let host_veth = records::host_veth_at(addr)?;
    let network = records::network_of(host_veth)?;
    (network == endpoint.network && devices::fwd_is_there(host_veth)).then_some(host_veth)
}
