//! What is read of a packet: words from its IPv4 header on.

use core::arch::asm;

use aya_ebpf::helpers::bpf_skb_load_bytes;
use forwarder_common::{latency::WORDS, wire::ethernet::ethertype};

use crate::skb::Skb;

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

/// The word at `OFF`. In assembly, because it need not be aligned: LLVM would read each byte by itself.
#[inline(always)]
fn word<const OFF: usize>(start: usize) -> u32 {
    let word: u64;
    // SAFETY: the caller compared `start` with the end of the packet, which the verifier checks.
    unsafe {
        asm!(
            "{word} = *(u32 *)({start} + {off})",
            word = out(reg) word,
            start = in(reg) start,
            off = const OFF,
            options(readonly, nostack, preserves_flags),
        );
    }
    word as u32
}

/// The same of a packet that is short, or whose beginning is not in one piece: at the other end it may be.
#[inline(always)]
fn scattered<const L3: usize>(skb: Skb) -> Option<[u32; WORDS]> {
    let mut words = [0; WORDS];
    if load::<L3>(skb, &mut words, LENGTH) || load::<L3>(skb, &mut words, SHORTEST) { Some(words) } else { None }
}

#[inline(always)]
fn load<const L3: usize>(skb: Skb, words: &mut [u32; WORDS], length: usize) -> bool {
    // SAFETY: `words` has at least `length` bytes, which the helper writes, or sets to zero where the packet is shorter.
    unsafe { bpf_skb_load_bytes(skb.ptr().cast(), L3 as u32, words.as_mut_ptr().cast(), length as u32) == 0 }
}
