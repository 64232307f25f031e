//! Flows: how a packet names its flow, and how packets move a flow through its life.

mod evict;
mod handshake;
pub mod hint;
mod track;
mod tuple;

pub use evict::{CANDIDATES, LOOKS, may_evict, nth_slot, worth};
pub use handshake::Handshake;
pub use track::{Direction, TRACKED, Transition, advance, earns, expired, outlived, timeout};
pub use tuple::{hash, inbound, outbound_reply};
