//! The same of IPv6. What has no flow of its own (fragments, protocols without ports, errors, what stays on the link) the kernel forwards and
//! masquerades.

mod hairpin;
pub(crate) mod inbound;

use forwarder_common::{
    abi::{Addr, Endpoint, FlowVersion, Tuple, endpoint_flags, flow_kind, port_use, uplink_flags},
    decide::{
        bridgeless::is_bridgeless,
        route::{self, Again, Lookup},
        source::Pool,
    },
    flow::{
        ipv6::fingerprint,
        slot::renew::{FlowRoute, renew},
    },
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason, Verdict},
    },
    wire::{ipv6, l4::tcp_flag},
};

use self::{hairpin::fwd_hairpin6, inbound::way_back};
use super::{Resolution, Resolved, for_host, neighbour::to_peer, opened, opening::begin, refresh::look_again_for_port};
use crate::{
    kernel::{
        devices,
        fib::{Route, fwd_is_local6, look_up_ipv6, words},
        maps::{OPENING, PACKET6, config, secret},
        packet::skb::Skb,
        records,
        redirect::is_hairpin,
        scratch::{KEEPS, KEEPS_OR_NONE, Opening, Packet6, scratch},
    },
    path::{bridgeless, policy},
    table::{
        create,
        ends::fwd_ends_compare,
        lookup::{self, Hit},
        slot,
        usage::is_published,
    },
};

/// What becomes of a packet of a namespace that was validated, and has no flow of its own: to a neighbour, or refused; what leaves by the
/// uplink as [`PuntReason::KernelIpv6`], because the kernel translates it.
#[inline(always)]
pub(crate) fn resolve(skb: Skb) -> Resolution {
    fwd_resolve_ipv6(skb, skb.ifindex(), 0).decode()
}

/// Finds or makes the flow of `tuple`, of the packet in the map `PACKET6`, which left a namespace; `tcp_flags` are those of its segment.
#[inline(always)]
pub(crate) fn open(skb: Skb, tuple: &Tuple, tcp_flags: u8) -> Resolution {
    let (slot, version) = lookup::fwd_indexed(Direction::Outbound, tuple, lookup::hash(tuple));
    if !version.is_none() {
        return Resolution::Flow(slot);
    }
    let mut resolved = fwd_resolve_ipv6(skb, tuple.ifindex, HAS_PORTS | u32::from(tcp_flags));
    let to_host = resolved.0 == Resolved::refused(PuntReason::ToHost.into()).0;
    if to_host && is_published(tuple.proto, u16::from_ne_bytes(tuple.dport)) {
        let code = fwd_hairpin6(skb);
        resolved = if code == Code::FORWARDED { Resolved::new(Resolved::OPEN, 0) } else { Resolved::refused(code) };
    }
    if resolved.what() != Resolved::OPEN {
        return resolved.decode();
    }
    match opened(create::open_outbound_ipv6(skb, tuple)) {
        // Where addresses are not translated, none but the same conversation has the same answers: another CPU makes that flow at this moment.
        Resolution::Refused(EXHAUSTED) if keeps_its_port() => {
            match lookup::fwd_indexed(Direction::Outbound, tuple, lookup::hash(tuple)) {
                (_, version) if version.is_none() => Resolution::Refused(DropReason::Contended.into()),
                (slot, _) => Resolution::Flow(slot),
            }
        }
        other => other,
    }
}

/// Whether the flow that is prepared has to have the port of its packet, because nothing of it is translated.
#[inline(always)]
fn keeps_its_port() -> bool {
    scratch(&OPENING).is_some_and(|opening| opening.keeps & KEEPS_OR_NONE != 0)
}

/// No port is free.
const EXHAUSTED: Code = Verdict::Dropped(DropReason::PortsExhausted).code();

/// Above the flags of a segment: the packet is in the map `PACKET6`, and its flow may be made.
const HAS_PORTS: u32 = 1 << 8;

/// As [`super::open_for_host`].
#[inline(always)]
pub(crate) fn open_for_host(skb: Skb, tuple: &Tuple, uplink: u32, tcp_flags: u8, keeps: bool) -> Resolution {
    let Some(packet) = scratch(&PACKET6) else { return Resolution::Refused(DropReason::Contended.into()) };
    packet.external = packet.src;
    if for_host(tuple, uplink, tcp_flags, keeps) {
        opened(create::open_ipv6(skb, tuple))
    } else {
        Resolution::Refused(DropReason::NoUplinkAddress.into())
    }
}

/// As [`super::refresh`], of the flow of the packet in the map `PACKET6`.
#[inline(always)]
pub(crate) fn refresh(skb: Skb, tuple: &Tuple, index: u32, now: u32, tcp_flags: u8) -> Resolution {
    let refreshed = fwd_refresh_ipv6(skb, index, now);
    if refreshed.what() == Resolved::GONE { open(skb, tuple, tcp_flags) } else { refreshed.decode() }
}

global_fn! {
    /// See [`decide`].
    fn fwd_resolve_ipv6(skb: Skb, host_veth: u32, word: u32) -> Resolved = decide;
    /// See [`look_again`].
    fn fwd_refresh_ipv6(skb: Skb, index: u32, now: u32) -> Resolved = look_again;
}

#[inline(always)]
fn decide(skb: Skb, host_veth: u32, word: u32) -> Resolved {
    const BY_KERNEL: Resolved = Resolved::refused(Verdict::Punted(PuntReason::KernelIpv6).code());
    let Some(packet) = scratch(&PACKET6) else { return Resolved::drop(DropReason::Contended) };
    let Some(endpoint) = records::endpoint_copy(host_veth) else { return Resolved::drop(DropReason::NoEndpoint) };
    // On the link the bridge knows where, if there is one.
    if ipv6::is_multicast(packet.dst) || ipv6::is_link_local(packet.dst) {
        return on_link(endpoint, packet.dst).unwrap_or(BY_KERNEL);
    }
    if let Some(resolved) = records::host_veth_with(&packet.dst).and_then(|peer| to_peer(endpoint, peer)) {
        return resolved;
    }
    if endpoint.flags & endpoint_flags::INTERNAL != 0 {
        return Resolved::refused(inward(endpoint, packet.dst));
    }
    let lookup = look_up_ipv6(skb, endpoint.network);
    let Some(way) = Route::found() else { return Resolved::drop(DropReason::Contended) };
    let code = egress(lookup, way, route::bound_to(endpoint), endpoint);
    if code != Code::FORWARDED {
        return Resolved::refused(code);
    }
    if let Err(denied) = admit(packet, endpoint, false) {
        return Resolved::refused(denied);
    }
    if word & HAS_PORTS != 0 {
        return prepare(skb, host_veth, endpoint, way, word as u8);
    }
    // What may send from other addresses may not send as another endpoint where nothing is translated.
    match route::external_v6(packet.src, packet.src, endpoint) {
        Ok(_) => BY_KERNEL,
        Err(reason) => Resolved::drop(reason),
    }
}

/// What becomes of a packet to an address of the link, where no bridge knows whose it is; none if nobody has it.
#[inline(always)]
fn on_link(endpoint: &Endpoint, addr: Addr) -> Option<Resolved> {
    if !is_bridgeless(endpoint.flags) {
        return None;
    }
    to_peer(endpoint, records::host_veth_at(bridgeless::key_of(endpoint.network, addr))?)
}

/// Whether the rules of `endpoint` let it begin what the packet is of, or (`inbound`) the other end.
#[inline(always)]
fn admit(packet: &Packet6, endpoint: &Endpoint, inbound: bool) -> Result<(), Code> {
    let port = if inbound { packet.tuple.sport } else { packet.tuple.dport };
    policy::admit_ipv6(endpoint, inbound, &packet.dst, packet.number, port)
}

/// As [`super::inward`]: see [`route::inward_v6`].
#[inline(always)]
fn inward(endpoint: &Endpoint, addr: Addr) -> Code {
    let Some(network) = records::network(endpoint.network) else { return DropReason::Internal.into() };
    route::inward_v6(addr, endpoint.flags, (network.gateway_v6, network.prefix_v6))
}

/// What becomes of a packet whose route was looked up, and that may leave by the interface `only` alone, if that is not 0: see
/// [`route::egress`].
#[inline(always)]
fn egress(lookup: Lookup, way: Route, only: u32, endpoint: &Endpoint) -> Code {
    let out_if = way.out_if();
    // Of its own uplink the records of an endpoint say that it is one.
    let is_guarded = || (out_if == endpoint.uplink || records::is_guarded(out_if)) && devices::fwd_is_there(out_if);
    route::egress(lookup, out_if, only, endpoint, is_guarded, || records::network(out_if).is_some())
}

/// The way that was found, for a flow that is to be made.
#[inline(always)]
fn take_way(skb: Skb, opening: &mut Opening, way: Route) {
    opening.next_hop = way.next_hop();
    opening.hop = words(way.macs());
    opening.mtu = way.mtu_v6(skb).into();
}

/// Prepares the flow of an endpoint. The kernel translates where it alone knows behind which address, and what leaves by an uplink without
/// a link-layer header.
#[inline(always)]
fn prepare(skb: Skb, host_veth: u32, endpoint: &Endpoint, way: Route, tcp_flags: u8) -> Resolved {
    let out_if = way.out_if();
    let (Some((_, counters_in, counters_out)), Some(opening), Some(packet)) =
        (records::uplink_copy(out_if), scratch(&OPENING), scratch(&PACKET6))
    else {
        return Resolved::drop(DropReason::NoUplinkAddress);
    };
    if tcp_flags & tcp_flag::RST != 0 {
        return Resolved::drop(DropReason::NoFlow);
    }
    let tunnel = records::uplink(out_if).is_none_or(|uplink| uplink.flags & uplink_flags::TUNNEL != 0);
    let pool = Pool::of_v6(endpoint);
    let asked = pool.address_v6(endpoint.source_v6);
    let has_asked = !ipv6::is_unspecified(asked);
    let chosen = if has_asked { asked } else { way.source_v6() };
    let external = match route::external_v6(packet.src, chosen, endpoint) {
        Ok(external) => external,
        Err(reason) => return Resolved::drop(reason),
    };
    if tunnel || ipv6::is_unspecified(external) {
        return Resolved::refused(PuntReason::KernelIpv6.into());
    }
    begin(opening, host_veth, endpoint, out_if, [counters_in, counters_out]);
    packet.external = external;
    opening.nat_addr = fingerprint(external, &secret());
    take_way(skb, opening, way);
    opening.tcp_flags = tcp_flags.into();
    opening.inbound = 0;
    if has_asked {
        opening.pool = pool.of_flow(opening.port_use, opening.inbound);
        packet.to = external;
        // The map with the way is used for another question.
        if !fwd_is_local6(skb, endpoint.network) {
            return Resolved::drop(DropReason::SourceGone);
        }
    }
    if endpoint.flags & endpoint_flags::ROUTED_V6 != 0 {
        opening.keeps = KEEPS | KEEPS_OR_NONE | u16::from_be_bytes(packet.tuple.sport) as u32;
        // What keeps its address and port needs no mapping.
        if opening.port_use == u32::from(port_use::MAPPING) {
            opening.port_use = port_use::SHARED.into();
        }
    }
    Resolved::new(Resolved::OPEN, 0)
}

/// As [`refresh`], but a flow that ends is not replaced.
#[inline(always)]
fn look_again(skb: Skb, index: u32, now: u32) -> Resolved {
    const GONE: Resolved = Resolved::new(Resolved::GONE, 0);
    let (Some(packet), Some(config)) = (scratch(&PACKET6), config()) else { return GONE };
    let Some(endpoint) = records::endpoint_copy(packet.tuple.ifindex) else { return GONE };
    let version = lookup::matches(Direction::Outbound, index, &packet.tuple);
    if version.is_none() || !fwd_ends_compare(Direction::Outbound, index) {
        return GONE;
    }
    let Some(hit) = lookup::copy(Direction::Outbound, index, version) else { return GONE };
    let Some(next_hop) = hit.next_hop() else { return GONE };
    if is_hairpin(next_hop) {
        return look_again_for_port(&packet.tuple, &hit, now);
    }
    let inbound = hit.slot.kind().read() == flow_kind::INBOUND;
    // The rules may be others by now.
    if let Err(denied) = admit(packet, endpoint, inbound) {
        slot::fwd_flow_end(index, hit.version);
        return Resolved::refused(denied);
    }
    // What began outside goes back the way it came.
    let only = if inbound { hit.slot.uplink().read() } else { route::bound_to(endpoint) };
    let lookup = if inbound { way_back(skb, endpoint.network, only) } else { look_up_ipv6(skb, endpoint.network) };
    let Some(way) = Route::found() else { return GONE };
    let egress = egress(lookup, way, only, endpoint);
    let is_local = || fwd_is_local6(skb, endpoint.network);
    // What came in by a published port is translated all the same.
    let is_routed = !inbound && endpoint.flags & endpoint_flags::ROUTED_V6 != 0;
    let chosen =
        if is_routed || ipv6::is_same(way.source_v6(), packet.to) { hit.addr } else { hit.addr.map(|byte| !byte) };
    // Before the map with the answer is used for another question.
    let (hop, next_hop, mtu) = (words(way.macs()), way.next_hop(), way.mtu_v6(skb));
    match route::again(lookup, egress, (way.out_if(), hit.out_if), (chosen, hit.addr), is_local) {
        Again::Waits => return Resolved::refused(egress),
        Again::Ends => {
            slot::fwd_flow_end(index, hit.version);
            return GONE;
        }
        Again::Stays => {}
    }
    if !renew(&Refreshed { hit: &hit, hop, mtu, next_hop }, hit.version, now, config.hz) {
        return GONE;
    }
    if !inbound && route::is_unresolved_v6(lookup, endpoint) {
        return Resolved::refused(PuntReason::Unresolved.into());
    }
    Resolved::new(Resolved::FLOW, index)
}

/// The way of a flow that was found anew.
struct Refreshed<'a> {
    hit: &'a Hit,
    hop: [u32; 3],
    mtu: u16,
    next_hop: [u32; 4],
}

impl FlowRoute for Refreshed<'_> {
    #[inline(always)]
    fn version(&self) -> FlowVersion {
        self.hit.slot.version().read_in_order()
    }

    /// By whole words; two CPUs that refresh at once write the same.
    #[inline(always)]
    fn write(&self) {
        let Self { hit: Hit { slot, half, .. }, hop, mtu, next_hop } = *self;
        half.hop().write(hop);
        slot.next_hop().write(next_hop);
        half.mtu().write(mtu);
    }

    #[inline(always)]
    fn checked(&self, at: u32) {
        self.hit.slot.route_checked().write(at);
    }
}
