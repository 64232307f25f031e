//! Access to the fields of a program's context, the same for packets at the hooks and frames in the driver.

/// Declares getters of the fields of a context, for a type with a `ptr` to it.
///
/// In assembly, so that the field's offset is part of the load: LLVM likes to keep the field's address in a register, and the
/// verifier rejects a context pointer that was added to.
macro_rules! fields {
    ($context:ty; $($(#[$doc:meta])* $vis:vis $name:ident: $type:ty,)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        $vis fn $name(self) -> $type {
            let value: u64;
            // SAFETY: `ptr` is the context of the running program; the verifier rewrites the access.
            unsafe {
                asm!(
                    "{value} = *(u32 *)({context} + {offset})",
                    value = out(reg) value,
                    context = in(reg) self.ptr,
                    offset = const offset_of!($context, $name),
                    options(readonly, nostack, preserves_flags),
                );
            }
            value as $type
        }
    )*};
}
