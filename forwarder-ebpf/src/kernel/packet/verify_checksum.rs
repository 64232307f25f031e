//! Computes checksums in full, where a packet is not believed.

use core::{arch::asm, mem::MaybeUninit, ops::ControlFlow, ptr};

use aya_ebpf::helpers::bpf_csum_diff;

use crate::kernel::{
    packet::skb::Skb,
    repeat::{Repeat, repeat},
};

/// Bytes that are added up at once.
const CHUNK: u32 = 32;
/// How many of them: 1,536 bytes, more than any ICMP error (RFC 1812 §4.3.2.3: 576).
const CHUNKS: u32 = 48;

/// What is still to be added, and the sum so far.
#[repr(C)]
struct Rest {
    skb: Skb,
    off: u32,
    length: u32,
    sum: u32,
    failed: u32,
}

global_fn! {
    /// See [`verify_checksum`].
    pub(crate) fn fwd_verify_checksum(skb: Skb, off: u32, length: u32, pseudo: u32) -> bool = verify_checksum;
}

/// Whether the `length` bytes at `off`, an ICMP message or an IPv4 header, sum up with the checksum in them, behind a pseudo-header that adds
/// up to `pseudo`; not if they are not all there.
/// What is longer than 1,536 bytes does not.
#[inline(always)]
fn verify_checksum(skb: Skb, off: u32, length: u32, pseudo: u32) -> bool {
    let mut rest = Rest { skb, off, length, sum: pseudo, failed: 0 };
    repeat(&mut rest, CHUNKS);
    let length = rest.length;
    if length >= CHUNK {
        return false;
    }
    let but_one = opaque(length.wrapping_sub(1).into());
    if but_one < u64::from(CHUNK) - 1 {
        rest.add((but_one as u32).wrapping_add(1));
    }
    let sum = rest.sum;
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    rest.failed == 0 && sum == 0xffff
}

/// The same number, of which the compiler knows nothing. It would compare with zero otherwise, and that a length is not zero tells a verifier
/// before 6.8 nothing of how small it may be.
#[inline(always)]
fn opaque(number: u64) -> u64 {
    let mut same = number;
    // SAFETY: it changes nothing.
    unsafe { asm!("{0} = {0}", inout(reg) same, options(nomem, nostack, preserves_flags)) };
    same
}

impl Repeat for Rest {
    /// Adds a whole chunk, if there is one left.
    #[inline(always)]
    fn round(&mut self, _number: u32) -> ControlFlow<()> {
        if self.length < CHUNK {
            return ControlFlow::Break(());
        }
        self.add(CHUNK);
        if self.failed == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

impl Rest {
    /// Adds `length` bytes, at least one and no more than a chunk.
    #[inline(always)]
    fn add(&mut self, length: u32) {
        // The helper adds words: behind a shorter rest there are zeros. Volatile, because LLVM would otherwise set them in a loop.
        let mut buffer = MaybeUninit::<[u64; CHUNK as usize / 8]>::uninit();
        let words = buffer.as_mut_ptr().cast::<u64>();
        if length < CHUNK {
            // SAFETY: `buffer` has room for a chunk.
            unsafe {
                words.write_volatile(0);
                words.add(1).write_volatile(0);
                words.add(2).write_volatile(0);
                words.add(3).write_volatile(0);
            }
        }
        if !self.skb.copy(self.off, &mut buffer, length) {
            self.failed = 1;
            return;
        }
        // SAFETY: all of the buffer was written, and it has the length of a chunk.
        self.sum = unsafe { bpf_csum_diff(ptr::null_mut(), 0, words.cast(), CHUNK, self.sum) } as u32;
        self.off = self.off.wrapping_add(length);
        self.length = self.length.wrapping_sub(length);
    }
}
