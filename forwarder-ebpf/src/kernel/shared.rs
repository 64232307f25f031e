//! Values in maps.
//!
//! Other CPUs, and userspace, read and write them meanwhile, so there is no Rust reference to them. A [`Shared`] is a place in a map value;
//! it is read as a whole, when it is asked for, and not again, and written as a whole. What is read together belongs together only as far as
//! something else says so: of a flow, the version of its slot.
//!
//! What every `unsafe` here relies on: a [`Shared`] is made of what a look-up returned, or of a part of one, so that it points to a whole and
//! aligned value. An element of an array lives as long as the programs; one of a hash may be taken out meanwhile, and hold another's
//! value then, but its memory stays until the program ends. Any bits are valid in records. The verifier checks all that again.

use core::{
    arch::asm,
    intrinsics::{AtomicOrdering, atomic_or, atomic_xadd},
};

use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray};
use forwarder_common::abi::FlowVersion;

/// A value in a map, or a part of one.
#[repr(transparent)]
pub(crate) struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T> Shared<T> {
    /// Element `index` of an array.
    #[inline(always)]
    pub(crate) fn element<const ENTRIES: usize, const FLAGS: usize>(
        array: &'static Array<T, ENTRIES, FLAGS>,
        index: u32,
    ) -> Option<Self> {
        array.get_ptr_mut(index).map(Self)
    }

    /// This CPU's element `index`.
    #[inline(always)]
    pub(crate) fn own<const ENTRIES: usize, const FLAGS: usize>(
        array: &'static PerCpuArray<T, ENTRIES, FLAGS>,
        index: u32,
    ) -> Option<Self> {
        array.get_ptr_mut(index).map(Self)
    }

    /// The value of `key`.
    #[inline(always)]
    pub(crate) fn value<K, const ENTRIES: usize, const FLAGS: usize>(
        hash: &'static HashMap<K, T, ENTRIES, FLAGS>,
        key: &K,
    ) -> Option<Self> {
        hash.get_ptr_mut(key).map(Self)
    }

    /// The value of `key`, which counts as used now.
    #[inline(always)]
    pub(crate) fn recent<K, const ENTRIES: usize, const FLAGS: usize>(
        hash: &'static LruHashMap<K, T, ENTRIES, FLAGS>,
        key: &K,
    ) -> Option<Self> {
        hash.get_ptr_mut(key).map(Self)
    }

    /// The part of it to which `to` leads: for `shared_fields!`.
    ///
    /// # Safety
    /// `to` leads to an aligned part of the same value.
    #[inline(always)]
    pub(crate) unsafe fn part<F>(self, to: impl FnOnce(*mut T) -> *mut F) -> Shared<F> {
        Shared(to(self.0))
    }

    /// As a pointer, for helpers.
    #[inline(always)]
    pub(crate) fn ptr(self) -> *mut T {
        self.0
    }

    /// The word `AT` bytes behind its beginning.
    #[inline(always)]
    pub(crate) fn word_at<const AT: usize>(self) -> Shared<u32> {
        const { assert!(AT.is_multiple_of(4) && AT + 4 <= size_of::<T>() && align_of::<T>() >= 4) };
        Shared(self.0.cast::<u8>().wrapping_add(AT).cast())
    }

    /// The two words there, as one.
    #[inline(always)]
    pub(crate) fn double_word_at<const AT: usize>(self) -> Shared<u64> {
        const { assert!(AT.is_multiple_of(8) && AT + 8 <= size_of::<T>() && align_of::<T>() >= 8) };
        Shared(self.0.cast::<u8>().wrapping_add(AT).cast())
    }
}

impl<T> Shared<T> {
    /// The `number`th word of 64 bits, which has to lie in the value.
    #[inline(always)]
    pub(crate) fn nth_double_word(self, number: usize) -> Shared<u64> {
        const { assert!(align_of::<T>() >= 8) };
        Shared(self.0.cast::<u64>().wrapping_add(number))
    }
}

impl<T: Copy> Shared<T> {
    /// Its value now.
    #[inline(always)]
    pub(crate) fn read(self) -> T {
        // SAFETY: see the head of this file.
        unsafe { self.0.read_volatile() }
    }

    /// Replaces it.
    #[inline(always)]
    pub(crate) fn write(self, value: T) {
        // SAFETY: see the head of this file.
        unsafe { self.0.write_volatile(value) };
    }
}

impl<T, const N: usize> Shared<[T; N]> {
    /// Element `index` of an array in a value.
    #[inline(always)]
    pub(crate) fn nth(self, index: usize) -> Option<Shared<T>> {
        if index < N { Some(Shared(self.0.cast::<T>().wrapping_add(index))) } else { None }
    }
}

/// Declares the fields of records: each a method of the same name.
macro_rules! shared_fields {
    ($($record:ty { $($(#[$doc:meta])* $field:ident: $type:ty = $first:ident $(.$then:ident)* $([$at:literal])?;)* })*) => {$(
        impl $crate::kernel::shared::Shared<$record> {
            $(
                $(#[$doc])*
                #[inline(always)]
                pub(crate) fn $field(self) -> $crate::kernel::shared::Shared<$type> {
                    // SAFETY: a field of the record, aligned as it is.
                    unsafe { self.part(|record| &raw mut (*record).$first $(.$then)* $([$at])?) }
                }
            )*
        }
    )*};
}

/// Counters that CPUs share are never plain stores: two CPUs would lose counts.
impl Shared<u64> {
    /// Adds to a counter.
    #[inline(always)]
    pub(crate) fn add(self, amount: u64) {
        // SAFETY: see the head of this file.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(self.0, amount) };
    }

    /// Sets the bits that are set in `bits`.
    #[inline(always)]
    pub(crate) fn set(self, bits: u64) {
        // SAFETY: see the head of this file.
        unsafe { atomic_or::<u64, u64, { AtomicOrdering::Relaxed }>(self.0, bits) };
    }

    /// Adds to a counter of this CPU, which no other one writes. Programs of one CPU do not interleave: the hooks of traffic control
    /// and of drivers, and timers, run with softirqs off, which is also how `BPF_PROG_TEST_RUN` runs a program. Only where a copy is sent does another
    /// program run meanwhile, within that call (`path/multicast`).
    #[inline(always)]
    pub(crate) fn add_here(self, amount: u64) {
        self.write(self.read().wrapping_add(amount));
    }

    /// As [`Shared::<u32>::replace`], of 64 bits.
    #[inline(always)]
    pub(crate) fn replace(self, old: u64, new: u64) -> bool {
        let found: u64;
        // SAFETY: as of 32 bits.
        unsafe {
            asm!(
                "r0 = cmpxchg_64({word} + 0, r0, {new})",
                word = in(reg) self.0,
                new = in(reg) new,
                inlateout("r0") old => found,
                options(nostack),
            );
        }
        found == old
    }
}

impl Shared<u32> {
    /// Adds (wrapping) and returns the value before.
    #[inline(always)]
    pub(crate) fn fetch_add(self, amount: u32) -> u32 {
        // SAFETY: see the head of this file.
        unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(self.0, amount) }
    }

    /// Replaces `old` by `new`; whether it was `old`. In assembly: LLVM's bitcode reader rejects what
    /// `core::intrinsics::atomic_cxchg` emits for this target.
    #[inline(always)]
    pub(crate) fn replace(self, old: u32, new: u32) -> bool {
        let found: u32;
        // SAFETY: see the head of this file; the instruction reads and writes the one word, and is a full barrier.
        unsafe {
            asm!(
                "w0 = cmpxchg32_32({word} + 0, w0, {new})",
                word = in(reg) self.0,
                new = in(wreg) new,
                inlateout("w0") old => found,
                options(nostack),
            );
        }
        found == old
    }
}

impl Shared<FlowVersion> {
    /// Its value now, which is later than what was read before, and earlier than what is read afterwards: x86-64 keeps reads in that order by
    /// itself. arm64 does not; there the word is read by adding nothing to it, which is a full barrier for every BPF of the kernel's
    /// (load-acquire is known from Linux 6.15 on).
    #[inline(always)]
    #[allow(unexpected_cfgs, reason = "the build sets it: forwarder/crates/dataplane/build.rs")]
    pub(crate) fn read_in_order(self) -> FlowVersion {
        if cfg!(bpf_target_arch = "x86_64") {
            self.read()
        } else {
            FlowVersion::from_raw(Shared::<u32>(self.0.cast()).fetch_add(0))
        }
    }

    /// As [`Shared::<u32>::replace`].
    #[inline(always)]
    pub(crate) fn replace(self, old: FlowVersion, new: FlowVersion) -> bool {
        Shared::<u32>(self.0.cast()).replace(old.raw(), new.raw())
    }
}
