//! Neighbour discovery (RFC 4861): messages of ICMPv6 and their options.

use crate::{
    types::verdict::DropReason,
    wire::{icmpv6, ipv6, packet::PacketBytes},
};

/// Types of messages.
pub mod kind {
    /// Who is a router?
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// I am a router.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Who has this address?
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    /// I have this address.
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// There is a nearer router.
    pub const REDIRECT: u8 = 137;
}

/// Types of options.
pub mod option {
    /// Hardware address of the sender.
    pub const SOURCE_MAC: u8 = 1;
    /// Hardware address of the target.
    pub const TARGET_MAC: u8 = 2;
}

/// Flags of an advertisement, in the byte behind the checksum.
pub mod flag {
    /// The sender is a router.
    pub const ROUTER: u8 = 0x80;
    /// It answers a solicitation.
    pub const SOLICITED: u8 = 0x40;
    /// It replaces what is known.
    pub const OVERRIDE: u8 = 0x20;
}

/// The hop limit of every message: none has passed a router.
pub const HOP_LIMIT: u8 = 255;

/// Length of an option with a hardware address of Ethernet, bytes.
pub const MAC_OPTION: usize = 8;

/// How many options a message may have: that of an address, a nonce (RFC 7527), what SEND adds (RFC 3971), and prefixes of a router.
pub const MOST_OPTIONS: u32 = 8;

/// Whether this is a message of neighbour discovery.
#[inline(always)]
#[must_use]
pub const fn is_discovery(icmp_kind: u8) -> bool {
    matches!(icmp_kind, kind::ROUTER_SOLICITATION..=kind::REDIRECT)
}

/// Whether only a router sends such a message.
#[inline(always)]
#[must_use]
pub const fn is_of_router(icmp_kind: u8) -> bool {
    matches!(icmp_kind, kind::ROUTER_ADVERTISEMENT | kind::REDIRECT)
}

/// Length of a message without options, bytes (RFC 4861 §4); 0 if it is none of neighbour discovery.
#[inline(always)]
#[must_use]
pub const fn length(icmp_kind: u8) -> usize {
    match icmp_kind {
        kind::ROUTER_SOLICITATION => 8,
        kind::ROUTER_ADVERTISEMENT => 16,
        kind::NEIGHBOUR_SOLICITATION | kind::NEIGHBOUR_ADVERTISEMENT => 24,
        kind::REDIRECT => 40,
        _ => 0,
    }
}

/// What is read of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`]; 0 of other messages than advertisements.
    pub flags: u8,
    /// Whom a neighbour's message or a redirect is about; nobody, of a router's.
    pub target: [u8; 16],
    /// The destination that a redirect redirects; nobody, of others.
    pub destination: [u8; 16],
    /// The options.
    pub options: Options,
}

/// Reads the message at `off`, of a packet that ends at `end`.
///
/// # Errors
/// [`DropReason::IcmpType`] if it is none of neighbour discovery, [`DropReason::Malformed`] if its code is not 0 (RFC 4861 §6.1, §7.1, §8.1),
/// [`DropReason::Truncated`].
#[inline(always)]
pub fn parse<P: PacketBytes>(packet: &P, off: usize, end: usize) -> Result<Message, DropReason> {
    let header = icmpv6::parse(packet, off, end)?;
    let length = length(header.kind);
    if length == 0 {
        return Err(DropReason::IcmpType);
    }
    if header.code != 0 {
        return Err(DropReason::Malformed);
    }
    let options = off.wrapping_add(length);
    if options > end {
        return Err(DropReason::Truncated);
    }
    // The others have no target, and perhaps not as many bytes.
    let target = if length >= 24 { packet.load::<16>(off.wrapping_add(8))? } else { ipv6::UNSPECIFIED };
    let destination = if length == 40 { packet.load::<16>(off.wrapping_add(24))? } else { ipv6::UNSPECIFIED };
    let [first, ..] = header.rest;
    let flags = if header.kind == kind::NEIGHBOUR_ADVERTISEMENT { first } else { 0 };
    Ok(Message { kind: header.kind, flags, target, destination, options: Options { at: options, end } })
}

/// The options that are still to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the next one begins, bytes from the start of the packet.
    pub at: usize,
    /// Where they end.
    pub end: usize,
}

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NdOption {
    /// See [`option`].
    pub kind: u8,
    /// Its length, bytes: a multiple of 8, at least that.
    pub len: usize,
    /// The hardware address in it, if it has one.
    pub mac: [u8; 6],
}

impl Options {
    /// Whether there is none left.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// Reads the next option.
    ///
    /// # Errors
    /// [`DropReason::Malformed`] for a length of zero (RFC 4861 §4.6), or one that goes on behind the end; [`DropReason::Truncated`].
    #[inline(always)]
    pub fn read<P: PacketBytes>(&mut self, packet: &P) -> Result<NdOption, DropReason> {
        if self.at.wrapping_add(MAC_OPTION) > self.end {
            return Err(DropReason::Malformed);
        }
        let [kind, length, m0, m1] = packet.load::<4>(self.at)?;
        let [m2, m3, m4, m5] = packet.load::<4>(self.at.wrapping_add(4))?;
        let len = usize::from(length) << 3;
        self.at = self.at.wrapping_add(len);
        if len == 0 || self.at > self.end {
            return Err(DropReason::Malformed);
        }
        Ok(NdOption { kind, len, mac: [m0, m1, m2, m3, m4, m5] })
    }
}
