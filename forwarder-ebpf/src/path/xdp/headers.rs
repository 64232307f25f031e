//! How a frame that XDP may send is read and translated.

use forwarder_common::{
    decide::{rewrite::Rewrite, xdp::Headers},
    types::verdict::DropReason,
    wire::packet::{L3_OFF, PacketBytes as _},
};

use crate::{
    kernel::{counters::Amount, packet::bytes::Bytes},
    path::apply,
};

/// The headers, if the packet may be sent here.
#[inline(always)]
pub(crate) fn read(bytes: &Bytes) -> Result<Headers, DropReason> {
    Headers::read(bytes, bytes.len(), || bytes.header_sum(L3_OFF))
}

/// What the packet adds to counters.
#[inline(always)]
pub(crate) fn amount(headers: &Headers) -> Amount {
    Amount { packets: 1, bytes: headers.ip.total_len.into() }
}

/// Applies a translation, and addresses the frame to `macs`, destination first.
#[inline(always)]
pub(crate) fn rewrite(bytes: &Bytes, change: &Rewrite, macs: [u32; 3]) -> Result<(), DropReason> {
    let check = bytes.load::<2>(change.check_off)?;
    bytes.store(change.check_off, change.checked(check))?;
    apply::rewrite_header(bytes, &change.header)?;
    bytes.store(change.port_off, change.new_port)?;
    apply::set_macs(bytes, macs)
}
