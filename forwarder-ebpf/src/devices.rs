//! Whether an interface is still the one that records and flows are about: its number may be another's by now.
//!
//! The kernel takes an interface out of `DEVICES` in the moment in which it goes (kernel/bpf/devmap.c, `dev_map_notification`). First
//! packets ask for the interface that they would leave by; the sweep asks for all of them and ends the flows of those that have gone, so
//! that packets of established flows need not ask.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::bpf_for_each_map_elem;
use forwarder_common::abi::{Endpoint, host_end_place};

use crate::maps::{DEVICES, ENDPOINT_FLOWS, ENDPOINTS, HOST_ENDS, UPLINKS};

/// Whether the interface that was recorded as number `ifindex` is there.
#[inline(always)]
pub(crate) fn is_there(ifindex: u32) -> bool {
    fwd_is_there(ifindex) != 0
}

/// As [`is_there`]; 1 if it is.
///
/// A global function: the verifier looks at it once, not at each call.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_is_there(ifindex: u32) -> u32 {
    DEVICES.get_ifindex(ifindex).is_some().into()
}

/// Whether `ifindex` is the host end of an endpoint, as far as can be told without a look-up in a hash: false says nothing.
#[inline(always)]
pub(crate) fn is_known_host_end(ifindex: u32) -> bool {
    // SAFETY: an aligned word of a map value.
    HOST_ENDS.get_ptr(host_end_place(ifindex)).is_some_and(|place| unsafe { place.read_volatile() } == ifindex)
}

/// An interface of a record that has gone and may have flows: a host end or an uplink; 0 if there is none.
#[inline(always)]
pub(crate) fn gone() -> u32 {
    let mut found = 0_u32;
    let context = (&raw mut found).cast();
    // SAFETY: the callbacks take what these maps hold and the pointer that they are given, which lives until the loops are over.
    unsafe {
        bpf_for_each_map_elem((&raw const ENDPOINTS).cast_mut().cast(), end_of_namespace as *mut c_void, context, 0);
        if found == 0 {
            bpf_for_each_map_elem((&raw const UPLINKS).cast_mut().cast(), uplink as *mut c_void, context, 0);
        }
    }
    found
}

/// Notes a host end that has gone, if its endpoint still has flows; returns 1 to stop.
#[inline(never)]
unsafe extern "C" fn end_of_namespace(_: *mut c_void, key: *mut u32, endpoint: *mut Endpoint, found: *mut u32) -> i64 {
    // SAFETY: the kernel passes an element of `ENDPOINTS` and the pointer of `gone`.
    unsafe {
        let ifindex = key.read();
        let Some(flows) = ENDPOINT_FLOWS.get_ptr(ptr::addr_of!((*endpoint).counters).read()) else { return 0 };
        let any = (*flows).established | (*flows).pending;
        if any == 0 || is_there(ifindex) {
            return 0;
        }
        found.write(ifindex);
        1
    }
}

/// Notes an uplink that has gone; returns 1 to stop.
#[inline(never)]
unsafe extern "C" fn uplink(_: *mut c_void, key: *mut u32, _: *mut c_void, found: *mut u32) -> i64 {
    // SAFETY: the kernel passes an element of `UPLINKS` and the pointer of `gone`.
    unsafe {
        let ifindex = key.read();
        if is_there(ifindex) {
            return 0;
        }
        found.write(ifindex);
        1
    }
}
