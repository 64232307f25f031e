//! The transport checksum of a translated packet: computed here where it is known what is in the packet, otherwise by the helper,
//! which costs as much as all the rest.

use aya_ebpf::bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR};
use forwarder_common::{
    decide::offload::ChecksumState,
    types::{
        checksum::{Change, Checksum, fold32, has_zero_rule},
        verdict::{Code, DropReason, Verdict},
    },
    wire::{header_words::ipv6::ONE_HOP_SUM, l4::Proto, packet::PacketBytes as _},
};

use crate::kernel::packet::skb::{Skb, ip_summed};

/// Updates the checksum at `off` for a change of address and port, in a packet of protocol `proto`. `sum` is what [`Skb::checksum_state`]
/// says of it. Bytes taken before are stale.
#[inline(always)]
pub(crate) fn update(skb: Skb, sum: u32, off: usize, proto: u8, change: &Change) -> Result<(), Code> {
    let what = off as u32 | (proto as u32) << 8 | sum << 16;
    let ports = u32::from(change.old_port) | u32::from(change.new_port) << 16;
    fwd_update_checksum(skb, what, change.old_addr, change.new_addr, ports)
}

const REFUSED: Code = Verdict::Dropped(DropReason::Rewrite).code();

/// As [`update`], but by the helper, which knows the packet's own sum too (`CHECKSUM_COMPLETE`), and serves where the kernel does not
/// tell what is in the packet. The headers are writable and there, so it cannot fail.
#[inline(always)]
pub(crate) fn by_helper(skb: Skb, off: usize, proto: u8, change: &Change) {
    let what = off as u32 | (proto as u32) << 8;
    let ports = u32::from(change.old_port) | u32::from(change.new_port) << 16;
    fwd_replace_checksum(skb, what, change.old_addr, change.new_addr, ports);
}

/// Changes the checksum at the offset in the low byte of `what`, above which stand the protocol's number and [`ChecksumState`], from one
/// address to another, and from the port in the low half of `ports` to the one above.
#[inline(always)]
fn update_checksum(skb: Skb, what: u32, old_addr: u32, new_addr: u32, ports: u32) -> Result<(), Code> {
    let proto = what >> 8 & 0xff;
    let icmp = proto == Proto::Icmp as u32;
    let full = match skb.ip_summed() {
        ip_summed::NONE | ip_summed::UNNECESSARY => true,
        ip_summed::PARTIAL if what >> 16 == ChecksumState::Full as u32 => true,
        // Without a pseudo-header there is nothing to be added to yet.
        ip_summed::PARTIAL if icmp => return Ok(()),
        ip_summed::PARTIAL => false,
        _ => {
            let done = fwd_replace_checksum(skb, what & 0xffff, old_addr, new_addr, ports);
            return if done { Ok(()) } else { Err(REFUSED) };
        }
    };
    let (bytes, off) = (skb.linear(), (what & 0xff) as usize);
    let Ok(check) = bytes.load(off) else { return Err(REFUSED) };
    let (check, proto) = (Checksum::new(u16::from_ne_bytes(check)), proto as u8);
    let change = Change { old_addr, new_addr, old_port: ports as u16, new_port: (ports >> 16) as u16 };
    let updated = if full { check.after(&change, proto) } else { check.partial_after(&change, proto) };
    bytes.store(off, updated.raw().to_ne_bytes()).map_err(|_| REFUSED)
}

/// What a translation of IPv6 changes besides the port.
#[derive(Clone, Copy)]
pub(crate) struct ChangeV6 {
    /// What the address adds to a sum: see [`forwarder_common::types::checksum::delta`].
    pub(crate) delta: u32,
    /// The port before and, above it, after.
    pub(crate) ports: u32,
    /// Whether the hop limit is one less.
    pub(crate) hops: bool,
}

/// As [`by_helper`], of IPv6, of a checksum that is full; whether it could be done.
#[inline(always)]
pub(crate) fn by_helper_v6(skb: Skb, off: usize, proto: u8, change: ChangeV6) -> bool {
    let what = off as u32 | (proto as u32) << 8 | u32::from(change.hops) << 16;
    fwd_replace_checksum_v6(skb, what, change.delta, change.ports)
}

global_fn! {
    /// See [`replace_checksum_v6`].
    fn fwd_replace_checksum_v6(skb: Skb, what: u32, delta: u32, ports: u32) -> bool = replace_checksum_v6;
    /// See [`update_checksum`].
    fn fwd_update_checksum(skb: Skb, what: u32, old_addr: u32, new_addr: u32, ports: u32) -> Result<(), Code> = update_checksum;
    /// See [`replace_checksum`].
    fn fwd_replace_checksum(skb: Skb, what: u32, old_addr: u32, new_addr: u32, ports: u32) -> bool = replace_checksum;
}

/// As [`update_checksum`], by the helper; whether it could be done.
#[inline(always)]
fn replace_checksum(skb: Skb, what: u32, old_addr: u32, new_addr: u32, ports: u32) -> bool {
    let (off, proto) = (what & 0xff, what >> 8);
    let mangled = if has_zero_rule(proto as u8) { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 };
    let (old_port, new_port) = (ports & 0xffff, ports >> 16);
    let flags = u64::from(BPF_F_PSEUDO_HDR) | mangled | 4;
    let icmp = proto == Proto::Icmp as u32;
    if !icmp && !skb.replace_checksum(off, old_addr, new_addr, flags) {
        return false;
    }
    old_port == new_port || skb.replace_checksum(off, old_port, new_port, mangled | 2)
}

/// As [`replace_checksum`], of IPv6; above the protocol stands whether the hop limit changes.
///
/// Of the sum over all of the packet (`CHECKSUM_COMPLETE`) the helper takes what it adds to the checksum, as if a checksum of the header took
/// up the address, as that of IPv4 does. Nothing does: what changes in the header and what changes in the checksum are the same, and only
/// the hop limit is left, and all of it where there is no checksum.
#[inline(always)]
fn replace_checksum_v6(skb: Skb, what: u32, delta: u32, ports: u32) -> bool {
    let (off, proto, hops) = (what & 0xff, (what >> 8) as u8, what >> 16 != 0);
    let Ok(check) = skb.linear().load(off as usize) else { return false };
    let unused = Checksum::new(u16::from_ne_bytes(check)).is_unused(proto);
    let mangled = if has_zero_rule(proto) { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 };
    let (old_port, new_port) = (ports & 0xffff, ports >> 16);
    let replaced = skb.replace_checksum(off, 0, delta, u64::from(BPF_F_PSEUDO_HDR) | mangled | 4)
        && (old_port == new_port || skb.replace_checksum(off, old_port, new_port, mangled | 2));
    let mut sum = if hops { u64::from(ONE_HOP_SUM) } else { 0 };
    sum = sum.wrapping_add(delta.into());
    if unused {
        sum = sum.wrapping_add((!old_port & 0xffff).into()).wrapping_add(new_port.into());
    }
    skb.add_to_sum(fold32(sum));
    replaced
}
