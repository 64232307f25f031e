//! Reads an ICMP error, and the packet that it is about.

use forwarder_common::{decide::icmp_error, types::verdict::DropReason, wire::ipv4};

use crate::kernel::{
    maps::ICMP_ERROR,
    packet::{l3_off, skb::Skb},
    scratch::{IcmpError, scratch},
};

global_fn! {
    /// See [`read`].
    pub(crate) fn fwd_icmp_error_read(skb: Skb, l3: u32) -> u32 = read;
}

/// The error that [`read`] has read.
#[inline(always)]
pub(crate) fn error() -> Option<&'static IcmpError> {
    scratch(&ICMP_ERROR).map(|error| &*error)
}

/// Above the reason in what [`read`] returns: the embedded header was read, but not what is behind it.
pub(super) const HEADER_ONLY: u32 = 1 << 8;

/// Reads the error at `l3` into the map `ICMP_ERROR`. Returns 0, or the code of the reason for which it cannot be translated.
#[inline(always)]
fn read(skb: Skb, l3: u32) -> u32 {
    let Some(IcmpError { ip, embedded, .. }) = scratch(&ICMP_ERROR) else { return DropReason::Contended as u32 };
    let bytes = skb.all_headers();
    match ipv4::parse(&bytes, l3_off(l3)) {
        Ok(header) => *ip = header,
        Err(reason) => return reason as u32,
    }
    match icmp_error::embedded_header(&bytes, ip) {
        Ok(header) => embedded.ip = header,
        Err(reason) => return reason as u32,
    }
    match icmp_error::parse(&bytes, ip, embedded.ip) {
        Ok(whole) => *embedded = whole,
        Err(reason) => return reason as u32 | HEADER_ONLY,
    }
    0
}
