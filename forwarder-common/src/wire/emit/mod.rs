//! Builds packets: what [`crate::wire`] reads, written. For tests, measurements and whoever sends packets of their own; the programs only
//! change packets, and know nothing of this.
//!
//! A packet is described by what it says, and every field may say something else than the truth. Checksums and lengths are right
//! unless a description asks for others: [`Sum`].

mod ipv4;
mod ipv6;
mod link;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_ipv6;
mod transport;

pub use ipv4::{Packet, finish_header};
pub use ipv6::{Discovery, Extension, Ipv6Packet, mac_option};
pub use link::{Arp, Ethernet};
pub use transport::{Icmp, Tcp, Transport, Udp};

use crate::types::checksum;

/// How a checksum is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sum {
    /// Right.
    #[default]
    Complete,
    /// Left to a device (`CHECKSUM_PARTIAL`): the sum over the pseudo-header, which is none for ICMP.
    Partial,
    /// Zero: of UDP, that there is no checksum (RFC 768).
    Unused,
    /// The right one with a bit turned over.
    Wrong,
    /// These bytes.
    Exact([u8; 2]),
}

impl Sum {
    /// The checksum over `covered`, in which its own place is zero, behind a pseudo-header that adds up to `pseudo`.
    fn over(self, pseudo: [u8; 2], covered: &[u8]) -> [u8; 2] {
        let [first, second] = complete(pseudo, covered);
        match self {
            Self::Complete => [first, second],
            Self::Partial => pseudo,
            Self::Unused => [0, 0],
            Self::Wrong => [first ^ 1, second],
            Self::Exact(bytes) => bytes,
        }
    }
}

/// The sum over the pseudo-header is one word more to be summed up. (None at all is not the word zero: of nothing but zeros, one's
/// complement has two sums.)
fn complete(pseudo: [u8; 2], covered: &[u8]) -> [u8; 2] {
    let rest = checksum::full(covered);
    if pseudo == [0, 0] { rest } else { checksum::update16(rest, [0, 0], pseudo) }
}

/// Puts two bytes into a header that was built.
fn put(bytes: &mut [u8], at: usize, value: [u8; 2]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value;
    }
}
