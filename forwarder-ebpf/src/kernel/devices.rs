//! Whether an interface is still the one that records and flows are about: its number may be another's by now.
//!
//! The kernel takes an interface out of `DEVICES` in the moment in which it goes (kernel/bpf/devmap.c, `dev_map_notification`). First
//! packets ask for the interface that they would leave by; the expiry timer asks for all of them and ends the flows of those that have
//! gone, so that packets of established flows need not ask.

use core::{ffi::c_void, ops::ControlFlow};

use aya_ebpf::helpers::bpf_for_each_map_elem;
use forwarder_common::abi::{COUNTER_BLOCKS, host_veth_place};

use crate::kernel::{
    maps::{DEVICES, ENDPOINTS, HOST_VETHS, UPLINKS},
    repeat::{Repeat, repeat},
    shared::Shared,
    values,
};

global_fn! {
    /// See [`is_there`].
    pub(crate) fn fwd_is_there(ifindex: u32) -> bool = is_there;
}

/// Whether the interface that was recorded as number `ifindex` is there.
#[inline(always)]
fn is_there(ifindex: u32) -> bool {
    DEVICES.get_ifindex(ifindex).is_some()
}

/// Whether `ifindex` is the host-side veth of an endpoint: what arrived by one and leaves by an uplink was redirected.
#[inline(always)]
pub(crate) fn is_host_veth(ifindex: u32) -> bool {
    is_known_host_veth(ifindex) || ENDPOINTS.get_ptr(&ifindex).is_some()
}

/// Whether it is one that is told without a look-up in a hash: most are.
#[inline(always)]
pub(crate) fn is_known_host_veth(ifindex: u32) -> bool {
    Shared::element(&HOST_VETHS, host_veth_place(ifindex)).is_some_and(|place| place.read() == ifindex)
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
    repeat(&mut look, BLOCKS_PER_LOOK);
    if first == 0 {
        // SAFETY: the callback takes what this map holds and the pointer that it is given, which lives until the loop is over.
        unsafe {
            let look = (&raw mut look).cast();
            bpf_for_each_map_elem((&raw const UPLINKS).cast_mut().cast(), uplink as *mut c_void, look, 0);
        }
    }
    look.found != 0
}

impl Repeat for Look {
    /// Notes whether the host-side veth of the `n`th endpoint of a look has gone while the endpoint has flows.
    #[inline(always)]
    fn round(&mut self, n: u32) -> ControlFlow<()> {
        let Some(flows) = values::flows_of(self.first.wrapping_add(n)) else { return ControlFlow::Continue(()) };
        // Each may be below zero for a moment.
        let pending = flows.pending().read() as i32 > 0 || flows.inbound().read() as i32 > 0;
        let any = pending || flows.established().read() as i32 > 0;
        let host_veth = flows.host_veth().read();
        if any && host_veth != 0 && !fwd_is_there(host_veth) {
            self.found = 1;
        }
        ControlFlow::Continue(())
    }
}

/// Notes whether an uplink has gone. Returns 0.
#[inline(never)]
extern "C" fn uplink(_: *mut c_void, ifindex: *const u32, _: *mut c_void, look: *mut Look) -> i64 {
    // SAFETY: called by `bpf_for_each_map_elem` alone, which passes a key of `UPLINKS` and the pointer of `any_gone`.
    let (ifindex, look) = unsafe { (&*ifindex, &mut *look) };
    if !fwd_is_there(*ifindex) {
        look.found = 1;
    }
    0
}
