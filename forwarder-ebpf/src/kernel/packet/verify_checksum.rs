//! Computes checksums in full, where a packet is not believed.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_csum_diff, bpf_loop, bpf_skb_load_bytes},
};

/// Bytes that are added up at once.
const CHUNK: u32 = 32;
/// How many of them: 1,536 bytes, more than any ICMP error (RFC 1812 §4.3.2.3: 576).
const CHUNKS: u32 = 48;

/// What is still to be added, and the sum so far.
#[repr(C)]
struct Rest {
    skb: *mut __sk_buff,
    off: u32,
    length: u32,
    sum: u32,
    failed: u32,
}

/// Whether the `length` bytes at `off`, an ICMP message or an IPv4 header, sum up with the checksum in them: 1 if so, 0 if not or if
/// they are not all there. What is longer than 1,536 bytes does not.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_verify_checksum(skb: *mut __sk_buff, off: u32, length: u32) -> u32 {
    let mut rest = Rest { skb, off, length, sum: 0, failed: 0 };
    // SAFETY: `rest` lives on this stack until the loop is over, and nobody else uses it meanwhile.
    unsafe {
        let context = &raw mut rest;
        bpf_loop(CHUNKS, add_chunk as *mut c_void, context.cast(), 0);
        let length = (*context).length;
        if length >= CHUNK {
            return 0;
        }
        if length != 0 {
            add(context, length);
        }
        let sum = (*context).sum;
        let sum = (sum & 0xffff).wrapping_add(sum >> 16);
        let sum = (sum & 0xffff).wrapping_add(sum >> 16);
        u32::from((*context).failed == 0 && sum == 0xffff)
    }
}

/// Adds a whole chunk: returns 1 when there is none left.
#[inline(never)]
unsafe extern "C" fn add_chunk(_number: u32, rest: *mut Rest) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `fwd_verify_checksum` gave it.
    unsafe {
        if (*rest).length < CHUNK {
            return 1;
        }
        add(rest, CHUNK);
        i64::from((*rest).failed != 0)
    }
}

/// Adds `length` bytes, at least one and no more than a chunk.
///
/// # Safety
/// `rest` points to a [`Rest`].
#[inline(always)]
unsafe fn add(rest: *mut Rest, length: u32) {
    // The helper adds words: behind a shorter rest there are zeros. Volatile, because LLVM would otherwise set them in a loop.
    let mut buffer = MaybeUninit::<[u64; CHUNK as usize / 8]>::uninit();
    let words = buffer.as_mut_ptr().cast::<u64>();
    // SAFETY: the caller's promise; `buffer` has room for a chunk, and is initialised.
    unsafe {
        if length < CHUNK {
            words.write_volatile(0);
            words.add(1).write_volatile(0);
            words.add(2).write_volatile(0);
            words.add(3).write_volatile(0);
        }
        if bpf_skb_load_bytes((*rest).skb.cast(), (*rest).off, words.cast(), length) != 0 {
            (*rest).failed = 1;
            return;
        }
        (*rest).sum = bpf_csum_diff(ptr::null_mut(), 0, words.cast(), CHUNK, (*rest).sum) as u32;
        (*rest).off = (*rest).off.wrapping_add(length);
        (*rest).length = (*rest).length.wrapping_sub(length);
    }
}
