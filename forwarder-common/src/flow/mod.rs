//! Flows: how a packet names its flow, and how packets move a flow through its life.

mod track;
mod tuple;

pub use track::{Direction, TRACKED, Transition, UDP_PROMOTE_PACKETS, UDP_PROMOTE_SECONDS, advance, timeout};
pub use tuple::{hash, inbound, outbound_reply};
