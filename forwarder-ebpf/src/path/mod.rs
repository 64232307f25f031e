//! What becomes of a packet, from top to bottom: the [`fast`] path of established flows, the [`slow`] path of everything else, [`ipv6`] beside it, and
//! [`xdp`] in front of both. Beside them what they share: [`validate`], [`route`] for first packets, [`policy`] for what may begin, [`apply`] for what was decided,
//! [`at_ns`] and [`at_uplink`] for what is not sent. [`bridgeless`] is in a bridge's place where a network has none. [`published::host`] is about sockets and no packets.

mod apply;
mod arrival;
mod at_ns;
mod at_uplink;
mod bridgeless;
pub(crate) mod fast;
pub(crate) mod ipv6;
pub(crate) mod multicast;
mod networks;
mod policy;
pub(crate) mod published;
mod rate;
mod route;
pub(crate) mod slow;
mod tail_call;
mod transit;
mod validate;
mod vlan;
pub(crate) mod xdp;
