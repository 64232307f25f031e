//! Checksums that a sender leaves to a device (`CHECKSUM_PARTIAL`, include/linux/skbuff.h): the packet says from where on to add up, and
//! where the sum goes. Between virtual interfaces such packets are common; a sender with a packet socket chooses both numbers freely
//! (`PACKET_VNET_HDR`), so that a device, or the kernel in its place, would write over what a translation has written.

use crate::{
    decide::address_only::UDP_LITE,
    wire::{
        icmp, icmpv6, ipv4,
        l4::{Proto, field},
    },
};

/// A checksum that a device completes, in bytes from the start of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialChecksum {
    /// Where the sum begins. Negative if that is before the packet.
    pub start: i64,
    /// Where the sum is written, from there on.
    pub offset: u32,
}

/// What that makes of the checksum of the transport header behind the IPv4 header. Full and partial as in VIRTIO: `CHECKSUM_COMPLETE` of
/// the kernel is something else, the sum that a device has computed over all it received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ChecksumState {
    /// That one is full: what is written stands behind the transport header, as in a tunnel.
    Full = 0,
    /// That one is partial: so far it is the sum over the pseudo-header.
    Partial = 1,
    /// Neither: something that is no checksum would be overwritten.
    Misplaced = 2,
}

/// Offset of the checksum in the transport header of `proto`, 0 for those that have none there.
#[inline(always)]
#[must_use]
pub const fn check_field(proto: u8) -> u32 {
    const TCP: u8 = Proto::Tcp as u8;
    const UDP: u8 = Proto::Udp as u8;
    const ICMP: u8 = Proto::Icmp as u8;
    match proto {
        TCP => field::TCP_CHECK as u32,
        UDP | UDP_LITE => field::UDP_CHECK as u32,
        ICMP => icmp::field::CHECK as u32,
        // IPv4 carries none that is translated.
        icmpv6::PROTO => icmpv6::field::CHECK as u32,
        _ => 0,
    }
}

impl PartialChecksum {
    /// The state for a transport header at `l4` that ends at `end`, whose checksum stands `check` bytes behind `l4`; 0 if there is none.
    /// `segmented` says that the packet is to be cut (GSO): then the sum of the outer header of a tunnel is partial as well
    /// (`udp_set_csum` in net/ipv4/udp.c).
    #[inline(always)]
    #[must_use]
    pub const fn state(self, l4: usize, end: usize, check: u32, segmented: bool) -> ChecksumState {
        let Self { start, offset } = self;
        if start == l4 as i64 && check != 0 && offset == check {
            ChecksumState::Partial
        } else if start < end as i64 {
            ChecksumState::Misplaced
        } else if segmented {
            ChecksumState::Partial
        } else {
            ChecksumState::Full
        }
    }

    /// The state for a packet with header `ip`, of which `transport` bytes of transport header are read or written when it is translated:
    /// 0 where there is none, as behind the first fragment, or none that matters.
    #[inline(always)]
    #[must_use]
    pub const fn of(self, ip: &ipv4::Header, transport: usize, segmented: bool) -> ChecksumState {
        let l4 = ip.payload_off();
        let check = if ip.fragment_start() == 0 { check_field(ip.proto) } else { 0 };
        self.state(l4, l4.wrapping_add(transport), check, segmented)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const L4: usize = 34;

    fn state_of(start: i64, offset: u32, proto: Proto, length: usize) -> ChecksumState {
        PartialChecksum { start, offset }.state(L4, L4 + length, check_field(proto as u8), false)
    }

    #[test]
    fn only_the_protocols_own_checksum_is_partial() {
        for (proto, length, check) in [(Proto::Tcp, 32, 16), (Proto::Udp, 8, 6), (Proto::Icmp, 8, 2)] {
            for offset in 0..80 {
                let expected = if offset == check { ChecksumState::Partial } else { ChecksumState::Misplaced };
                assert_eq!(state_of(34, offset, proto, length), expected, "{proto:?} {offset}");
            }
        }
    }

    #[test]
    fn nothing_in_front_of_the_payload_is_overwritten() {
        for start in [-1_000_000, -1, 0, 14, 20, 26, 33, 35, 41] {
            assert_eq!(state_of(start, 6, Proto::Udp, 8), ChecksumState::Misplaced, "{start}");
        }
        assert_eq!(state_of(34 + 31, 6, Proto::Tcp, 32), ChecksumState::Misplaced, "options of TCP are read");
    }

    #[test]
    fn what_is_behind_the_transport_header_leaves_its_sum_whole_unless_it_is_cut() {
        // VXLAN with a UDP checksum: 8 bytes of UDP, 8 of VXLAN, Ethernet, IPv4.
        let inner = PartialChecksum { start: 34 + 8 + 8 + 14 + 20, offset: 16 };
        assert_eq!(inner.state(L4, L4 + 8, 6, false), ChecksumState::Full);
        assert_eq!(inner.state(L4, L4 + 8, 6, true), ChecksumState::Partial);
        assert_eq!(state_of(42, 0, Proto::Udp, 8), ChecksumState::Full);
    }

    #[test]
    fn protocols_without_a_checksum_of_theirs_have_none_to_be_completed() {
        let gre = |start| PartialChecksum { start, offset: 6 }.state(L4, L4, check_field(47), false);
        assert_eq!(
            (gre(34), gre(33), gre(20)),
            (ChecksumState::Full, ChecksumState::Misplaced, ChecksumState::Misplaced)
        );
    }
}
