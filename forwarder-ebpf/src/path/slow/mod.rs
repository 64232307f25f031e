//! The slow path: one file per hook, a packet from top to bottom. A packet that does not name its flow by ports of its own goes on to
//! [`fragments`], [`address_only`] or [`icmp_error`], and from there to [`send`]. What the host has no address for is
//! [`announced`].

mod address_only;
mod announced;
pub(crate) mod clamp;
mod fragments;
pub(crate) mod from_ns;
pub(crate) mod from_uplink;
pub(crate) mod icmp_error;
mod send;
pub(crate) mod to_network;
pub(crate) mod to_uplink;
mod too_big;
mod unsolicited;
