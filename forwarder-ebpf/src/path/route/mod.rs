//! Where a packet of a namespace goes: decided on the first packet of a flow, and again when the flow's route is a second old.

mod hairpin;
pub(crate) mod inbound;
pub(crate) mod ipv6;
mod neighbour;
mod opening;
pub(crate) mod prohibited;
pub(crate) mod refresh;
mod way;

use forwarder_common::{
    abi::{Endpoint, Tuple, endpoint_flags, mapped_words},
    decide::{route, source::Pool},
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason},
    },
};

use self::{
    hairpin::fwd_hairpin,
    neighbour::neighbour,
    opening::{INBOUND, begin, port_use_of},
    way::{RouteChoice, fwd_way_out},
};
use crate::{
    kernel::{
        fib::{Route, is_local, words},
        global::Answer,
        maps::OPENING,
        packet::skb::Skb,
        records,
        scratch::{KEEPS, Opening, scratch},
    },
    path::policy,
    table::{
        create::{self, FAILED},
        lookup,
        usage::is_published,
    },
};

/// What becomes of a packet that left a namespace: what [`Resolved`] says.
#[derive(Clone, Copy)]
pub(crate) enum Resolution {
    /// The flow is in this slot.
    Flow(u32),
    /// To the endpoint behind this host-side veth.
    Neighbour(u32),
    /// Not sent: punted or dropped.
    Refused(Code),
}

/// What [`fwd_resolve`] found, as it returns it: what, in the high word, and in the low word the slot, the host-side veth, or the code of
/// the verdict.
#[derive(Clone, Copy)]
struct Resolved(u64);

impl Resolved {
    /// The flow is in this slot.
    const FLOW: u32 = 0;
    /// To the endpoint behind this host-side veth.
    const PEER: u32 = 1;
    /// Punted or dropped, with this code.
    const REFUSED: u32 = 2;
    /// There is none yet: [`fwd_open`] makes it, by the way that was found.
    const OPEN: u32 = 4;
    /// The flow has ended.
    const GONE: u32 = 5;

    #[inline(always)]
    const fn new(what: u32, value: u32) -> Self {
        Self((what as u64) << 32 | value as u64)
    }

    #[inline(always)]
    const fn refused(code: Code) -> Self {
        Self::new(Self::REFUSED, code.raw())
    }

    #[inline(always)]
    const fn drop(reason: DropReason) -> Self {
        Self::new(Self::REFUSED, reason as u32)
    }

    /// One of the constants of this type.
    #[inline(always)]
    const fn what(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The slot, the host-side veth, or the code.
    #[inline(always)]
    const fn value(self) -> u32 {
        self.0 as u32
    }

    /// Decoded, where no other step follows.
    #[inline(always)]
    const fn decode(self) -> Resolution {
        match self.what() {
            Self::FLOW => Resolution::Flow(self.value()),
            Self::PEER => Resolution::Neighbour(self.value()),
            _ => Resolution::Refused(Code::from_raw(self.value())),
        }
    }
}

/// Finds or makes the flow of `tuple`, a packet that left the namespace behind `tuple.ifindex`. `translatable` has the code of the
/// reason to drop it where it cannot be translated and its destination is outside; `tcp_flags` are those of its segment.
#[inline(always)]
pub(crate) fn resolve(skb: Skb, tuple: &Tuple, translatable: Result<(), Code>, tcp_flags: u8) -> Resolution {
    let untranslatable = translatable.map_or_else(Code::raw, |()| 0);
    let mut resolved = fwd_resolve(skb, tuple, untranslatable);
    // Asked here and not by `fwd_resolve`: the stacks of all callers together are 512 bytes.
    let to_host = resolved.0 == Resolved::refused(PuntReason::ToHost.into()).0 && untranslatable == 0;
    if to_host && is_published(tuple.proto, u16::from_ne_bytes(tuple.dport)) {
        let code = fwd_hairpin(skb, tuple, tcp_flags.into());
        if code == Code::FORWARDED {
            return open_prepared(skb, tuple);
        }
        resolved = Resolved::refused(code);
    }
    if resolved.what() == Resolved::OPEN { opened(fwd_open(skb, tuple, tcp_flags.into())) } else { resolved.decode() }
}

global_fn! {
    /// See [`decide`].
    fn fwd_resolve(skb: Skb, tuple: &Tuple, untranslatable: u32) -> Resolved = decide;
    /// See [`prepare`].
    fn fwd_prepare(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> Result<(), Code> = prepare;
    /// See [`take_pool`].
    fn fwd_pool_take(endpoint: &Endpoint) -> () = take_pool;
    /// See [`route::asked_source`].
    fn fwd_source(endpoint: &Endpoint) -> u32 = route::asked_source;
    /// See [`open`].
    fn fwd_open(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> u64 = open;
}

impl Answer for Resolved {
    type Raw = u64;

    const ABSENT: u64 = Self::drop(DropReason::Contended).0;

    #[inline(always)]
    fn raw(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn decode(raw: u64) -> Self {
        Self(raw)
    }
}

/// What [`create::open`] returned.
#[inline(always)]
fn opened(result: u64) -> Resolution {
    if result & FAILED != 0 {
        Resolution::Refused(Code::from_raw(result as u32))
    } else {
        Resolution::Flow(result as u32)
    }
}

/// Decides where a packet goes; see [`resolve`]. `untranslatable` is the code of the reason for which it cannot be translated, or 0.
#[inline(always)]
fn decide(skb: Skb, tuple: &Tuple, untranslatable: u32) -> Resolved {
    if untranslatable == 0 {
        let hash = lookup::hash(tuple);
        if lookup::is_known(hash) {
            let (slot, version) = lookup::fwd_indexed(Direction::Outbound, tuple, hash);
            if !version.is_none() {
                return Resolved::new(Resolved::FLOW, slot);
            }
        }
    }
    let Some(endpoint) = records::endpoint(tuple.ifindex) else { return Resolved::drop(DropReason::NoEndpoint) };
    if let Err(refused) = route::admit(tuple, endpoint) {
        return Resolved::refused(refused);
    }
    if let Some(resolved) = neighbour(endpoint, tuple.daddr) {
        return resolved;
    }
    if endpoint.flags & endpoint_flags::INTERNAL != 0 {
        return Resolved::refused(inward(endpoint, tuple.daddr));
    }
    let RouteChoice { egress, .. } = fwd_way_out(skb, tuple, endpoint, route::bound_to(endpoint), fwd_source(endpoint));
    if egress != Code::FORWARDED {
        return Resolved::refused(egress);
    }
    if untranslatable != 0 {
        return Resolved::refused(Code::from_raw(untranslatable));
    }
    Resolved::new(Resolved::OPEN, 0)
}

/// What becomes of a packet of an internal network that no endpoint is to get: see [`route::inward`]. No route is looked up: through the
/// bridge of such a network the kernel forwards nothing.
#[inline(always)]
fn inward(endpoint: &Endpoint, addr: [u8; 4]) -> Code {
    let Some(network) = records::network(endpoint.network) else { return DropReason::Internal.into() };
    route::inward(addr, endpoint.flags, (network.gateway_v4, network.prefix_v4))
}

/// Prepares the flow of an endpoint by the way that was found, of what two look-ups of its record say alike: that of which the packet was
/// judged may be half another's.
#[inline(always)]
fn prepare(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> Result<(), Code> {
    let endpoint = records::endpoint_copy(tuple.ifindex).ok_or(DropReason::NoEndpoint)?;
    let Some(way) = Route::found() else { return Err(DropReason::Contended.into()) };
    let out_if = way.out_if();
    let (Some((uplink, counters_in, counters_out)), Some(opening)) = (records::uplink_copy(out_if), scratch(&OPENING))
    else {
        return Err(DropReason::NoUplinkAddress.into());
    };
    let only = if tcp_flags & INBOUND == 0 { route::bound_to(endpoint) } else { 0 };
    if only != 0 && only != out_if || !route::may_send(tuple.saddr, endpoint) {
        return Err(DropReason::Contended.into());
    }
    policy::admit(tuple, endpoint, tcp_flags & INBOUND != 0)?;
    let asked = fwd_source(endpoint).to_ne_bytes();
    let nat_addr = route::nat_address(tcp_flags as u8, asked, way.source(), uplink)?;
    let begins_inside = tcp_flags & INBOUND == 0;
    if begins_inside && !route::is_unset(asked) && !is_local(skb, u32::from_ne_bytes(asked), endpoint.network) {
        return Err(DropReason::SourceGone.into());
    }
    begin(opening, tuple.ifindex, endpoint, out_if, [counters_in, counters_out]);
    opening.nat_addr = nat_addr;
    opening.next_hop = way.next_hop();
    opening.hop = words(way.macs());
    opening.mtu = way.mtu(skb, tuple.daddr).into();
    opening.tcp_flags = tcp_flags & 0xff;
    opening.inbound = tcp_flags & INBOUND;
    fwd_pool_take(endpoint);
    Ok(())
}

/// Notes behind which addresses of its endpoint the flow may appear that is prepared in the map `OPENING`.
#[inline(always)]
fn take_pool(endpoint: &Endpoint) {
    let Some(opening) = scratch(&OPENING) else { return };
    opening.pool = Pool::of_v4(endpoint).of_flow(opening.port_use, opening.inbound);
}

/// Set beside the flags of a segment in what [`open`] is given: the flow is prepared in the map `OPENING`.
const PREPARED: u32 = 1 << 16;

/// Makes the flow of `tuple`: the result is that of [`create::open_outbound`].
#[inline(always)]
fn open(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> u64 {
    if tcp_flags & PREPARED == 0
        && let Err(code) = fwd_prepare(skb, tuple, tcp_flags)
    {
        return FAILED | u64::from(code.raw());
    }
    create::open_outbound(skb, tuple)
}

/// Makes the flow of `tuple` that was prepared in the map `OPENING`.
#[inline(always)]
fn open_prepared(skb: Skb, tuple: &Tuple) -> Resolution {
    opened(fwd_open(skb, tuple, PREPARED))
}

/// Makes a flow for a socket of the host itself, whose packet with `tuple` leaves by `uplink`: its port is claimed by an
/// endpoint's flow, or must not be. It `keeps` its own port where nobody has it towards that destination.
#[inline(always)]
pub(crate) fn open_for_host(skb: Skb, tuple: &Tuple, uplink: u32, tcp_flags: u8, keeps: bool) -> Resolution {
    if for_host(tuple, uplink, tcp_flags, keeps) {
        open_prepared(skb, tuple)
    } else {
        Resolution::Refused(DropReason::NoUplinkAddress.into())
    }
}

/// Prepares such a flow, of either family. Whether the uplink is one.
#[inline(always)]
fn for_host(tuple: &Tuple, uplink: u32, tcp_flags: u8, keeps: bool) -> bool {
    let (Some((_, counters_in, counters_out)), Some(opening)) = (records::uplink_copy(uplink), scratch(&OPENING))
    else {
        return false;
    };
    *opening = Opening {
        nat_addr: tuple.saddr,
        uplink,
        next_hop: mapped_words(0),
        hop: [0; 3],
        mtu: u16::MAX as u32,
        endpoint: 0,
        endpoint_mtu: u16::MAX as u32,
        macs: [0; 3],
        counters: 0,
        counters_out,
        counters_in,
        tcp_flags: tcp_flags.into(),
        port_use: port_use_of(0),
        inbound: 0,
        keeps: if keeps { KEEPS | u16::from_be_bytes(tuple.sport) as u32 } else { 0 },
        pool: Pool::NONE,
    };
    true
}
