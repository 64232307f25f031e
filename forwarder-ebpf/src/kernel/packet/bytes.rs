//! The bytes of a packet that the programs may read and write directly.

use core::{arch::asm, mem};

use forwarder_common::{
    types::verdict::DropReason,
    wire::{ipv4, packet::PacketBytes},
};

/// The linear bytes of a packet. Stale after a helper that may move them.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    pub(super) data: usize,
    pub(super) end: usize,
}

impl Bytes {
    /// The bytes from `data` to `end`, which the verifier knows as packet pointers.
    #[inline(always)]
    pub(crate) const fn between(data: usize, end: usize) -> Self {
        Self { data, end }
    }

    /// How many they are.
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.end.wrapping_sub(self.data)
    }

    /// A pointer to `N` bytes at `off`, within the packet.
    #[inline(always)]
    fn at<const N: usize>(&self, off: usize) -> Result<*mut [u8; N], DropReason> {
        // A bound for the verifier; no header starts behind it.
        if off > 0xff {
            return Err(DropReason::Truncated);
        }
        let start = self.data.wrapping_add(off);
        if start.wrapping_add(N) > self.end {
            return Err(DropReason::Truncated);
        }
        Ok(start as *mut [u8; N])
    }

    /// The sum of the words of an IPv4 header without options at `off`; 0 if it is not there.
    #[inline(always)]
    pub(crate) fn header_sum(&self, off: usize) -> u64 {
        let Ok(header) = self.at::<{ ipv4::MIN_LEN }>(off) else { return 0 };
        let header = header.cast::<u8>().cast_const();
        let words = [word::<0>(header), word::<4>(header), word::<8>(header), word::<12>(header), word::<16>(header)];
        let [first, second, third, fourth, fifth] = words.map(u64::from);
        first.wrapping_add(second).wrapping_add(third).wrapping_add(fourth).wrapping_add(fifth)
    }

    /// Overwrites `N` bytes at `off`.
    #[inline(always)]
    pub(crate) fn store<const N: usize>(&self, off: usize, bytes: [u8; N]) -> Result<(), DropReason> {
        let to = self.at::<N>(off)?;
        // SAFETY: `at` checked that the bytes lie in the packet.
        unsafe { to.write_unaligned(bytes) };
        Ok(())
    }
}

/// Declares reads and writes of words at a fixed offset, in memory order and in one instruction: LLVM reads what it does not
/// know to be aligned byte by byte. The verifier rejects them where [`Bytes::holds`] has not said that they are there.
macro_rules! words {
    ($($load:ident $store:ident $type:literal)*) => {$(
        #[inline(always)]
        pub(crate) fn $load<const OFF: usize>(&self) -> u64 {
            load_at!($type, self.data, OFF)
        }

        #[inline(always)]
        pub(crate) fn $store<const OFF: usize>(&self, value: u64) {
            // SAFETY: the verifier checks that the bytes lie in the packet.
            unsafe {
                asm!(
                    concat!("*(", $type, " *)({data} + {off}) = {value}"),
                    value = in(reg) value,
                    data = in(reg) self.data,
                    off = const OFF,
                    options(nostack, preserves_flags),
                );
            }
        }
    )*};
}

impl Bytes {
    /// Whether the first `length` bytes are there.
    #[inline(always)]
    pub(crate) fn holds(&self, length: usize) -> bool {
        self.data.wrapping_add(length) <= self.end
    }

    words! {
        load16 store16 "u16"
        load32 store32 "u32"
        load64 store64 "u64"
    }
}

impl PacketBytes for Bytes {
    #[inline(always)]
    fn load<const N: usize>(&self, off: usize) -> Result<[u8; N], DropReason> {
        let from = self.at::<N>(off)?;
        // SAFETY: `at` checked that the bytes lie in the packet; the arms read no more than `N` bytes, and give as many.
        unsafe {
            Ok(match N {
                2 => mem::transmute_copy(&half(from.cast())),
                4 => mem::transmute_copy(&word::<0>(from.cast())),
                16 => {
                    let from = from.cast();
                    mem::transmute_copy(&[word::<0>(from), word::<4>(from), word::<8>(from), word::<12>(from)])
                }
                20 => {
                    let from = from.cast();
                    mem::transmute_copy(&[
                        word::<0>(from),
                        word::<4>(from),
                        word::<8>(from),
                        word::<12>(from),
                        word::<16>(from),
                    ])
                }
                _ => from.read_unaligned(),
            })
        }
    }
}

/// The word at `OFF` bytes behind `from`.
#[inline(always)]
fn word<const OFF: usize>(from: *const u8) -> u32 {
    load_at!("u32", from, OFF, pure) as u32
}

/// The two bytes at `from`.
#[inline(always)]
fn half(from: *const u8) -> u16 {
    load_at!("u16", from, 0, pure) as u16
}
