//! The transport checksum of a translated packet: computed here where it is known what is in the packet, otherwise by the helper,
//! which costs as much as all the rest.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    helpers::bpf_l4_csum_replace,
};
use forwarder_common::{
    packet::PacketBytes as _,
    plain::{Change, Sums},
    wire::l4::Proto,
};

use crate::skb::{Skb, summed};

/// What [`fwd_update_checksum`] returns where the helper has to do it.
const ASK: u32 = 2;

/// Updates the checksum at `off` for a change of address and port. Bytes taken before are stale. Returns whether it did.
#[inline(always)]
pub(crate) fn update(skb: Skb, off: usize, proto: Proto, change: &Change) -> bool {
    let what = off as u32 | (proto as u32) << 8;
    let Sums { addresses, ports } = change.sums();
    match fwd_update_checksum(skb.ptr(), what, addresses, ports) {
        ASK => by_helper(skb, off, proto, change),
        done => done != 0,
    }
}

/// As [`update`], but by the helper, which knows the packet's own sum too (`CHECKSUM_COMPLETE`), and serves where the kernel does not
/// tell what is in the packet.
#[inline(always)]
pub(crate) fn by_helper(skb: Skb, off: usize, proto: Proto, change: &Change) -> bool {
    let what = off as u32 | (proto as u32) << 8;
    let ports = u32::from(change.old_port) | u32::from(change.new_port) << 16;
    fwd_replace_checksum(skb.ptr(), what, change.old_addr, change.new_addr, ports) != 0
}

/// Adds what a change makes to the checksum at the offset in the low byte of `what`, above which stands the protocol's number.
/// Returns 1 if it did, 0 if it cannot be done, or [`ASK`].
///
/// A global function: the verifier looks at it once, not at each call. It gets sums, which leaves it without a stack.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_update_checksum(skb: *mut __sk_buff, what: u32, addresses: u64, ports: u64) -> u32 {
    let (skb, proto) = (Skb::from_ptr(skb), what >> 8);
    let summed = skb.summed();
    let finished = summed == summed::NONE || summed == summed::UNNECESSARY;
    let icmp = proto == Proto::Icmp as u32;
    if !finished && (icmp || summed != summed::PARTIAL) {
        return ASK;
    }
    let (bytes, off) = (skb.linear(), (what & 0xff) as usize);
    let Ok(check) = bytes.load(off) else { return 0 };
    let check = u16::from_ne_bytes(check);
    // A UDP checksum of zero stays zero, and a computed one is sent as all ones (RFC 768).
    let udp = proto == Proto::Udp as u32;
    if udp && check == 0 {
        return 1;
    }
    // ICMP has no pseudo-header: its checksum does not know the address.
    let sums = Sums { addresses: if icmp { 0 } else { addresses }, ports };
    let updated = if finished { sums.finished(check) } else { sums.unfinished(check) };
    let updated = if udp && updated == 0 { u16::MAX } else { updated };
    bytes.store(off, updated.to_ne_bytes()).is_ok().into()
}

/// As [`fwd_update_checksum`], by the helper, from the addresses and ports themselves: the old port and, above it, the new one.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_replace_checksum(skb: *mut __sk_buff, what: u32, old_addr: u32, new_addr: u32, ports: u32) -> u32 {
    let (off, proto) = (what & 0xff, what >> 8);
    let mangled = if proto == Proto::Udp as u32 { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 };
    let (old_port, new_port) = (ports & 0xffff, ports >> 16);
    // SAFETY: the context is valid; the helper checks the offset.
    unsafe {
        let flags = u64::from(BPF_F_PSEUDO_HDR) | mangled | 4;
        let icmp = proto == Proto::Icmp as u32;
        if !icmp && bpf_l4_csum_replace(skb, off, old_addr.into(), new_addr.into(), flags) != 0 {
            return 0;
        }
        u32::from(bpf_l4_csum_replace(skb, off, old_port.into(), new_port.into(), mangled | 2) == 0)
    }
}
