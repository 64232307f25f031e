//! Flows: how a packet names its flow, and how packets move a flow through its life.

mod age;
pub mod cache;
mod evict;
mod handshake;
pub mod ipv6;
mod key;
#[cfg(test)]
mod secrets;
pub mod slot;
mod track;
mod tuple;

pub use age::{expired, idle, is_route_old, outlived, timeout};
pub use evict::{CANDIDATES, LOOKS, eviction_rank, gives_room, is_answered, may_evict, nth_slot, rank_for};
pub use handshake::Handshake;
pub use key::FlowKey;
pub use track::{Segment, Standing, TRACKED, Transition, advance, progress, standing};
pub use tuple::{hash, inbound, outbound_reply};
