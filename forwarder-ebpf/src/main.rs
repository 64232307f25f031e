//! The TC programs of `fwd`.
#![no_std]
#![no_main]

use aya_ebpf::{macros::classifier, programs::TcContext};

/// Ingress of a host end.
#[classifier]
pub fn from_ns(_ctx: TcContext) -> i32 {
    -1
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The kernel lets only GPL-compatible programs call some helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
