//! The flow table: [`lookup`] finds, [`create`] makes, [`mapping`] keeps the port of a socket, [`state`] moves flows on, [`slot`] ends
//! them, [`evict`] makes room when no slot is free, [`expire`] ends what is idle. [`ends`] has the addresses of flows of IPv6. [`fragments`] remembers the ports of packets in pieces.

mod bucket;
pub(crate) mod create;
pub(crate) mod ends;
mod evict;
pub(crate) mod expire;
pub(crate) mod fragments;
pub(crate) mod handshake;
pub(crate) mod lookup;
mod making;
pub(crate) mod mapping;
pub(crate) mod slot;
pub(crate) mod state;
pub(crate) mod usage;
