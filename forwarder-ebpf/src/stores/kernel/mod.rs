//! What the look-up of the data path finds below it, with maps of our own.

#[path = "../../kernel/argument.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
pub(crate) mod argument;
#[path = "../../kernel/atomic.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
pub(crate) mod atomic;
pub(crate) mod maps;
#[path = "../../kernel/object.rs"]
mod object;

/// What is measured is not traced.
pub(crate) mod trace {
    #[inline(always)]
    pub(crate) fn flow(_slot: u32) {}
}
