//! The key by which a flow is looked for, and its hash.

use crate::abi::{Secret, Tuple};

/// The key of a flow, a tuple as words: the addresses, the ports with the interface above, the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// Source and destination address.
    pub addresses: u64,
    /// Source and destination port, interface.
    pub ports: u64,
    /// Protocol.
    pub proto: u8,
}

impl FlowKey {
    /// Of a packet with these words that entered by `ifindex`.
    #[inline(always)]
    #[must_use]
    pub const fn new(addresses: u64, ports: u64, ifindex: u32, proto: u8) -> Self {
        Self { addresses, ports: ports | (ifindex as u64) << 32, proto }
    }

    /// Of a tuple.
    #[inline(always)]
    #[must_use]
    pub const fn of(tuple: &Tuple) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (tuple.saddr, tuple.daddr);
        let ([i, j], [k, l]) = (tuple.sport, tuple.dport);
        let ports = u32::from_le_bytes([i, j, k, l]) as u64;
        Self::new(u64::from_le_bytes([a, b, c, d, e, f, g, h]), ports, tuple.ifindex, tuple.proto)
    }

    /// Spreads tuples over buckets of the flow cache, ports and records of fragments. Without the `secret` nobody can tell which tuples
    /// collide.
    ///
    /// The words with the secret added are multiplied by pairs (Lemire and Kaser, Strongly universal string hashing is fast, The
    /// Computer Journal 57, 2014): for any two tuples, few secrets make the sums equal. What follows, with an odd constant of
    /// MurmurHash3's finaliser, scatters sums that lie in regular distances, as those of consecutive ports do.
    #[inline(always)]
    #[must_use]
    pub const fn hash(&self, secret: &Secret) -> u32 {
        let Self { addresses, ports, proto } = *self;
        let [a, b, c, d] = *secret;
        let (source, destination) = (addresses as u32 as u64, addresses >> 32);
        let (both_ports, ifindex) = (ports as u32 as u64, ports >> 32 | (proto as u64) << 32);
        let ends = a.wrapping_add(source).wrapping_mul(b.wrapping_add(destination));
        let rest = c.wrapping_add(both_ports).wrapping_mul(d.wrapping_add(ifindex));
        let sum = ends.wrapping_add(rest);
        ((sum ^ sum >> 32).wrapping_mul(0xc4ce_b9fe_1a85_ec53) >> 32) as u32
    }
}
