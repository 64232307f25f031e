//! What a rule counts, and the rate that it keeps to: written, and read.

use rtnetlink::packet_core::DefaultNla;

use super::{
    super::message::{attribute, attributes, number, string, wide},
    EXPR_DATA, EXPR_NAME, Rule, expression,
};

// Attributes of include/uapi/linux/netfilter/nf_tables.h: NFTA_COUNTER_*, NFTA_LIMIT_*.
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;
const LIMIT_RATE: u16 = 1;
const LIMIT_UNIT: u16 = 2;
const LIMIT_BURST: u16 = 3;
const LIMIT_TYPE: u16 = 4;
const LIMIT_FLAGS: u16 = 5;
/// `NFT_LIMIT_PKT_BYTES`, `NFT_LIMIT_F_INV`.
const BYTES: u32 = 1;
const INVERTED: u32 = 1 << 0;

/// `counter`, which goes on from so many packets.
pub(in crate::netlink::nft) fn counter(packets: u64) -> DefaultNla {
    expression("counter", &[wide(COUNTER_PACKETS, packets)])
}

/// The same, from so many packets and bytes.
pub(in crate::netlink::nft) fn counter_of((packets, length): (u64, u64)) -> DefaultNla {
    expression("counter", &[wide(COUNTER_BYTES, length), wide(COUNTER_PACKETS, packets)])
}

/// `limit rate over RATE bytes/second burst BURST bytes`.
pub(in crate::netlink::nft) fn over(rate: u64, burst: u32) -> DefaultNla {
    expression(
        "limit",
        &[
            wide(LIMIT_RATE, rate),
            wide(LIMIT_UNIT, 1),
            number(LIMIT_BURST, burst),
            number(LIMIT_TYPE, BYTES),
            number(LIMIT_FLAGS, INVERTED),
        ],
    )
}

impl Rule {
    /// How many packets it has counted; none if it counts none.
    pub(in crate::netlink::nft) fn counted(&self) -> Option<u64> {
        read(&self.data_of("counter")?, COUNTER_PACKETS)
    }

    /// The same, and how many bytes.
    pub(in crate::netlink::nft) fn counted_bytes(&self) -> Option<(u64, u64)> {
        let counter = self.data_of("counter")?;
        read(&counter, COUNTER_PACKETS).zip(read(&counter, COUNTER_BYTES))
    }

    /// Its rate, bytes a second, and its burst, bytes; none if it limits nothing.
    pub(in crate::netlink::nft) fn limited(&self) -> Option<(u64, u32)> {
        let limit = self.data_of("limit")?;
        let burst = attribute(&limit, LIMIT_BURST)?.try_into().ok().map(u32::from_be_bytes)?;
        Some((read(&limit, LIMIT_RATE)?, burst))
    }

    /// What its first expression of this name says.
    fn data_of(&self, name: &str) -> Option<Vec<u8>> {
        let mut elements = attributes(&self.expressions).map(|(_, element)| element);
        attribute(&elements.find(|element| string(element, EXPR_NAME).as_deref() == Some(name))?, EXPR_DATA)
    }
}

fn read(data: &[u8], kind: u16) -> Option<u64> {
    attribute(data, kind)?.try_into().ok().map(u64::from_be_bytes)
}
