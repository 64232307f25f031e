//! Whether there are flows of a kind at all: while there are none, nobody looks for them.

use forwarder_common::{
    abi::{Config, feature},
    decide::{ports, unsolicited::publish},
    wire::{
        icmp,
        l4::{self, Proto},
    },
};

use crate::kernel::{
    maps::{NAT_PORTS, PUBLISHED_PORTS, config},
    shared::Shared,
    values,
};

/// Whether any packet of the host itself is translated.
#[inline(always)]
pub(crate) fn host_has_flows() -> bool {
    values::alloc().is_some_and(|alloc| alloc.host_flows().read() != 0)
}

/// Whether there is any flow of a protocol without ports: otherwise nobody looks for one.
#[inline(always)]
pub(crate) fn any_address_only() -> bool {
    values::alloc().is_some_and(|alloc| alloc.address_only().read() != 0)
}

/// Whether a packet with this port at the uplink's end (network byte order) may belong to a flow.
#[inline(always)]
pub(crate) fn may_be_external(port: u16) -> bool {
    let range = NAT_PORTS.load();
    ports::may_be_external(u16::from_be(port), range as u16, (range >> 16) as u16)
}

/// Whether a port of the host (network byte order) is published at some address. Hosts that publish nothing pay for the look at a flag.
#[inline(always)]
pub(crate) fn is_published(proto: u8, port: u16) -> bool {
    config().is_some_and(|config| publishes(config, proto, port))
}

/// As [`is_published`], for who has the settings already.
#[inline(always)]
pub(crate) fn publishes(config: &Config, proto: u8, port: u16) -> bool {
    config.features & feature::PUBLISH != 0 && fwd_is_published(proto.into(), port.into())
}

global_fn! {
    /// See [`has_bit`].
    fn fwd_is_published(proto: u32, port: u32) -> bool = has_bit;
}

/// In a function of its own: each of its ends would double what is verified behind it.
#[inline(always)]
fn has_bit(proto: u32, port: u32) -> bool {
    let Some((word, bit)) = publish::place(proto as u8, u16::from_be(port as u16)) else { return false };
    Shared::element(&PUBLISHED_PORTS, word).is_some_and(|word| word.read() & bit != 0)
}

/// Whether a packet that arrives by an uplink may belong to a flow, by its destination port and its type.
#[inline(always)]
pub(crate) fn may_be_reply(l4: &l4::Header) -> bool {
    let foreign = l4.proto as u8 == Proto::Icmp as u8 && !icmp::is_reply(l4.icmp_type);
    let port = u16::from_ne_bytes(l4.dst_port);
    !foreign && (may_be_external(port) || is_published(l4.proto as u8, port))
}
