//! Writes the translation of a packet of IPv6.

use forwarder_common::{
    decide::{
        fragment::ipv6::masked,
        offload::{ChecksumState, check_field},
        rewrite::{Side, Ttl},
    },
    types::{
        checksum::{Checksum, fold32},
        verdict::{Code, DropReason, Verdict},
    },
    wire::{
        extension::FRAGMENT_ID, header_words::ipv6::ONE_HOP_SUM, icmpv6, ipv6::field, l4, packet::PacketBytes as _,
    },
};

use crate::{
    kernel::{
        maps::PACKET6,
        packet::{
            bytes::Bytes,
            checksum::{ChangeV6, by_helper_v6},
            skb::{Skb, ip_summed},
        },
        scratch::{Packet6, scratch},
    },
    table::fragments::id_mask_v6,
};

/// Translates one side of the packet that was read into the map `PACKET6` to the address there, and to `port`. Bytes taken before are stale.
#[inline(always)]
pub(super) fn rewrite(skb: Skb, side: Side, hops: Ttl, port: [u8; 2]) -> Result<(), Code> {
    let how = u32::from(matches!(side, Side::Source)) | u32::from(matches!(hops, Ttl::Decrement)) << 1;
    fwd_rewrite6(skb, how, u16::from_ne_bytes(port).into())
}

global_fn! {
    /// See [`rewrite`]: bit 0 of `how` is the side, bit 1 whether the hop limit is decremented.
    fn fwd_rewrite6(skb: Skb, how: u32, port: u32) -> Result<(), Code> = write;
    /// See [`sum_state`].
    fn fwd_sum_state6(skb: Skb) -> u32 = sum_state;
    /// See [`write_headers`].
    fn fwd_write_headers6(skb: Skb, how: u32, port: u32) -> u64 = write_headers;
}

const REFUSED: Code = Verdict::Dropped(DropReason::Rewrite).code();

/// In steps that are global functions: looked at as one, they are dozens of ways through each of them.
#[inline(always)]
fn write(skb: Skb, how: u32, port: u32) -> Result<(), Code> {
    let packet = scratch(&PACKET6).ok_or(REFUSED)?;
    let (source, hops) = (how & 1 != 0, how & 2 != 0);
    let state = fwd_sum_state6(skb);
    if state == ChecksumState::Misplaced as u32 {
        return Err(DropReason::ChecksumOffload.into());
    }
    let sum = fwd_write_headers6(skb, how, port);
    if sum == NOT_WRITTEN {
        return Err(REFUSED);
    }
    // A later fragment has neither ports nor checksum.
    if packet.l4_len == 0 {
        let hop = if hops { ONE_HOP_SUM } else { 0 };
        skb.add_to_sum(fold32(sum.wrapping_add(packet.delta.into()).wrapping_add(hop.into())));
        return Ok(());
    }
    if sum != 0 {
        skb.add_to_sum(fold32(sum));
    }
    let own = if source { packet.tuple.sport } else { packet.tuple.dport };
    let old_port = u32::from(u16::from_ne_bytes(own));
    let check_off = packet.upper_off.wrapping_add(check_field(packet.number));
    if state == BY_HELPER {
        let change = ChangeV6 { delta: packet.delta, ports: old_port | port << 16, hops };
        return if by_helper_v6(skb, check_off as usize, packet.number, change) { Ok(()) } else { Err(REFUSED) };
    }
    // What was written is linear.
    let (bytes, full) = (skb.linear(), state == ChecksumState::Full as u32);
    let ports = if full { (!old_port & 0xffff).wrapping_add(port & 0xffff) } else { 0 };
    let Ok(check) = bytes.load(check_off as usize) else { return Err(REFUSED) };
    let sum = u64::from(packet.delta).wrapping_add(ports.into());
    let check = Checksum::new(u16::from_ne_bytes(check)).plus(sum, full, packet.number);
    bytes.store(check_off as usize, check.raw().to_ne_bytes()).map_err(|_| REFUSED)
}

/// What [`sum_state`] returns if the helper has to tell what else a sum knows: no [`ChecksumState`].
const BY_HELPER: u32 = u32::MAX;

/// What the transport checksum of the packet in the map `PACKET6` is: one of [`ChecksumState`], or [`BY_HELPER`].
#[inline(always)]
fn sum_state(skb: Skb) -> u32 {
    match skb.ip_summed() {
        ip_summed::NONE | ip_summed::UNNECESSARY => ChecksumState::Full as u32,
        ip_summed::PARTIAL => {
            let Some(packet) = scratch(&PACKET6) else { return ChecksumState::Misplaced as u32 };
            let (off, end) = (packet.upper_off as usize, packet.upper_off.wrapping_add(packet.l4_len) as usize);
            let (partial, segmented) = (skb.partial_checksum(), skb.gso_size() != 0);
            let check = if packet.l4_len == 0 { 0 } else { check_field(packet.number) };
            partial.state(off, end, check, segmented) as u32
        }
        _ => BY_HELPER,
    }
}

/// What [`write_headers`] returns if it could not: no such sum.
const NOT_WRITTEN: u64 = u64::MAX;

/// Writes address, hop limit, port and identification, as [`rewrite`] is told. What the identification adds to a sum over the packet, or
/// [`NOT_WRITTEN`].
#[inline(always)]
fn write_headers(skb: Skb, how: u32, port: u32) -> u64 {
    let Some(packet) = scratch(&PACKET6) else { return NOT_WRITTEN };
    let (source, hops) = (how & 1 != 0, how & 2 != 0);
    // Whatever was pulled is there still: no header is written past what was read.
    let bytes = skb.at_least(packet.upper_off.wrapping_add(packet.l4_len));
    let field = if packet.number == icmpv6::PROTO {
        icmpv6::field::REST
    } else if source {
        l4::field::SRC_PORT
    } else {
        l4::field::DST_PORT
    };
    let port_off = (packet.upper_off as usize).wrapping_add(field);
    let stored = write_header(&bytes, packet, source, hops).is_ok()
        && (packet.l4_len == 0 || bytes.store(port_off, (port as u16).to_ne_bytes()).is_ok());
    if !stored {
        return NOT_WRITTEN;
    }
    if packet.fragment_off == 0 || !source { 0 } else { mask_id(&bytes, packet).unwrap_or(NOT_WRITTEN) }
}

/// Puts the identification of a fragment under a mask: see [`id_mask_v6`]. What that adds to a sum over the packet.
#[inline(always)]
fn mask_id(bytes: &Bytes, packet: &Packet6) -> Option<u64> {
    let mask = id_mask_v6(&packet.tuple);
    if mask == 0 {
        return Some(0);
    }
    let off = (packet.fragment_off as usize).wrapping_add(FRAGMENT_ID);
    let (old, new) = (packet.fragment_id.to_be_bytes(), masked(packet.fragment_id, mask).to_be_bytes());
    bytes.store(off, new).ok()?;
    Some(u64::from(!u32::from_ne_bytes(old)).wrapping_add(u32::from_ne_bytes(new).into()))
}

/// Writes the address in the map `PACKET6` into the header of that packet, as its source or destination, and takes a hop where `hops` says so.
#[inline(always)]
pub(super) fn write_header(bytes: &Bytes, packet: &Packet6, source: bool, hops: bool) -> Result<(), DropReason> {
    let off = packet.l3 as usize;
    bytes.store(off.wrapping_add(if source { field::SRC } else { field::DST }), packet.to)?;
    if hops {
        bytes.store(off.wrapping_add(field::HOP_LIMIT), [packet.hop_limit.wrapping_sub(1)])?;
    }
    Ok(())
}
