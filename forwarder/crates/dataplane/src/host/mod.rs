//! The directory of pins, who works in it, and which hosts have one.

pub(crate) mod bpffs;
pub(crate) mod devices;
pub(crate) mod hosts;
pub(crate) mod lock;
pub(crate) mod rundir;
pub(crate) mod version;
