//! IPv6, in programs of its own: they are loaded with the first network that has it. [`read`] reads a packet, each hook has its file, and
//! [`apply`] writes what was decided. [`guard`] is what the hooks have where these programs are not loaded, or not meant.

mod announced;
mod answer;
mod apply;
pub(crate) mod from_ns;
pub(crate) mod from_uplink;
pub(crate) mod guard;
mod icmp_error;
mod notice;
mod policy;
mod read;
pub(crate) mod to_uplink;
mod unsolicited;
