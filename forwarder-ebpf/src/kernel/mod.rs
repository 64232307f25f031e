//! The kernel as the programs see it: packets, maps, helpers. Decides nothing.

#[macro_use]
pub(crate) mod global;
#[macro_use]
pub(crate) mod shared;

pub(crate) mod clock;
pub(crate) mod counters;
pub(crate) mod devices;
pub(crate) mod fib;
pub(crate) mod maps;
mod object;
#[macro_use]
pub(crate) mod packet;
pub(crate) mod records;
pub(crate) mod redirect;
pub(crate) mod repeat;
pub(crate) mod scratch;
pub(crate) mod slots;
pub(crate) mod sock;
pub(crate) mod sock_addr;
#[cfg(feature = "trace")]
pub(crate) mod trace;
#[cfg(not(feature = "trace"))]
#[path = "untraced.rs"]
pub(crate) mod trace;
pub(crate) mod values;
