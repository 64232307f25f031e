//! Applies what was decided: rewrites in place, and the last line of every entry point.

use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1},
    helpers::{bpf_l4_csum_replace, bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer, bpf_skb_change_head},
};
use forwarder_common::{
    icmp_error::{EmbeddedRewrite, OuterRewrite},
    plain::Change,
    rewrite::{Readdress, Rewrite},
    verdict::DropReason,
    wire::{ethernet, ipv4},
};

use crate::{
    checksum,
    skb::{Bytes, Skb},
};

const TCX_NEXT: i32 = -1;
const TC_ACT_SHOT: i32 = 2;
const AF_INET: u32 = 2;

/// What the program does with the packet.
///
/// A struct in which every field is always set: LLVM spills the undefined fields of an enum's other variants, and the verifier
/// rejects the read of a register that was never written.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Action {
    kind: Kind,
    ifindex: u32,
    next_hop: [u8; 4],
}

#[derive(Clone, Copy, PartialEq)]
#[repr(u32)]
enum Kind {
    Next,
    Drop,
    Neighbour,
    Peer,
    Device,
    Performed,
}

impl Action {
    /// On to the next program, and to the kernel.
    pub(crate) const NEXT: Self = Self { kind: Kind::Next, ifindex: 0, next_hop: [0; 4] };
    /// Away with it.
    pub(crate) const DROP: Self = Self { kind: Kind::Drop, ifindex: 0, next_hop: [0; 4] };

    /// Out by an interface to a next hop (network byte order).
    #[inline(always)]
    pub(crate) const fn neighbour(ifindex: u32, next_hop: [u8; 4]) -> Self {
        Self { kind: Kind::Neighbour, ifindex, next_hop }
    }

    /// Into the namespace behind a host end.
    #[inline(always)]
    pub(crate) const fn peer(ifindex: u32) -> Self {
        Self { kind: Kind::Peer, ifindex, next_hop: [0; 4] }
    }

    /// Out by an interface as it is, link-layer header included.
    #[inline(always)]
    pub(crate) const fn device(ifindex: u32) -> Self {
        Self { kind: Kind::Device, ifindex, next_hop: [0; 4] }
    }

    /// Done already: `code` is what the program returns.
    #[inline(always)]
    pub(crate) const fn performed(code: i32) -> Self {
        Self { kind: Kind::Performed, ifindex: code as u32, next_hop: [0; 4] }
    }

    /// The return value of the program.
    #[inline(always)]
    pub(crate) fn perform(self) -> i32 {
        match self.kind {
            Kind::Next => TCX_NEXT,
            Kind::Drop => TC_ACT_SHOT,
            Kind::Performed => self.ifindex as i32,
            Kind::Device => {
                // SAFETY: a helper without pointers.
                (unsafe { bpf_redirect(self.ifindex, 0) }) as i32
            }
            Kind::Peer => {
                // SAFETY: a helper without pointers.
                (unsafe { bpf_redirect_peer(self.ifindex, 0) }) as i32
            }
            Kind::Neighbour => {
                let next_hop = u32::from_ne_bytes(self.next_hop);
                let mut params = bpf_redir_neigh {
                    nh_family: AF_INET,
                    __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 { ipv6_nh: [next_hop, 0, 0, 0] },
                };
                let size = size_of::<bpf_redir_neigh>() as i32;
                // SAFETY: `params` is as long as said and initialised in full.
                (unsafe { bpf_redirect_neigh(self.ifindex, &raw mut params, size, 0) }) as i32
            }
        }
    }
}

/// Applies a translation. `bytes` is stale afterwards.
#[inline(always)]
pub(crate) fn rewrite(skb: Skb, bytes: &Bytes, change: &Rewrite) -> Result<(), DropReason> {
    bytes.store(change.ip_off.wrapping_add(ipv4::field::TTL), [change.ttl])?;
    bytes.store(change.ip_off.wrapping_add(ipv4::field::CHECK), change.ip_check)?;
    bytes.store(change.addr_off, change.new_addr)?;
    bytes.store(change.port_off, change.new_port)?;
    let words = Change {
        old_addr: u32::from_ne_bytes(change.old_addr),
        new_addr: u32::from_ne_bytes(change.new_addr),
        old_port: u16::from_ne_bytes(change.old_port),
        new_port: u16::from_ne_bytes(change.new_port),
    };
    let done = checksum::update(skb, change.check_off, change.proto, &words);
    if done { Ok(()) } else { Err(DropReason::Rewrite) }
}

/// Applies a translation of an address alone. `bytes` is stale afterwards.
#[inline(always)]
pub(crate) fn readdress(skb: Skb, bytes: &Bytes, change: &Readdress) -> Result<(), DropReason> {
    bytes.store(change.ip_off.wrapping_add(ipv4::field::TTL), [change.ttl])?;
    bytes.store(change.ip_off.wrapping_add(ipv4::field::CHECK), change.ip_check)?;
    bytes.store(change.addr_off, change.new_addr)?;
    if change.check_off == 0 {
        return Ok(());
    }
    let (from, to) = (u32::from_ne_bytes(change.old_addr), u32::from_ne_bytes(change.new_addr));
    let flags = u64::from(BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0) | 4;
    // SAFETY: the context is valid; the helper checks the offset.
    match unsafe { bpf_l4_csum_replace(skb.ptr(), change.check_off as u32, from.into(), to.into(), flags) } {
        0 => Ok(()),
        _ => Err(DropReason::Rewrite),
    }
}

/// Applies a translation inside an ICMP error.
#[inline(always)]
pub(crate) fn rewrite_embedded(bytes: &Bytes, change: &EmbeddedRewrite) -> Result<(), DropReason> {
    let EmbeddedRewrite { addr, port, ip_check, l4_check, icmp_check } = *change;
    bytes.store(addr.0, addr.1)?;
    if port.0 != 0 {
        bytes.store(port.0, port.1)?;
    }
    bytes.store(ip_check.0, ip_check.1)?;
    if l4_check.0 != 0 {
        bytes.store(l4_check.0, l4_check.1)?;
    }
    bytes.store(icmp_check.0, icmp_check.1)
}

/// Applies a translation of the header around it.
#[inline(always)]
pub(crate) fn rewrite_outer(bytes: &Bytes, change: &OuterRewrite) -> Result<(), DropReason> {
    let OuterRewrite { addr, ttl, check } = *change;
    bytes.store(addr.0, addr.1)?;
    bytes.store(ttl.0, ttl.1)?;
    bytes.store(check.0, check.1)
}

/// Puts an Ethernet header in front of an IPv4 packet that has none, with these addresses, destination first. Bytes taken
/// before are stale.
#[inline(always)]
pub(crate) fn add_ethernet(skb: Skb, macs: [u32; 3]) -> Result<(), DropReason> {
    // SAFETY: the context is valid; a failure leaves the packet as it is.
    if unsafe { bpf_skb_change_head(skb.ptr(), ethernet::LEN as u32, 0) } != 0 {
        return Err(DropReason::Rewrite);
    }
    let bytes = skb.linear();
    set_macs(&bytes, macs)?;
    bytes.store(ethernet::field::TYPE, ethernet::ethertype::IPV4)
}

/// Addresses the frame to `destination` from `source`, given one after the other.
#[inline(always)]
pub(crate) fn set_macs(bytes: &Bytes, [a, b, c]: [u32; 3]) -> Result<(), DropReason> {
    bytes.store(ethernet::field::DST, a.to_ne_bytes())?;
    bytes.store(ethernet::field::DST.wrapping_add(4), b.to_ne_bytes())?;
    bytes.store(ethernet::field::DST.wrapping_add(8), c.to_ne_bytes())
}
