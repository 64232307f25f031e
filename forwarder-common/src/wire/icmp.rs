//! ICMP for IPv4 (RFC 792).

use network_types::icmp::Icmpv4Hdr;

/// Type of an echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Type of "destination unreachable".
pub const UNREACHABLE: u8 = 3;
/// Type of an echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type of "time exceeded".
pub const TIME_EXCEEDED: u8 = 11;
/// Type of "parameter problem".
pub const PARAMETER_PROBLEM: u8 = 12;

/// Type of a timestamp request; one more is the reply.
pub const TIMESTAMP: u8 = 13;
/// Type of an information request (obsolete: RFC 6918); one more is the reply.
pub const INFORMATION: u8 = 15;
/// Type of an address mask request (RFC 950); one more is the reply.
pub const ADDRESS_MASK: u8 = 17;

/// Length of the header, bytes.
pub const LEN: usize = Icmpv4Hdr::LEN;

/// Offsets of the fields, bytes.
pub mod field {
    use core::mem::offset_of;

    use super::Icmpv4Hdr;

    /// Checksum over the whole message.
    pub const CHECK: usize = offset_of!(Icmpv4Hdr, check);
    /// Identifier of an echo or another query.
    pub const ID: usize = offset_of!(Icmpv4Hdr, data);
}

/// Whether messages of this type are errors that a translator translates.
#[inline(always)]
#[must_use]
pub const fn is_error(icmp_type: u8) -> bool {
    matches!(icmp_type, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// Whether an error with this type and code says that nobody speaks the protocol of the packet that it embeds: "protocol unreachable" and
/// "port unreachable", which Linux says of a tunnel that is not there.
#[inline(always)]
#[must_use]
pub const fn is_refusal([icmp_type, code]: [u8; 2]) -> bool {
    icmp_type == UNREACHABLE && matches!(code, 2 | 3)
}

/// Whether messages of this type embed the packet that they are about: errors, and source quench (RFC 6633) and redirects besides.
#[inline(always)]
#[must_use]
pub const fn embeds(icmp_type: u8) -> bool {
    const SOURCE_QUENCH: u8 = 4;
    const REDIRECT: u8 = 5;
    is_error(icmp_type) || matches!(icmp_type, SOURCE_QUENCH | REDIRECT)
}

/// Whether this type is a query with an identifier: those that the kernel's NAT translates too (`valid_new` in
/// net/netfilter/nf_conntrack_proto_icmp.c).
#[inline(always)]
#[must_use]
pub const fn is_request(icmp_type: u8) -> bool {
    matches!(icmp_type, ECHO_REQUEST | TIMESTAMP | INFORMATION | ADDRESS_MASK)
}

/// Whether this type answers such a query.
#[inline(always)]
#[must_use]
pub const fn is_reply(icmp_type: u8) -> bool {
    icmp_type == ECHO_REPLY || icmp_type != ECHO_REQUEST + 1 && is_request(icmp_type.wrapping_sub(1))
}

/// What tells a query and its answer from those with the same identifier: the type of the request, 0 for echo, as for everything that
/// is no query at all.
#[inline(always)]
#[must_use]
pub const fn query(icmp_type: u8) -> u8 {
    if icmp_type < TIMESTAMP { 0 } else { (icmp_type - 1) & !1 | 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_their_answers_belong_together() {
        let requests: std::vec::Vec<u8> = (0..=255).filter(|kind| is_request(*kind)).collect();
        let replies: std::vec::Vec<u8> = (0..=255).filter(|kind| is_reply(*kind)).collect();
        assert_eq!((requests.as_slice(), replies.as_slice()), (&[8, 13, 15, 17][..], &[0, 14, 16, 18][..]));
        for (request, reply) in requests.into_iter().zip(replies) {
            let expected = if request == ECHO_REQUEST { 0 } else { request };
            assert_eq!((query(request), query(reply)), (expected, expected));
        }
        assert_eq!(query(0), 0, "what is no ICMP has no type");
    }
}
