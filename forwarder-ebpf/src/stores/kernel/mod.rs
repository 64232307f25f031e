//! What the look-up of the data path finds below it, with maps of our own.

#[macro_use]
#[path = "../../kernel/global.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
pub(crate) mod global;
#[macro_use]
#[path = "../../kernel/shared.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
pub(crate) mod shared;

pub(crate) mod maps;
#[path = "../../kernel/object.rs"]
mod object;
#[path = "../../kernel/repeat.rs"]
pub(crate) mod repeat;
#[path = "../../kernel/slots.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
pub(crate) mod slots;

/// What is measured is not traced.
pub(crate) mod trace {
    #[inline(always)]
    pub(crate) fn flow(_slot: u32) {}
}
