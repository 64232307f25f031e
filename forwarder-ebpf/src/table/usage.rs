//! Whether there are flows of a kind at all: while there are none, nobody looks for them.

use crate::kernel::maps::FLOW_ALLOC;

/// Whether any packet of the host itself is translated.
#[inline(always)]
pub(crate) fn host_has_flows() -> bool {
    let Some(alloc) = FLOW_ALLOC.get_ptr(0) else { return false };
    // SAFETY: an aligned word of the element of the map.
    (unsafe { (&raw const (*alloc).host_flows).read_volatile() }) != 0
}

/// Whether there is any flow of a protocol without ports: otherwise nobody looks for one.
#[inline(always)]
pub(crate) fn any_address_only() -> bool {
    let Some(alloc) = FLOW_ALLOC.get_ptr(0) else { return false };
    // SAFETY: an aligned word of the element of the map.
    (unsafe { (&raw const (*alloc).address_only).read_volatile() }) != 0
}
