//! Checksums that a sender leaves to a device (`CHECKSUM_PARTIAL`, include/linux/skbuff.h): the packet says from where on to add up, and
//! where the sum goes. Between virtual interfaces such packets are common; a sender with a packet socket chooses both numbers freely
//! (`PACKET_VNET_HDR`), so that a device, or the kernel in its place, would write over what a translation has written.

use crate::{
    address_only::UDP_LITE,
    wire::{
        icmp, ipv4,
        l4::{Proto, field},
    },
};

/// What a device still has to write, in bytes from the start of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Where the sum begins. Negative if that is before the packet.
    pub start: i64,
    /// Where the sum is written, from there on.
    pub offset: u32,
}

/// What it makes of the checksum of the transport header behind the IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Sum {
    /// That one is whole: what is written stands behind the transport header, as in a tunnel.
    Whole = 0,
    /// That one is to be finished: so far it is the sum over the pseudo-header.
    Open = 1,
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
        _ => 0,
    }
}

impl Pending {
    /// Judges it for a transport header at `l4` that ends at `end`, whose checksum stands `check` bytes behind `l4`; 0 if there is none.
    /// `segmented` says that the packet is to be cut (GSO): then the sum of the outer header of a tunnel is open as well
    /// (`udp_set_csum` in net/ipv4/udp.c).
    #[inline(always)]
    #[must_use]
    pub const fn judge(self, l4: usize, end: usize, check: u32, segmented: bool) -> Sum {
        let Self { start, offset } = self;
        if start == l4 as i64 && check != 0 && offset == check {
            Sum::Open
        } else if start < end as i64 {
            Sum::Misplaced
        } else if segmented {
            Sum::Open
        } else {
            Sum::Whole
        }
    }

    /// Judges it for a packet with header `ip`, of which `transport` bytes of transport header are read or written when it is translated:
    /// 0 where there is none, as behind the first fragment, or none that matters.
    #[inline(always)]
    #[must_use]
    pub const fn of(self, ip: &ipv4::Header, transport: usize, segmented: bool) -> Sum {
        let l4 = ip.payload_off();
        let check = if ip.fragment_start() == 0 { check_field(ip.proto) } else { 0 };
        self.judge(l4, l4.wrapping_add(transport), check, segmented)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const L4: usize = 34;

    fn judged(start: i64, offset: u32, proto: Proto, length: usize) -> Sum {
        Pending { start, offset }.judge(L4, L4 + length, check_field(proto as u8), false)
    }

    #[test]
    fn only_the_protocols_own_checksum_is_open() {
        for (proto, length, check) in [(Proto::Tcp, 32, 16), (Proto::Udp, 8, 6), (Proto::Icmp, 8, 2)] {
            for offset in 0..80 {
                let expected = if offset == check { Sum::Open } else { Sum::Misplaced };
                assert_eq!(judged(34, offset, proto, length), expected, "{proto:?} {offset}");
            }
        }
    }

    #[test]
    fn nothing_in_front_of_the_payload_is_overwritten() {
        for start in [-1_000_000, -1, 0, 14, 20, 26, 33, 35, 41] {
            assert_eq!(judged(start, 6, Proto::Udp, 8), Sum::Misplaced, "{start}");
        }
        assert_eq!(judged(34 + 31, 6, Proto::Tcp, 32), Sum::Misplaced, "options of TCP are read");
    }

    #[test]
    fn what_is_behind_the_transport_header_leaves_its_sum_whole_unless_it_is_cut() {
        // VXLAN with a UDP checksum: 8 bytes of UDP, 8 of VXLAN, Ethernet, IPv4.
        let inner = Pending { start: 34 + 8 + 8 + 14 + 20, offset: 16 };
        assert_eq!(inner.judge(L4, L4 + 8, 6, false), Sum::Whole);
        assert_eq!(inner.judge(L4, L4 + 8, 6, true), Sum::Open);
        assert_eq!(judged(42, 0, Proto::Udp, 8), Sum::Whole);
    }

    #[test]
    fn protocols_without_a_checksum_of_theirs_have_none_to_be_finished() {
        let gre = |start| Pending { start, offset: 6 }.judge(L4, L4, check_field(47), false);
        assert_eq!((gre(34), gre(33), gre(20)), (Sum::Whole, Sum::Misplaced, Sum::Misplaced));
    }
}
