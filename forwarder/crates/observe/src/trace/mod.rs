//! What a traced packet is: read from its headers, chosen by a pattern, and followed from hook to hook.

mod follow;
mod packet;
mod pattern;

pub use self::{
    follow::Follower,
    packet::{Packet, Tuple},
    pattern::FlowPattern,
};
