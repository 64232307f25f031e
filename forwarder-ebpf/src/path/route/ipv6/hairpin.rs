//! Flows of IPv6 from a namespace to a published port by an address of the host: as [those of IPv4](crate::path::route::hairpin).

use forwarder_common::{
    decide::unsolicited::{self, publish},
    types::verdict::Code,
    wire::ipv6,
};

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
        policy, published,
        route::{
            hairpin::{TO_HOST, hairpins},
            opening::begin,
        },
    },
};

global_fn! {
    /// See [`hairpin`].
    pub(super) fn fwd_hairpin6(skb: Skb) -> Code = hairpin;
    /// See [`hairpin_to`].
    fn fwd_hairpin6_to(skb: Skb, at_all: bool) -> Code = hairpin_to;
}

/// Prepares the flow of the packet in the map `PACKET6`, which a namespace sends to a published port of the host. What it returns is that of
/// [IPv4](crate::path::route::hairpin).
#[inline(always)]
fn hairpin(skb: Skb) -> Code {
    let Some(packet) = scratch(&PACKET6) else { return TO_HOST };
    if !unsolicited::may_begin(packet.tuple.proto, packet.tcp_flags) || in_fwd_network_v6(packet.dst) {
        return TO_HOST;
    }
    match fwd_hairpin6_to(skb, false) {
        TO_HOST => fwd_hairpin6_to(skb, true),
        decided => decided,
    }
}

/// As [`hairpin`], if the port is published at the very address, or (`at_all`) at all of the host's.
#[inline(always)]
fn hairpin_to(skb: Skb, at_all: bool) -> Code {
    let (Some(packet), Some(opening)) = (scratch(&PACKET6), scratch(&OPENING)) else { return TO_HOST };
    let Some((publication, server)) = published::find_ipv6(skb, packet, at_all) else { return TO_HOST };
    // To whom it is not published, the host answers: as if it were not.
    if !published::admits_ipv6(publication, packet.src) {
        return TO_HOST;
    }
    let (client, port) = (packet.tuple.ifindex, publish::port_inside(publication, packet.tuple.dport));
    if let Err(denied) = policy::admit_by_host(client, publication.endpoint, (packet.number, port), true) {
        return denied;
    }
    let uplink = server.uplink;
    let Some((_, counters_in, counters_out)) = records::uplink_copy(uplink) else { return TO_HOST };
    let Some(endpoint) = records::endpoint_copy(client) else { return TO_HOST };
    if !devices::fwd_is_there(uplink) || !ipv6::is_same(endpoint.v6, packet.src) {
        return TO_HOST;
    }
    begin(opening, client, endpoint, uplink, [counters_in, counters_out]);
    // Of the address that was asked, so that it is the host's whatever the routes say.
    packet.external = packet.dst;
    hairpins(opening, packet.tuple.daddr);
    Code::FORWARDED
}
