//! ICMP for IPv6 (RFC 4443).

use network_types::icmp::Icmpv6Hdr;

use crate::{types::verdict::DropReason, wire::packet::PacketBytes};

/// Number of the protocol.
pub const PROTO: u8 = network_types::ip::IpProto::Ipv6Icmp as u8;

/// Length of the header, bytes.
pub const LEN: usize = Icmpv6Hdr::LEN;

/// Types of messages.
pub mod kind {
    /// "Destination unreachable".
    pub const UNREACHABLE: u8 = 1;
    /// "Packet too big", with the MTU.
    pub const TOO_BIG: u8 = 2;
    /// "Time exceeded".
    pub const TIME_EXCEEDED: u8 = 3;
    /// "Parameter problem".
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// A router asks who listens to groups (MLD: RFC 2710, RFC 3810).
    pub const LISTENER_QUERY: u8 = 130;
    /// Somebody listens to a group.
    pub const LISTENER_REPORT: u8 = 131;
    /// Somebody listens to a group no more.
    pub const LISTENER_DONE: u8 = 132;
    /// The groups that somebody listens to (MLDv2).
    pub const LISTENER_REPORT_V2: u8 = 143;
    /// A router for groups is here (RFC 4286).
    pub const MULTICAST_ROUTER: u8 = 151;
}

/// Offsets of the fields, bytes.
pub mod field {
    use core::mem::offset_of;

    use super::Icmpv6Hdr;

    /// Checksum over the pseudo-header and the whole message.
    pub const CHECK: usize = offset_of!(Icmpv6Hdr, check);
    /// Identifier of an echo, MTU of an error.
    pub const REST: usize = offset_of!(Icmpv6Hdr, data);
}

/// What is read of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum.
    pub check: [u8; 2],
    /// What stands behind the checksum: identifier and sequence number of an echo, the MTU of an error, flags of an advertisement.
    pub rest: [u8; 4],
}

/// Reads the header at `off`, of a packet that ends at `end`. Every message has eight bytes at least.
///
/// # Errors
/// [`DropReason::Truncated`].
#[inline(always)]
pub fn parse<P: PacketBytes>(packet: &P, off: usize, end: usize) -> Result<Header, DropReason> {
    if off.wrapping_add(LEN) > end {
        return Err(DropReason::Truncated);
    }
    let [kind, code, check_high, check_low] = packet.load::<4>(off)?;
    let rest = packet.load::<4>(off.wrapping_add(field::REST))?;
    Ok(Header { kind, code, check: [check_high, check_low], rest })
}

/// Whether messages of this type embed the packet that they are about (RFC 4443 §2.1).
#[inline(always)]
#[must_use]
pub const fn is_error(kind: u8) -> bool {
    kind < 128
}

/// Whether this is an echo or its answer, which have an identifier.
#[inline(always)]
#[must_use]
pub const fn is_echo(kind: u8) -> bool {
    matches!(kind, kind::ECHO_REQUEST | kind::ECHO_REPLY)
}

/// Whether this tells routers who listens to which groups.
#[inline(always)]
#[must_use]
pub const fn is_listener_report(kind: u8) -> bool {
    matches!(kind, kind::LISTENER_REPORT | kind::LISTENER_DONE | kind::LISTENER_REPORT_V2)
}
