//! What is read of a packet: words from its IP header on.

use forwarder_common::{
    abi::mapped_words,
    latency::{WORDS, WORDS_IPV6, key, key_ipv6},
    types::direction::Direction,
    wire::ethernet::ethertype,
};

use crate::kernel::skb::Skb;

/// The words at these offsets from a pointer to packet bytes.
macro_rules! words {
    ($at:ident; $($off:literal)*) => { [$(load_at!("u32", $at, $off) as u32,)*] };
}

/// A packet that can be told from others.
pub(crate) struct Packet {
    /// Its number at both ends of its path.
    pub(crate) key: u64,
    /// Its addresses, words of memory in network byte order, of IPv4 in their mapped form.
    pub(crate) src: [u32; 4],
    pub(crate) dst: [u32; 4],
}

/// The packet whose IP header is at `L3`, of either family; none for what is not measured.
#[inline(always)]
pub(crate) fn read<const L3: usize>(skb: Skb, direction: Direction) -> Option<Packet> {
    let packet = match skb.protocol().to_ne_bytes() {
        ethertype::IPV4 => ipv4::<L3>(skb, direction)?,
        ethertype::IPV6 => ipv6::<L3>(skb, direction)?,
        _ => return None,
    };
    (packet.key != 0).then_some(packet)
}

#[inline(always)]
fn ipv4<const L3: usize>(skb: Skb, direction: Direction) -> Option<Packet> {
    let words = match here::<L3, { WORDS << 2 }>(skb) {
        Some(at) => words!(at; 0 4 8 12 16 20 24 28 32 36),
        None => scattered::<L3, WORDS, 28>(skb)?,
    };
    let [_, _, _, src, dst, ..] = words;
    Some(Packet { key: key(&words, direction), src: mapped_words(src), dst: mapped_words(dst) })
}

#[inline(always)]
fn ipv6<const L3: usize>(skb: Skb, direction: Direction) -> Option<Packet> {
    let words = match here::<L3, { WORDS_IPV6 << 2 }>(skb) {
        Some(at) => words!(at; 0 4 8 12 16 20 24 28 32 36 40 44 48 52 56),
        None => scattered::<L3, WORDS_IPV6, 48>(skb)?,
    };
    let [_, _, s0, s1, s2, s3, d0, d1, d2, d3, ..] = words;
    Some(Packet { key: key_ipv6(&words, direction), src: [s0, s1, s2, s3], dst: [d0, d1, d2, d3] })
}

/// Where the IP header is, if `LENGTH` bytes from there on are in one piece.
#[inline(always)]
fn here<const L3: usize, const LENGTH: usize>(skb: Skb) -> Option<usize> {
    let (start, end) = skb.range();
    let start = start.wrapping_add(L3);
    (start.wrapping_add(LENGTH) <= end).then_some(start)
}

/// The words of a packet that is short, or whose beginning is not in one piece: at the other end it may be. Its headers have `HEADERS`
/// bytes with that of UDP; of what follows, words that are not there whole are zero.
#[inline(always)]
fn scattered<const L3: usize, const N: usize, const HEADERS: usize>(skb: Skb) -> Option<[u32; N]> {
    let mut words = [0; N];
    if !skb.copy(L3 as u32, &mut words, HEADERS as u32) {
        return None;
    }
    let mut off = (L3 + HEADERS) as u32;
    for word in words.iter_mut().skip(HEADERS >> 2) {
        // A word that is not there leaves itself and those behind it zero.
        if !skb.copy(off, word, 4) {
            break;
        }
        off = off.wrapping_add(4);
    }
    Some(words)
}
