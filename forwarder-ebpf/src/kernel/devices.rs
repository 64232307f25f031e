//! Whether an interface is still the one that records and flows are about: its number may be another's by now.
//!
//! The kernel takes an interface out of `DEVICES` in the moment in which it goes (kernel/bpf/devmap.c, `dev_map_notification`). First
//! packets ask for the interface that they would leave by; the expiry timer asks for all of them and ends the flows of those that have
//! gone, so that packets of established flows need not ask.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_for_each_map_elem, bpf_loop};
use forwarder_common::abi::{COUNTER_BLOCKS, host_veth_place};

use crate::kernel::maps::{DEVICES, ENDPOINT_FLOWS, ENDPOINTS, HOST_VETHS, UPLINKS};

/// Whether the interface that was recorded as number `ifindex` is there.
#[inline(always)]
pub(crate) fn is_there(ifindex: u32) -> bool {
    fwd_is_there(ifindex) != 0
}

/// As [`is_there`]; 1 if it is.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_is_there(ifindex: u32) -> u32 {
    DEVICES.get_ifindex(ifindex).is_some().into()
}

/// Whether `ifindex` is the host-side veth of an endpoint: what arrived by one and leaves by an uplink was redirected.
#[inline(always)]
pub(crate) fn is_host_veth(ifindex: u32) -> bool {
    // SAFETY: an aligned word of a map value.
    let known =
        HOST_VETHS.get_ptr(host_veth_place(ifindex)).is_some_and(|place| unsafe { place.read_volatile() } == ifindex);
    known || ENDPOINTS.get_ptr(&ifindex).is_some()
}

/// Endpoints that are looked at together: at some 10 ns each, few µs. All of them are, in less than a second, at twenty looks a second.
const BLOCKS_PER_LOOK: u32 = 256;

/// The block of counters at which the next look begins, after one at `first`.
#[inline(always)]
pub(crate) const fn after(first: u32) -> u32 {
    first.wrapping_add(BLOCKS_PER_LOOK) % COUNTER_BLOCKS
}

/// What a look works with.
#[repr(C)]
struct Look {
    /// The first block.
    first: u32,
    /// Not 0 if an interface has gone.
    found: u32,
}

/// Whether an interface has gone that may have flows: the host-side veth of an endpoint with one of [`BLOCKS_PER_LOOK`] blocks of counters,
/// or, once a round, an uplink.
#[inline(always)]
pub(crate) fn any_gone(first: u32) -> bool {
    let mut look = Look { first, found: 0 };
    let look = &raw mut look;
    // SAFETY: the callbacks take what this map holds and the pointer that they are given, which lives until the loops are over.
    unsafe {
        bpf_loop(BLOCKS_PER_LOOK, host_veth as *mut c_void, look.cast(), 0);
        if first == 0 {
            bpf_for_each_map_elem((&raw const UPLINKS).cast_mut().cast(), uplink as *mut c_void, look.cast(), 0);
        }
        (*look).found != 0
    }
}

/// Notes whether the host-side veth of the `n`th endpoint of a look has gone while the endpoint has flows. Returns 0: to the next.
#[inline(never)]
unsafe extern "C" fn host_veth(n: u32, look: *mut Look) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer of `any_gone`.
    unsafe {
        let Some(flows) = ENDPOINT_FLOWS.get_ptr((*look).first.wrapping_add(n)) else { return 0 };
        // Each may be below zero for a moment.
        let any = (*flows).established as i32 > 0 || (*flows).pending as i32 > 0;
        let host_veth = (*flows).host_veth;
        if any && host_veth != 0 && !is_there(host_veth) {
            (*look).found = 1;
        }
    }
    0
}

/// Notes whether an uplink has gone. Returns 0.
#[inline(never)]
unsafe extern "C" fn uplink(_: *mut c_void, key: *mut u32, _: *mut c_void, look: *mut Look) -> i64 {
    // SAFETY: the kernel passes an element of `UPLINKS` and the pointer of `any_gone`.
    unsafe {
        if !is_there(key.read()) {
            (*look).found = 1;
        }
    }
    0
}
