//! A slot that is being made.

use forwarder_common::abi::{FlowHalf, FlowSlot};

use crate::kernel::{global::Argument, slots};

/// A slot that is being made: out of the queue and not in the index yet, so that nobody else writes it, and readers see that it is nobody's
/// flow. Only [`super::create`] takes one; it stands for itself where it is handed to global functions, which take numbers.
#[derive(Clone, Copy)]
pub(crate) struct Making(u32);

impl Making {
    /// The slot with this number, which was taken out of the queue, or was never used.
    #[inline(always)]
    pub(crate) fn taken(index: u32) -> Self {
        Self(index)
    }

    /// Its number.
    #[inline(always)]
    pub(crate) fn index(self) -> u32 {
        self.0
    }

    /// Its outbound half, once it is filled: its tuple stands still from then on, and the rest is written by global functions, behind which nobody
    /// keeps what was read before.
    #[inline(always)]
    pub(crate) fn outbound(self) -> Option<&'static FlowHalf> {
        // SAFETY: an element of an array lives as long as the programs, and nobody writes this half while
        // the one who asks reads it.
        slots::slot(self.0).map(|slot| unsafe { &*slot.outbound().ptr() })
    }

    /// All of it but its version, to be written.
    #[inline(always)]
    pub(crate) fn fill(self) -> Option<&'static mut FlowSlot> {
        // SAFETY: an element of an array lives as long as the programs. Others only read it, as a `Shared`, and believe nothing of what they
        // read while its version says that it is nobody's flow.
        slots::slot(self.0).map(|slot| unsafe { &mut *slot.ptr() })
    }
}

impl Argument for Making {
    type Raw = u32;

    #[inline(always)]
    fn raw(self) -> u32 {
        self.0
    }

    #[inline(always)]
    fn given(index: u32) -> Option<Self> {
        Some(Self(index))
    }
}
