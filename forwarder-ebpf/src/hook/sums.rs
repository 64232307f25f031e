//! Computes checksums in full, where a packet is not believed.

use core::{ffi::c_void, ptr};

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
///
/// A global function: the verifier looks at it once, not at each call.
#[inline(never)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn fwd_sums(skb: *mut __sk_buff, off: u32, length: u32) -> u32 {
    let mut rest = Rest { skb, off, length, sum: 0, failed: 0 };
    // SAFETY: `rest` lives on this stack until the loop is over, and nobody else uses it meanwhile.
    unsafe {
        let context = &raw mut rest;
        bpf_loop(CHUNKS, add_chunk as *mut c_void, context.cast(), 0);
        if (*context).length >= CHUNK {
            return 0;
        }
        add::<16>(context);
        add::<8>(context);
        add::<4>(context);
        add::<2>(context);
        add::<1>(context);
        let sum = (*context).sum;
        let sum = (sum & 0xffff).wrapping_add(sum >> 16);
        let sum = (sum & 0xffff).wrapping_add(sum >> 16);
        u32::from((*context).failed == 0 && sum == 0xffff)
    }
}

/// Adds a whole chunk: returns 1 when there is none left.
#[inline(never)]
unsafe extern "C" fn add_chunk(_number: u32, rest: *mut Rest) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `fwd_sums` gave it.
    unsafe {
        if (*rest).length < CHUNK {
            return 1;
        }
        add_bytes::<32>(rest);
        i64::from((*rest).failed != 0)
    }
}

/// Adds `N` bytes if the length has this bit.
///
/// # Safety
/// `rest` points to a [`Rest`].
#[inline(always)]
unsafe fn add<const N: u32>(rest: *mut Rest) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*rest).length & N != 0 {
            add_bytes::<N>(rest);
        }
    }
}

/// Adds `N` bytes.
///
/// # Safety
/// `rest` points to a [`Rest`].
#[inline(always)]
unsafe fn add_bytes<const N: u32>(rest: *mut Rest) {
    // The helper adds words: behind a shorter rest there are zeros.
    let mut buffer = [0_u32; 8];
    // SAFETY: the caller's promise; `buffer` has room for `N` bytes, and is initialised.
    unsafe {
        if bpf_skb_load_bytes((*rest).skb.cast(), (*rest).off, buffer.as_mut_ptr().cast(), N) != 0 {
            (*rest).failed = 1;
            return;
        }
        let words = N.next_multiple_of(4);
        (*rest).sum = bpf_csum_diff(ptr::null_mut(), 0, buffer.as_mut_ptr(), words, (*rest).sum) as u32;
        (*rest).off = (*rest).off.wrapping_add(N);
        (*rest).length = (*rest).length.wrapping_sub(N);
    }
}
