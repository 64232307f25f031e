//! What is read of a packet: words from its IPv4 header on.

use forwarder_common::{latency::WORDS, wire::ethernet::ethertype};

use crate::kernel::skb::Skb;

/// Bytes of the words.
const LENGTH: usize = WORDS << 2;
/// Both headers of a datagram.
const SHORTEST: usize = 28;

/// The first words of an IPv4 packet whose header is at `L3`, with zeros behind its end.
#[inline(always)]
pub(crate) fn words<const L3: usize>(skb: Skb) -> Option<[u32; WORDS]> {
    if skb.protocol().to_ne_bytes() != ethertype::IPV4 {
        return None;
    }
    let (start, end) = skb.range();
    let start = start.wrapping_add(L3);
    if start.wrapping_add(LENGTH) > end {
        return scattered::<L3>(skb);
    }
    Some([
        word::<0>(start),
        word::<4>(start),
        word::<8>(start),
        word::<12>(start),
        word::<16>(start),
        word::<20>(start),
        word::<24>(start),
        word::<28>(start),
        word::<32>(start),
        word::<36>(start),
    ])
}

/// The word at `OFF`.
#[inline(always)]
fn word<const OFF: usize>(start: usize) -> u32 {
    load_at!("u32", start, OFF) as u32
}

/// The same of a packet that is short, or whose beginning is not in one piece: at the other end it may be.
#[inline(always)]
fn scattered<const L3: usize>(skb: Skb) -> Option<[u32; WORDS]> {
    let mut words = [0; WORDS];
    let l3 = L3 as u32;
    // What is not there becomes zero.
    if skb.copy(l3, &mut words, LENGTH as u32) || skb.copy(l3, &mut words, SHORTEST as u32) {
        Some(words)
    } else {
        None
    }
}
