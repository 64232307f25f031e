//! The transport checksum of a translated packet: computed here where it is known what is in the packet, otherwise by the helper,
//! which costs as much as all the rest.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    helpers::bpf_l4_csum_replace,
};
use forwarder_common::{
    decide::offload::ChecksumState,
    types::{
        checksum::{Change, Checksum, has_zero_rule},
        verdict::DropReason,
    },
    wire::{l4::Proto, packet::PacketBytes as _},
};

use crate::kernel::packet::skb::{Skb, ip_summed};

/// Updates the checksum at `off` for a change of address and port, in a packet of protocol `proto`. `sum` is what [`Skb::checksum_state`]
/// says of it. Bytes taken before are stale. Returns 0, or the code of the reason for which it cannot be done.
#[inline(always)]
pub(crate) fn update(skb: Skb, sum: u32, off: usize, proto: u8, change: &Change) -> u32 {
    let what = off as u32 | (proto as u32) << 8 | sum << 16;
    let ports = u32::from(change.old_port) | u32::from(change.new_port) << 16;
    fwd_update_checksum(skb.ptr(), what, change.old_addr, change.new_addr, ports)
}

const REFUSED: u32 = DropReason::Rewrite as u32;

/// As [`update`], but by the helper, which knows the packet's own sum too (`CHECKSUM_COMPLETE`), and serves where the kernel does not
/// tell what is in the packet. The headers are writable and there, so it cannot fail.
#[inline(always)]
pub(crate) fn by_helper(skb: Skb, off: usize, proto: u8, change: &Change) {
    let what = off as u32 | (proto as u32) << 8;
    let ports = u32::from(change.old_port) | u32::from(change.new_port) << 16;
    fwd_replace_checksum(skb.ptr(), what, change.old_addr, change.new_addr, ports);
}

/// Changes the checksum at the offset in the low byte of `what`, above which stand the protocol's number and [`ChecksumState`], from one
/// address to another, and from the port in the low half of `ports` to the one above. Returns 0, or the code of the reason for which it
/// cannot be done.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_update_checksum(skb: *mut __sk_buff, what: u32, old_addr: u32, new_addr: u32, ports: u32) -> u32 {
    let (skb, proto) = (Skb::from_ptr(skb), what >> 8 & 0xff);
    let icmp = proto == Proto::Icmp as u32;
    let full = match skb.ip_summed() {
        ip_summed::NONE | ip_summed::UNNECESSARY => true,
        ip_summed::PARTIAL if what >> 16 == ChecksumState::Full as u32 => true,
        // Without a pseudo-header there is nothing to be added to yet.
        ip_summed::PARTIAL if icmp => return 0,
        ip_summed::PARTIAL => false,
        _ => {
            return if fwd_replace_checksum(skb.ptr(), what & 0xffff, old_addr, new_addr, ports) == 0 {
                REFUSED
            } else {
                0
            };
        }
    };
    let (bytes, off) = (skb.linear(), (what & 0xff) as usize);
    let Ok(check) = bytes.load(off) else { return REFUSED };
    let (check, proto) = (Checksum::new(u16::from_ne_bytes(check)), proto as u8);
    let change = Change { old_addr, new_addr, old_port: ports as u16, new_port: (ports >> 16) as u16 };
    let updated = if full { check.after(&change, proto) } else { check.partial_after(&change, proto) };
    if bytes.store(off, updated.raw().to_ne_bytes()).is_ok() { 0 } else { REFUSED }
}

/// As [`fwd_update_checksum`], by the helper. Returns 0 if it cannot be done.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_replace_checksum(skb: *mut __sk_buff, what: u32, old_addr: u32, new_addr: u32, ports: u32) -> u32 {
    let (off, proto) = (what & 0xff, what >> 8);
    let mangled = if has_zero_rule(proto as u8) { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 };
    let (old_port, new_port) = (ports & 0xffff, ports >> 16);
    // SAFETY: the context is valid; the helper checks the offset.
    unsafe {
        let flags = u64::from(BPF_F_PSEUDO_HDR) | mangled | 4;
        let icmp = proto == Proto::Icmp as u32;
        if !icmp && bpf_l4_csum_replace(skb, off, old_addr.into(), new_addr.into(), flags) != 0 {
            return 0;
        }
        let done =
            old_port == new_port || bpf_l4_csum_replace(skb, off, old_port.into(), new_port.into(), mangled | 2) == 0;
        done.into()
    }
}
