//! Applies what was decided: rewrites in place, and the last line of every entry point.

use forwarder_common::{
    decide::{
        address_only::UDP_LITE,
        icmp_error::EmbeddedRewrite,
        offload::ChecksumState,
        rewrite::{AddressRewrite, HeaderRewrite, Rewrite, Side, Ttl},
    },
    types::verdict::{Code, DropReason, Verdict},
    wire::{ethernet, ipv4, l4},
};

use crate::kernel::{
    packet::{bytes::Bytes, checksum, skb::Skb},
    redirect,
};

const TCX_NEXT: i32 = -1;
const TC_ACT_SHOT: i32 = 2;
/// No action of TC: global functions return it for [`Action::GROUP`], so that the verifier need not follow one more way from each of them.
const GROUP: i32 = i32::MIN + 1;

/// What the program does with the packet.
///
/// A struct in which every field is always set: LLVM spills the undefined fields of an enum's other variants, and the verifier
/// rejects the read of a register that was never written.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Action {
    kind: Kind,
    ifindex: u32,
}

#[derive(Clone, Copy, PartialEq)]
#[repr(u32)]
enum Kind {
    Next,
    Drop,
    Peer,
    Device,
    TcAction,
}

impl Action {
    /// On to the next program, and to the kernel.
    pub(crate) const NEXT: Self = Self { kind: Kind::Next, ifindex: 0 };
    /// Drops it.
    pub(crate) const DROP: Self = Self { kind: Kind::Drop, ifindex: 0 };
    /// As [`Self::NEXT`], and a copy to where it passes that is for a group: see [`super::multicast`].
    pub(crate) const GROUP: Self = Self::from_tc_action(GROUP);

    /// Out by an interface to a next hop (see [`FlowShared::next_hop`]). The kernel is told at once, so that the address does not stand
    /// in every action; a later action takes its place.
    ///
    /// [`FlowShared::next_hop`]: forwarder_common::abi::FlowShared::next_hop
    #[inline(always)]
    pub(crate) fn neighbour(ifindex: u32, next_hop: [u32; 4]) -> Self {
        Self::from_tc_action(redirect::neighbour(ifindex, next_hop))
    }

    /// As the verdict with this code says, of a packet that is not sent.
    #[inline(always)]
    pub(crate) const fn unsent(code: Code) -> Self {
        if code.is_drop() { Self::DROP } else { Self::NEXT }
    }

    /// Whether it leaves the packet to the kernel.
    #[inline(always)]
    pub(crate) fn is_next(self) -> bool {
        self.kind == Kind::Next
    }

    /// Whether it drops the packet.
    #[inline(always)]
    pub(crate) fn is_drop(self) -> bool {
        self.kind == Kind::Drop
    }

    /// Into the namespace behind a host-side veth.
    #[inline(always)]
    pub(crate) const fn peer(ifindex: u32) -> Self {
        Self { kind: Kind::Peer, ifindex }
    }

    /// Out by an interface as it is, link-layer header included.
    #[inline(always)]
    pub(crate) const fn device(ifindex: u32) -> Self {
        Self { kind: Kind::Device, ifindex }
    }

    /// What a helper or another function has decided: `code` is an action of TC.
    #[inline(always)]
    pub(crate) const fn from_tc_action(code: i32) -> Self {
        Self { kind: Kind::TcAction, ifindex: code as u32 }
    }

    /// The action of TC (`TC_ACT_*`, include/uapi/linux/pkt_cls.h) that the program returns; helpers that redirect are called here.
    #[inline(always)]
    pub(crate) fn to_tc_action(self) -> i32 {
        match self.kind {
            Kind::Next => TCX_NEXT,
            Kind::Drop => TC_ACT_SHOT,
            Kind::TcAction => self.ifindex as i32,
            Kind::Device => redirect::device(self.ifindex),
            Kind::Peer => redirect::peer(self.ifindex),
        }
    }
}

/// Translates one side of a packet with its IPv4 header at `l3` to `addr` and, where it shows its ports, `port`. Bytes taken before are
/// stale.
#[inline(always)]
pub(crate) fn rewrite(skb: Skb, l3: usize, how: (Side, Ttl), addr: [u8; 4], port: [u8; 2]) -> Result<(), Code> {
    rewrite_masked(skb, l3, how, 0, (addr, port))
}

/// The same, and the identification of a fragment gets a mask: see [`HeaderRewrite::masked`].
#[inline(always)]
pub(crate) fn rewrite_masked(
    skb: Skb,
    l3: usize,
    (side, ttl): (Side, Ttl),
    mask: u16,
    (addr, port): ([u8; 4], [u8; 2]),
) -> Result<(), Code> {
    let source = if matches!(side, Side::Source) { SOURCE } else { 0 };
    let decrement = if matches!(ttl, Ttl::Decrement) { DECREMENT } else { 0 };
    // Asked here: the stack of what is called would not hold it.
    let sum = skb.checksum_state(l3);
    if sum == ChecksumState::Misplaced as u32 {
        return Err(DropReason::ChecksumOffload.into());
    }
    let how = l3 as u32 | source | decrement | sum << SUM | u32::from(mask) << MASK;
    fwd_rewrite(skb, how, u32::from_ne_bytes(addr), u16::from_ne_bytes(port).into())
}

global_fn! {
    /// See [`rewrite_how`].
    fn fwd_rewrite(skb: Skb, how: u32, addr: u32, port: u32) -> Result<(), Code> = rewrite_how;
}

/// Above the offset of the header.
const SOURCE: u32 = 1 << 8;
const DECREMENT: u32 = 1 << 9;
/// How far above [`ChecksumState`] stands, and the mask above that.
const SUM: u32 = 10;
const MASK: u32 = 16;

/// As [`rewrite`].
#[inline(always)]
fn rewrite_how(skb: Skb, how: u32, addr: u32, port: u32) -> Result<(), Code> {
    const REFUSED: Code = Verdict::Dropped(DropReason::Rewrite).code();
    let side = if how & SOURCE != 0 { Side::Source } else { Side::Destination };
    let ttl = if how & DECREMENT != 0 { Ttl::Decrement } else { Ttl::Keep };
    let bytes = skb.linear();
    let Ok(ip) = ipv4::parse(&bytes, (how & 0xf) as usize) else { return Err(REFUSED) };
    let (addr, sum, mask) = (addr.to_ne_bytes(), how >> SUM & 0x3f, (how >> MASK) as u16);
    if !l4::shows_ports(&ip) {
        let mut change = AddressRewrite::new(side, &ip, addr, ttl);
        change.header = change.header.masked(&ip, mask);
        return rewrite_address(skb, &bytes, &change, sum);
    }
    let Ok(l4) = l4::parse_first(&bytes, &ip) else { return Err(REFUSED) };
    let mut change = Rewrite::new(side, &ip, &l4, addr, (port as u16).to_ne_bytes(), ttl);
    change.header = change.header.masked(&ip, mask);
    if write(&bytes, &change).is_err() {
        return Err(REFUSED);
    }
    checksum::update(skb, sum, change.check_off, change.proto, &change.change())
}

#[inline(always)]
fn write(bytes: &Bytes, change: &Rewrite) -> Result<(), DropReason> {
    rewrite_header(bytes, &change.header)?;
    bytes.store(change.port_off, change.new_port)
}

/// Applies a translation of an address alone.
#[inline(always)]
fn rewrite_address(skb: Skb, bytes: &Bytes, change: &AddressRewrite, sum: u32) -> Result<(), Code> {
    if rewrite_header(bytes, &change.header).is_err() {
        return Err(DropReason::Rewrite.into());
    }
    if change.check_off == 0 {
        return Ok(());
    }
    checksum::update(skb, sum, change.check_off, UDP_LITE, &change.change())
}

/// Applies a translation inside an ICMP error.
#[inline(always)]
pub(crate) fn rewrite_embedded(bytes: &Bytes, change: &EmbeddedRewrite) -> Result<(), DropReason> {
    let EmbeddedRewrite { addr, port, id, ip_check, l4_check, icmp_check } = *change;
    bytes.store(addr.0, addr.1)?;
    if port.0 != 0 {
        bytes.store(port.0, port.1)?;
    }
    if id.0 != 0 {
        bytes.store(id.0, id.1)?;
    }
    bytes.store(ip_check.0, ip_check.1)?;
    if l4_check.0 != 0 {
        bytes.store(l4_check.0, l4_check.1)?;
    }
    bytes.store(icmp_check.0, icmp_check.1)
}

/// Applies a translation of an IPv4 header.
#[inline(always)]
pub(crate) fn rewrite_header(bytes: &Bytes, change: &HeaderRewrite) -> Result<(), DropReason> {
    bytes.store(change.off.wrapping_add(ipv4::field::TTL), [change.ttl])?;
    bytes.store(change.off.wrapping_add(ipv4::field::ID), change.id)?;
    bytes.store(change.off.wrapping_add(ipv4::field::CHECK), change.check)?;
    bytes.store(change.addr_off, change.new_addr)
}

/// Puts an Ethernet header in front of an IPv4 packet that has none, with these addresses, destination first. Bytes taken
/// before are stale.
#[inline(always)]
pub(crate) fn add_ethernet(skb: Skb, macs: [u32; 3]) -> Result<(), DropReason> {
    if !skb.add_head(ethernet::LEN as u32) {
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
