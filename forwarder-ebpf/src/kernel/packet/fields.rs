//! Reads in assembly, and access to the fields of a program's context, the same for packets at the hooks and frames in the driver.

/// What stands `$off` bytes behind `$base`, an address in the packet, the context, or a structure that the kernel has given: in memory order
/// and in one instruction.
///
/// In assembly, so that the offset is part of the load: LLVM likes to keep the address of a field in a register, and the verifier rejects a
/// context pointer that was added to; and what LLVM does not know to be aligned it reads byte by byte.
macro_rules! load_at {
    ($type:literal, $base:expr, $off:expr $(, $option:ident)*) => {{
        let value: u64;
        // SAFETY: the verifier refuses a program that reads what is not there; nothing is written.
        unsafe {
            core::arch::asm!(
                concat!("{value} = *(", $type, " *)({base} + {off})"),
                value = out(reg) value,
                base = in(reg) $base,
                off = const $off,
                options(readonly, nostack, preserves_flags $(, $option)*),
            );
        }
        value
    }};
}

/// Declares getters of the fields of a context, for a type with a `ptr` to it.
macro_rules! fields {
    ($context:ty; $($(#[$doc:meta])* $vis:vis $name:ident: $type:ty,)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        $vis fn $name(self) -> $type {
            load_at!("u32", self.ptr, offset_of!($context, $name)) as $type
        }
    )*};
}
