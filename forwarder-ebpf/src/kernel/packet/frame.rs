//! The frame in the driver: `xdp_md`, and direct access to its bytes.

use core::mem::offset_of;

use crate::kernel::{maps::XDP_TARGETS, packet::bytes::Bytes};
use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT},
        xdp_md,
    },
    programs::XdpContext,
};

/// On to the kernel, and so to the TC programs.
pub(crate) const PASS: u32 = XDP_PASS;
/// Drops it.
pub(crate) const DROP: u32 = XDP_DROP;
/// To where a helper was told.
pub(crate) const REDIRECT: u32 = XDP_REDIRECT;

/// A frame.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    ptr: *mut xdp_md,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self { ptr: ctx.as_ptr().cast() }
    }

    /// The context, for helpers.
    #[cfg(feature = "trace")]
    #[inline(always)]
    pub(crate) fn ptr(self) -> *mut xdp_md {
        self.ptr
    }

    fields! {
        xdp_md;
        /// The interface by which it came.
        pub(crate) ingress_ifindex: u32,
        /// Start of the linear bytes; the verifier makes it a packet pointer.
        data: usize,
        /// End of the linear bytes.
        data_end: usize,
    }

    /// The linear bytes.
    #[inline(always)]
    pub(crate) fn bytes(self) -> Bytes {
        Bytes::between(self.data(), self.data_end())
    }
}

#[cfg(feature = "trace")]
impl crate::kernel::global::Argument for Frame {
    type Raw = *mut xdp_md;

    #[inline(always)]
    fn raw(self) -> *mut xdp_md {
        self.ptr
    }

    #[inline(always)]
    fn given(ptr: *mut xdp_md) -> Option<Self> {
        Some(Self { ptr })
    }
}

/// Whether the data path may send by an interface as XDP does. Notes it as the one to send by.
#[inline(always)]
pub(crate) fn aim(interface: u32) -> bool {
    XDP_TARGETS.redirect(interface, PASS.into()).is_ok()
}
