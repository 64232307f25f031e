//! Whether an interface is still the one that records and flows are about: its number may be another's by now.
//!
//! The kernel takes an interface out of `DEVICES` in the moment in which it goes (kernel/bpf/devmap.c, `dev_map_notification`). First
//! packets ask for the interface that they would leave by; the expiry timer asks for all of them and ends the flows of those that have gone, so
//! that packets of established flows need not ask.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_for_each_map_elem;
use forwarder_common::abi::{Endpoint, host_veth_place};

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

/// Whether an interface of some record has gone that may have flows.
#[inline(always)]
pub(crate) fn any_gone() -> bool {
    let mut found = 0_u32;
    let context = (&raw mut found).cast();
    // SAFETY: the callbacks take what these maps hold and the pointer that they are given, which lives until the loops are over.
    unsafe {
        bpf_for_each_map_elem((&raw const ENDPOINTS).cast_mut().cast(), host_veth as *mut c_void, context, 0);
        bpf_for_each_map_elem((&raw const UPLINKS).cast_mut().cast(), uplink as *mut c_void, context, 0);
    }
    found != 0
}

/// Notes whether a host-side veth has gone whose endpoint still has flows. Returns 0: to the next.
#[inline(never)]
unsafe extern "C" fn host_veth(_: *mut c_void, key: *mut u32, endpoint: *mut Endpoint, found: *mut u32) -> i64 {
    // SAFETY: the kernel passes an element of `ENDPOINTS` and the pointer of `any_gone`.
    unsafe {
        let ifindex = key.read();
        let Some(flows) = ENDPOINT_FLOWS.get_ptr((&raw const (*endpoint).counters).read()) else { return 0 };
        // Each may be below zero for a moment.
        let any = (*flows).established as i32 > 0 || (*flows).pending as i32 > 0;
        if any && !is_there(ifindex) {
            found.write(1);
        }
    }
    0
}

/// Notes whether an uplink has gone. Returns 0.
#[inline(never)]
unsafe extern "C" fn uplink(_: *mut c_void, key: *mut u32, _: *mut c_void, found: *mut u32) -> i64 {
    // SAFETY: the kernel passes an element of `UPLINKS` and the pointer of `any_gone`.
    unsafe {
        if !is_there(key.read()) {
            found.write(1);
        }
    }
    0
}
