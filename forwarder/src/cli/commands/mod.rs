//! One file per command: arguments in, a request to the library, a view out.

pub(super) mod bench;
pub(super) mod down;
pub(super) mod exec;
pub(super) mod features;
pub(super) mod flows;
pub(super) mod gc;
pub(super) mod inspect;
pub(super) mod latency;
pub(super) mod ls;
pub(super) mod ns;
pub(super) mod reload;
pub(super) mod shell;
pub(super) mod stats;
mod table;
pub(super) mod trace;
pub(super) mod up;
