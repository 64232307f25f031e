//! The XDP programs: a front of the TC programs for packets of established flows.
//!
//! What they know how to send, they translate by the same flows and send before the kernel has made much of it. Everything else
//! they pass, unmodified, to the TC programs, which stay where they are: first packets, errors, fragments, validation, punts, and the
//! packet that looks the route up again.

mod from_ns;
mod from_uplink;
mod headers;

pub(crate) use from_ns::from_ns;
pub(crate) use from_uplink::from_uplink;
