//! Headers on the wire: where their fields are, and how they are read. Numbers stay in network byte order as `[u8; N]`
//! unless a name says otherwise.

pub mod ethernet;
pub mod header_words;
pub mod icmp;
pub mod ipv4;
pub mod l4;
pub mod options;
pub mod packet;
