//! ICMP for IPv4 (RFC 792).

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

/// Length of the header, bytes.
pub const LEN: usize = 8;

/// Offsets of the fields, bytes.
pub mod field {
    /// Checksum over the whole message.
    pub const CHECK: usize = 2;
    /// Identifier of an echo.
    pub const ID: usize = 4;
}

/// Whether messages of this type embed the packet that they are about.
#[inline(always)]
#[must_use]
pub const fn is_error(icmp_type: u8) -> bool {
    matches!(icmp_type, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM)
}
