//! The kernel as these programs see it: what the data path has of it, with maps of their own.

#[macro_use]
#[path = "../../kernel/global.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
pub(crate) mod global;
#[macro_use]
#[path = "../../kernel/shared.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
pub(crate) mod shared;
#[macro_use]
#[path = "../../kernel/packet/fields.rs"]
mod fields;

#[path = "../../kernel/packet/bytes.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
mod bytes;
#[path = "../../kernel/clock.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
pub(crate) mod clock;
pub(crate) mod maps;
#[path = "../../kernel/object.rs"]
mod object;
#[path = "../../kernel/packet/skb.rs"]
#[allow(dead_code, reason = "shared with the data path, which uses all of it")]
pub(crate) mod skb;
