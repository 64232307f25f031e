//! Finds an option of an IP or a TCP header.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_loop, bpf_skb_load_bytes},
};
use forwarder_common::wire::options::{LONGEST, Outcome, STEPS, Walk};

/// [`Outcome::Present`] as a number.
pub(crate) const PRESENT: u32 = Outcome::Present as u32;
/// [`Outcome::Absent`] as a number.
pub(crate) const ABSENT: u32 = Outcome::Absent as u32;

/// Looks for one of two options among the `length` bytes at `off`: the [`Outcome`], and how far behind `off` it stands.
#[inline(always)]
pub(crate) fn find(skb: *mut __sk_buff, off: u32, length: u32, wanted: [u8; 2]) -> (u32, u32) {
    let found = fwd_find_option(skb, off, length, u16::from_ne_bytes(wanted).into());
    (found as u32, (found >> 32) as u32)
}

/// As [`find`], the outcome in the low word.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_find_option(skb: *mut __sk_buff, off: u32, length: u32, wanted: u32) -> u64 {
    let (outcome, at) = walk(skb, off, length, (wanted as u16).to_ne_bytes());
    u64::from(outcome) | u64::from(at) << 32
}

#[inline(always)]
fn walk(skb: *mut __sk_buff, off: u32, length: u32, wanted: [u8; 2]) -> (u32, u32) {
    let mut walk = Walk::new(length, wanted);
    let walk = &raw mut walk;
    let mut at = 0;
    // SAFETY: `walk` lives on this stack until the loop is over; the bytes that are loaded lie in it: `at` stays below 40.
    unsafe {
        while at < LONGEST {
            let to = (&raw mut (*walk).bytes).cast::<u8>().add(at as usize);
            if at < length && bpf_skb_load_bytes(skb.cast(), off.wrapping_add(at), to.cast(), 4) != 0 {
                return (Outcome::Malformed as u32, 0);
            }
            at = at.wrapping_add(4);
        }
        bpf_loop(STEPS, step as *mut c_void, walk.cast(), 0);
        let ended = (*walk).at >= (*walk).length;
        let outcome = (*walk).outcome;
        // As many paddings as there are steps.
        (if ended && outcome == Outcome::Going as u32 { ABSENT } else { outcome }, (*walk).at)
    }
}

#[inline(never)]
unsafe extern "C" fn step(_number: u32, walk: *mut Walk) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `find` gave it.
    i64::from(!unsafe { (*walk).step() })
}
