//! Headers on the wire: where their fields are, how they are read, and ([`emit`], for tests and measurements) written. Numbers stay in network byte order as `[u8; N]`
//! unless a name says otherwise.

#[cfg(any(test, feature = "emit"))]
pub mod emit;
pub mod ethernet;
pub mod extension;
pub mod header_words;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod l4;
pub mod ndisc;
pub mod options;
pub mod packet;
