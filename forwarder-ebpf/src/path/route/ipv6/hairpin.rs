//! Flows of IPv6 from a namespace to a published port by an address of the host: as [those of IPv4](crate::path::route::hairpin).

use forwarder_common::{decide::unsolicited, wire::ipv6};

use crate::{
    kernel::{
        devices,
        maps::{OPENING, PACKET6},
        packet::skb::Skb,
        records,
        scratch::scratch,
    },
    path::{
        networks::in_fwd_network_v6,
        published,
        route::{hairpin::hairpins, opening::begin},
    },
};

global_fn! {
    /// See [`hairpin`].
    pub(super) fn fwd_hairpin6(skb: Skb) -> bool = hairpin;
    /// See [`hairpin_to`].
    fn fwd_hairpin6_to(skb: Skb, at_all: bool) -> bool = hairpin_to;
}

/// Prepares the flow of the packet in the map `PACKET6`, which a namespace sends to a published port of the host. Whether it did.
#[inline(always)]
fn hairpin(skb: Skb) -> bool {
    let Some(packet) = scratch(&PACKET6) else { return false };
    if !unsolicited::may_begin(packet.tuple.proto, packet.tcp_flags) || in_fwd_network_v6(packet.dst) {
        return false;
    }
    fwd_hairpin6_to(skb, false) || fwd_hairpin6_to(skb, true)
}

/// As [`hairpin`], if the port is published at the very address, or (`at_all`) at all of the host's.
#[inline(always)]
fn hairpin_to(skb: Skb, at_all: bool) -> bool {
    let (Some(packet), Some(opening)) = (scratch(&PACKET6), scratch(&OPENING)) else { return false };
    let Some((publication, server)) = published::find_ipv6(skb, packet, at_all) else { return false };
    // To whom it is not published, the host answers: as if it were not.
    if !published::admits_ipv6(publication, packet.src) {
        return false;
    }
    let uplink = server.uplink;
    let Some((_, counters_in, counters_out)) = records::uplink_copy(uplink) else { return false };
    let Some(endpoint) = records::endpoint_copy(packet.tuple.ifindex) else { return false };
    if !devices::fwd_is_there(uplink) || !ipv6::is_same(endpoint.v6, packet.src) {
        return false;
    }
    begin(opening, packet.tuple.ifindex, endpoint, uplink, [counters_in, counters_out]);
    // Of the address that was asked, so that it is the host's whatever the routes say.
    packet.external = packet.dst;
    hairpins(opening, packet.tuple.daddr);
    true
}
