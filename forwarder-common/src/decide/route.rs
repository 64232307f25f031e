//! Where a packet of a namespace goes: decided on the first packet of a flow, and again when the flow's route is a second old.
//!
//! What has to be asked for, and mostly has not, is handed in as a function that asks.

use crate::{
    abi::{Addr, Endpoint, Tuple, endpoint_flags, feature, port_use},
    decide::{
        source::Pool,
        validate::{is_martian_destination, is_martian_source},
    },
    types::verdict::{Code, DropReason, PuntReason, Verdict},
    wire::{
        ipv4::is_multicast_or_broadcast,
        ipv6::{is_same, words},
        l4::tcp_flag,
    },
};

/// What the kernel's routing tables say of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Lookup {
    /// The next hop, and its hardware address.
    Resolved,
    /// The next hop, whose hardware address is not known.
    NoNeighbour,
    /// By a tunnel of the route's own (lightweight tunnels).
    Tunnel,
    /// Not by the only uplink by which it may leave, which has no route there.
    Elsewhere,
    /// The kernel would not forward it: to an address of its own, a broadcast, or where it has no route at all.
    NotForwarded,
    /// The route forbids it, or something is wrong with it.
    Refused,
}

impl Lookup {
    /// That with this number; [`Lookup::Refused`] if none has it.
    #[inline(always)]
    #[must_use]
    pub const fn of(number: u8) -> Self {
        match number {
            0 => Self::Resolved,
            1 => Self::NoNeighbour,
            2 => Self::Tunnel,
            3 => Self::Elsewhere,
            4 => Self::NotForwarded,
            _ => Self::Refused,
        }
    }

    /// Whether there is no route to forward by.
    #[inline(always)]
    #[must_use]
    pub const fn is_missing(self) -> bool {
        matches!(self, Self::Elsewhere | Self::NotForwarded | Self::Refused)
    }
}

/// Whether an endpoint may send from `addr`: one without IPv4 from none.
#[inline(always)]
#[must_use]
pub fn may_send(addr: [u8; 4], endpoint: &Endpoint) -> bool {
    let has_ipv4 = u32::from_ne_bytes(endpoint.v4) != 0;
    has_ipv4 && (addr == endpoint.v4 || endpoint.flags & endpoint_flags::ALLOW_SPOOF != 0)
}

/// Whether a packet of an endpoint with `tuple` may go anywhere at all: before its route is looked for.
///
/// # Errors
/// The code of a drop, or of [`PuntReason::Multicast`].
#[inline(always)]
pub fn admit(tuple: &Tuple, endpoint: &Endpoint) -> Result<(), Code> {
    if !may_send(tuple.saddr, endpoint) {
        return Err(DropReason::SpoofedSource.into());
    }
    if is_martian_destination(tuple.daddr) || is_martian_source(tuple.saddr) {
        return Err(DropReason::Martian.into());
    }
    if is_multicast_or_broadcast(tuple.daddr) {
        return Err(PuntReason::Multicast.into());
    }
    Ok(())
}

/// What becomes of a packet to the address of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Peer {
    /// It goes straight there.
    Reached,
    /// Both are in one network, whose endpoints do not reach each other.
    Isolated,
    /// The endpoint is in another network: what else becomes of the packet decides.
    Elsewhere,
}

/// Whether a packet from an endpoint with `flags` in `network` may go straight to an endpoint in network `theirs`. `reaches` tells whether
/// the two networks have allowed each other.
#[inline(always)]
#[must_use]
pub fn peer(network: u32, flags: u32, theirs: u32, reaches: impl FnOnce() -> bool) -> Peer {
    if network != theirs {
        return if reaches() { Peer::Reached } else { Peer::Elsewhere };
    }
    if flags & endpoint_flags::NO_ICC != 0 { Peer::Isolated } else { Peer::Reached }
}

/// What becomes of a packet from an endpoint with `flags` to another place in its own network.
#[inline(always)]
#[must_use]
pub const fn own_network(flags: u32) -> Code {
    if flags & endpoint_flags::NO_ICC != 0 {
        return Verdict::Dropped(DropReason::PeerIsolated).code();
    }
    Verdict::Punted(PuntReason::OwnNetwork).code()
}

/// What becomes of a packet to `addr`, which no endpoint has, from an endpoint with `flags` of an internal network with this `gateway` and
/// this length of its prefix: of the host it sees the gateway alone, whatever routes the host has.
#[inline(always)]
#[must_use]
pub const fn inward(addr: [u8; 4], flags: u32, (gateway, prefix): ([u8; 4], u32)) -> Code {
    let differing = u32::from_be_bytes(addr) ^ u32::from_be_bytes(gateway);
    if differing == 0 {
        return Verdict::Punted(PuntReason::ToHost).code();
    }
    if differing.leading_zeros() < prefix {
        return Verdict::Dropped(DropReason::Internal).code();
    }
    own_network(flags)
}

/// As [`inward`], of IPv6.
#[inline(always)]
#[must_use]
pub const fn inward_v6(addr: Addr, flags: u32, (gateway, prefix): (Addr, u32)) -> Code {
    let shared = shared_bits(addr, gateway);
    if shared == 128 {
        return Verdict::Punted(PuntReason::ToHost).code();
    }
    if shared < prefix {
        return Verdict::Dropped(DropReason::Internal).code();
    }
    own_network(flags)
}

/// How many bits two addresses begin with alike.
#[inline(always)]
const fn shared_bits(one: Addr, other: Addr) -> u32 {
    let ([a, b, c, d], [e, f, g, h]) = (words(one), words(other));
    // One word alone is asked for its bits.
    let (before, differing) = if a != e {
        (0, a ^ e)
    } else if b != f {
        (32, b ^ f)
    } else if c != g {
        (64, c ^ g)
    } else {
        (96, d ^ h)
    };
    before + u32::from_be(differing).leading_zeros()
}

/// The one interface by which packets of an endpoint may leave; 0 where they follow the host's routes.
#[inline(always)]
#[must_use]
pub const fn bound_to(endpoint: &Endpoint) -> u32 {
    if endpoint.flags & endpoint_flags::UPLINK_BOUND != 0 { endpoint.uplink } else { 0 }
}

/// The address from which packets of an endpoint are routed where it is bound to its uplink (network byte order), 0 for that of the uplink.
#[inline(always)]
#[must_use]
pub const fn asked_source(endpoint: &Endpoint) -> u32 {
    u32::from_ne_bytes(Pool::of_v4(endpoint).address())
}

/// Whether the host's own route, which leaves by `out_if`, is not for a packet of an endpoint that may leave by the interface `only` alone,
/// if that is not 0: then it is looked up as that of a socket bound there. What is for the host, or for a network of `fwd`, it keeps.
/// `is_bridge` tells whether `out_if` is the bridge of one.
#[inline(always)]
#[must_use]
pub fn is_diverted(
    lookup: Lookup,
    out_if: u32,
    only: u32,
    endpoint: &Endpoint,
    is_bridge: impl FnOnce() -> bool,
) -> bool {
    let leaves = matches!(lookup, Lookup::Resolved | Lookup::NoNeighbour | Lookup::Tunnel);
    only != 0
        && leaves
        && (matches!(lookup, Lookup::Tunnel) || out_if != only && out_if != endpoint.network && !is_bridge())
}

/// What becomes of a packet of an endpoint whose route leaves by `out_if`: [`Code::FORWARDED`] if that is an uplink by which it may leave,
/// `only` that one if it is not 0. `is_guarded` tells whether `out_if` is the interface of a record, with the programs that guard it;
/// `is_bridge` whether it is the bridge of a network of `fwd`.
///
/// A code in any case: LLVM would carry the value of an `Option` along where it has none.
#[inline(always)]
#[must_use]
pub fn egress(
    lookup: Lookup,
    out_if: u32,
    only: u32,
    endpoint: &Endpoint,
    is_guarded: impl FnOnce() -> bool,
    is_bridge: impl FnOnce() -> bool,
) -> Code {
    match lookup {
        Lookup::Resolved | Lookup::NoNeighbour => {
            if out_if == endpoint.network {
                own_network(endpoint.flags)
            } else if (only == 0 || out_if == only) && is_guarded() {
                Code::FORWARDED
            } else if is_bridge() {
                DropReason::OtherNetwork.into()
            } else if only == 0 {
                DropReason::UplinkUnguarded.into()
            } else {
                DropReason::RouteNotViaUplink.into()
            }
        }
        Lookup::Tunnel | Lookup::Elsewhere => DropReason::RouteNotViaUplink.into(),
        // The kernel answers, if nobody has the address.
        Lookup::NotForwarded => PuntReason::ToHost.into(),
        Lookup::Refused => PuntReason::Unreachable.into(),
    }
}

/// The address behind which the packets of a flow appear that begins with a segment with `tcp_flags`: that which was `asked` for, or that of
/// the `route` where it names one, or the `uplink`'s.
///
/// # Errors
/// [`DropReason::NoFlow`] for a reset, which begins nothing; [`DropReason::NoUplinkAddress`].
#[inline(always)]
pub const fn nat_address(
    tcp_flags: u8,
    asked: [u8; 4],
    route: [u8; 4],
    uplink: [u8; 4],
) -> Result<[u8; 4], DropReason> {
    if tcp_flags & tcp_flag::RST != 0 {
        return Err(DropReason::NoFlow);
    }
    let address = match (is_unset(asked), is_unset(route)) {
        (false, _) => asked,
        (true, false) => route,
        (true, true) => uplink,
    };
    if is_unset(address) { Err(DropReason::NoUplinkAddress) } else { Ok(address) }
}

/// Whether the record of an endpoint or of an uplink names no address.
#[inline(always)]
#[must_use]
pub const fn is_unset(addr: [u8; 4]) -> bool {
    u32::from_ne_bytes(addr) == 0
}

/// How a flow of an endpoint with `flags` takes its port (see [`port_use`]): ports are counted only while some network maps them.
#[inline(always)]
#[must_use]
pub const fn port_use_of(features: u32, flags: u32) -> u8 {
    if features & feature::EIM == 0 {
        port_use::BY_TUPLE
    } else if flags & endpoint_flags::NAT_EIM != 0 {
        port_use::MAPPING
    } else {
        port_use::SHARED
    }
}

/// What becomes of a flow whose route was looked up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Again {
    /// It goes on by the route that was found.
    Stays,
    /// It would leave by another interface, or its address is the host's no more: it ends, and the packet finds its new way at once.
    Ends,
    /// There is no route: the flow waits, and the packet is left to the kernel, which answers.
    Waits,
}

/// Decides about a flow whose packets leave by `uplink` and appear behind `addr`. `egress` is what [`egress`] says of the route, which leaves
/// by `out_if` and chooses the address `source`; `is_local` tells whether `addr` is still one of the host's.
#[inline(always)]
#[must_use]
pub fn again(
    lookup: Lookup,
    egress: Code,
    (out_if, uplink): (u32, u32),
    (source, addr): ([u8; 4], [u8; 4]),
    is_local: impl FnOnce() -> bool,
) -> Again {
    if lookup.is_missing() {
        Again::Waits
    } else if egress == Code::FORWARDED && out_if == uplink && (source == addr || is_local()) {
        Again::Stays
    } else {
        Again::Ends
    }
}

/// Whether the packet that has looked the route up again is left to the kernel, which tells its sender when nobody answers for the next
/// hop: of what is redirected nobody would. The kernel forwards only the endpoint's own address translated; and what is `diverted` from its
/// own route it would send by that one.
#[inline(always)]
#[must_use]
pub fn is_unresolved(lookup: Lookup, source: [u8; 4], endpoint: &Endpoint, diverted: bool) -> bool {
    matches!(lookup, Lookup::NoNeighbour) && source == endpoint.v4 && !diverted
}

/// The same of IPv6: what is not translated the kernel sends as the flow does; of others it would choose a port of its own.
#[inline(always)]
#[must_use]
pub const fn is_unresolved_v6(lookup: Lookup, endpoint: &Endpoint) -> bool {
    matches!(lookup, Lookup::NoNeighbour) && endpoint.flags & endpoint_flags::ROUTED_V6 != 0
}

/// Whether an address (network byte order) lies outside the range of all networks of `fwd` (host byte order) for sure.
#[inline(always)]
#[must_use]
pub const fn is_outside(addr: u32, (min, max): (u32, u32)) -> bool {
    let number = u32::from_be(addr);
    number < min || number > max
}

/// Whether an address of IPv6 that begins with these eight bytes (as loaded from memory) lies outside the range of all networks of `fwd`
/// (host byte order) for sure.
#[inline(always)]
#[must_use]
pub const fn is_outside_v6(prefix: u64, (min, max): (u64, u64)) -> bool {
    let number = u64::from_be(prefix);
    number < min || number > max
}

/// Behind which address the flow of an endpoint's packet from `src` appears: its own, where its network is routed, otherwise that which the
/// route chooses; that of nobody if the kernel does not tell it.
///
/// # Errors
/// [`DropReason::SpoofedSource`]: an address that is not translated has to be the endpoint's, whatever it may send from. Its answers would
/// be taken from whoever has that address, the host itself among them.
#[inline(always)]
pub fn external_v6(src: Addr, chosen: Addr, endpoint: &Endpoint) -> Result<Addr, DropReason> {
    if endpoint.flags & endpoint_flags::ROUTED_V6 == 0 {
        return Ok(chosen);
    }
    if is_same(src, endpoint.v6) { Ok(src) } else { Err(DropReason::SpoofedSource) }
}

/// Whether a packet with the source of `endpoint` may leave by an uplink as it is: its network is routed, and the packet came in by the
/// network's bridge, where the kernel has forwarded it, or by the endpoint's own host-side veth, where a program has sent it by its flow.
#[inline(always)]
#[must_use]
pub const fn may_leave_v6(endpoint: &Endpoint, host_veth: u32, ingress: u32) -> bool {
    endpoint.flags & endpoint_flags::ROUTED_V6 != 0 && (ingress == endpoint.network || ingress == host_veth)
}

#[cfg(test)]
pub(crate) mod tests;
