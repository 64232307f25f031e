//! Decisions about packets, as pure functions: what is refused, what is written where, which port is tried.

pub mod address_only;
pub mod bridgeless;
pub mod clamp;
pub mod forward;
pub mod fragment;
pub mod host_access;
pub mod icmp_error;
pub mod multicast;
pub mod offload;
pub mod policy;
pub mod ports;
pub mod rate;
pub mod rewrite;
pub mod route;
pub mod source;
pub mod transit;
pub mod unsolicited;
pub mod validate;
pub mod xdp;
