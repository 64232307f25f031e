//! Makes the flow of a packet of IPv6 from outside: the map `PACKET6` has what the endpoint would have sent, and `INBOUND` the tuple that came.

use forwarder_common::{
    abi::{FROM_OUTSIDE, Tuple, port_use},
    decide::route::Lookup,
    types::verdict::{Code, DropReason},
    wire::ipv6,
};

use super::{admit, egress, take_way};
use crate::{
    kernel::{
        fib::{Route, look_up_ipv6, look_up_ipv6_bound},
        maps::{INBOUND as CAME, OPENING, PACKET6},
        packet::skb::Skb,
        records,
        scratch::{KEEPS, scratch},
    },
    path::route::{
        hairpin::hairpins,
        inbound::Opened,
        opening::{INBOUND, begin},
    },
    table::create,
};

global_fn! {
    /// See [`prepare`].
    fn fwd_prepare6_inbound(skb: Skb, keeps: bool) -> Result<(), Code> = prepare;
}

/// Makes the flow of a packet from outside, which would look like `tuple` if the endpoint had begun it. It has the address that the packet was
/// sent to, and (`keeps`) the very port: otherwise that of the mapping, which is the same.
#[inline(always)]
pub(crate) fn open_inbound(skb: Skb, tuple: &Tuple, keeps: bool) -> Opened {
    match fwd_prepare6_inbound(skb, keeps) {
        Ok(()) => Opened::of(create::open_ipv6(skb, tuple)),
        Err(code) => Opened::refused(code),
    }
}

/// Prepares it, if answers can leave by the uplink by which the packet has come.
#[inline(always)]
fn prepare(skb: Skb, keeps: bool) -> Result<(), Code> {
    let (Some(packet), Some(came), Some(opening)) = (scratch(&PACKET6), scratch(&CAME), scratch(&OPENING)) else {
        return Err(DropReason::Contended.into());
    };
    let host_veth = packet.tuple.ifindex;
    let Some(endpoint) = records::endpoint_copy(host_veth) else { return Err(DropReason::NoEndpoint.into()) };
    // It was read from another look-up of the record.
    if !ipv6::is_same(endpoint.v6, packet.src) {
        return Err(DropReason::Contended.into());
    }
    // From a namespace, by an address of the host.
    let hairpin = keeps && ipv6::is_same(packet.dst, packet.external);
    let uplink = if hairpin { endpoint.uplink } else { skb.ifindex() };
    let Some((_, counters_in, counters_out)) = records::uplink_copy(uplink) else {
        return Err(DropReason::NoUplinkAddress.into());
    };
    if hairpin {
        // The rules were asked when it left the other namespace.
        hairpins(opening, came.daddr);
    } else {
        admit(packet, endpoint, true)?;
        let lookup = way_back(skb, endpoint.network, uplink);
        let Some(way) = Route::found() else { return Err(DropReason::Contended.into()) };
        let code = egress(lookup, way, uplink, endpoint);
        if code != Code::FORWARDED {
            return Err(code);
        }
        take_way(skb, opening, way);
    }
    begin(opening, host_veth, endpoint, uplink, [counters_in, counters_out]);
    // Its fingerprint.
    opening.nat_addr = came.daddr;
    opening.tcp_flags = packet.tcp_flags.into();
    opening.inbound = INBOUND;
    opening.counters |= FROM_OUTSIDE;
    if keeps {
        opening.keeps = KEEPS | u16::from_be_bytes(came.dport) as u32;
        opening.port_use = port_use::BY_TUPLE.into();
    }
    Ok(())
}

/// Looks up where what answers from outside leaves, to which it goes back by `uplink`: by the host's own route, if that leaves there, and else
/// by that of a socket which is bound there; [`Lookup::Elsewhere`] if there is no such route. The way stands in [`Route::found`] then.
#[inline(always)]
pub(super) fn way_back(skb: Skb, network: u32, uplink: u32) -> Lookup {
    let leaves = |lookup: Lookup| !lookup.is_missing() && Route::found().is_some_and(|way| way.out_if() == uplink);
    let mut lookup = look_up_ipv6(skb, network);
    if !leaves(lookup) {
        lookup = look_up_ipv6_bound(skb, uplink);
        if !leaves(lookup) {
            lookup = Lookup::Elsewhere;
        }
    }
    lookup
}
