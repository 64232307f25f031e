//! Which way a packet goes through its flow.

/// Which way a packet goes, as seen from the namespace whose flow it belongs to.
///
/// Outbound and inbound as in RFC 4787 and RFC 5382. Not egress and ingress: those name hooks, and what is outbound is met at the
/// ingress of a host-side veth first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Namespace → outside.
    Outbound = 0,
    /// Outside → namespace.
    Inbound = 1,
}

impl Direction {
    /// The direction with this number, where a function takes integers only.
    #[inline(always)]
    #[must_use]
    pub const fn of(number: u32) -> Self {
        if number == Self::Outbound as u32 { Self::Outbound } else { Self::Inbound }
    }

    /// Whether the packet comes from outside.
    #[inline(always)]
    #[must_use]
    pub const fn is_inbound(self) -> bool {
        matches!(self, Self::Inbound)
    }
}
