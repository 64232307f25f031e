//! What becomes of a packet whose flow is known: sent, or left to the kernel.

use crate::{
    abi::uplink_flags,
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason},
    },
};

/// What is asked of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Whether no router may forward it any further.
    pub ttl_expires: bool,
    /// What an MTU is compared with, bytes.
    pub size: u32,
}

/// Where its flow goes in its direction.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The interface to send by, 0 for the host itself.
    pub out_if: u32,
    /// Its MTU, bytes.
    pub mtu: u32,
}

/// What becomes of a packet that leaves a namespace, or arrives by an uplink: [`Code::FORWARDED`] or [`Code::DELIVERED`], or the code of a
/// punt, where it is for the host itself, or the kernel has to answer.
#[inline(always)]
#[must_use]
pub fn send(direction: Direction, packet: Packet, target: Target) -> Code {
    if target.out_if == 0 {
        PuntReason::HostFlow.into()
    } else if packet.ttl_expires {
        PuntReason::TtlExceeded.into()
    } else if packet.size > target.mtu {
        PuntReason::TooBig.into()
    } else if direction.is_inbound() {
        Code::DELIVERED
    } else {
        Code::FORWARDED
    }
}

/// What becomes of a packet that the kernel has forwarded, or of one of the host itself (`is_host`), on its way out by interface `here`;
/// its flow leaves by `out_if`. The kernel sends it: it is translated, or dropped.
#[inline(always)]
#[must_use]
pub fn depart(here: u32, out_if: u32, is_host: impl FnOnce() -> bool) -> Code {
    if out_if != here {
        DropReason::RouteNotViaUplink.into()
    } else if is_host() {
        PuntReason::HostFlow.into()
    } else {
        PuntReason::Translated.into()
    }
}

/// Whether the reply of a flow that leaves by an uplink with the flags `leaves` may come in by another one, with the flags `arrives`.
///
/// As for the host's own conversations, that is for the source check of the interface where it arrives to say, which there is of IPv4 alone. But
/// what was sent by a tunnel is answered through it: from elsewhere come only forgeries, by whoever shares a link with the host and knows, or
/// tries, its address inside the tunnel (CVE-2019-14899).
#[inline(always)]
#[must_use]
pub const fn may_arrive(leaves: u32, arrives: u32, is_ipv6: bool) -> bool {
    leaves & uplink_flags::TUNNEL == 0 && (is_ipv6 || arrives & uplink_flags::STRICT == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_packet_is_sent_only_where_it_fits_and_may_go_on(
            inbound: bool,
            ttl_expires: bool,
            size in 0_u32..70_000,
            out_if in 0_u32..3,
            mtu in 0_u32..70_000,
        ) {
            let direction = Direction::of(inbound.into());
            let code = send(direction, Packet { ttl_expires, size }, Target { out_if, mtu });
            let sent = if inbound { Code::DELIVERED } else { Code::FORWARDED };
            prop_assert_eq!(code == sent, out_if != 0 && !ttl_expires && size <= mtu);
            prop_assert!(code == sent || code.is_punt(), "nothing of a flow is thrown away here");
        }

        #[test]
        fn what_the_kernel_sends_leaves_by_the_interface_of_its_flow(here in 1_u32..4, out_if in 1_u32..4, is_host: bool) {
            let code = depart(here, out_if, || is_host);
            prop_assert_eq!(code.is_drop(), here != out_if);
            prop_assert!(code.is_drop() || code.is_punt());
        }
    }

    #[test]
    fn what_is_for_the_host_is_never_answered_instead() {
        let packet = Packet { ttl_expires: true, size: 9000 };
        let target = Target { out_if: 0, mtu: 1500 };
        assert_eq!(send(Direction::Inbound, packet, target), PuntReason::HostFlow.into());
    }

    #[test]
    fn replies_take_another_way_only_where_the_host_takes_them_and_never_past_a_tunnel() {
        let (strict, tunnel) = (uplink_flags::STRICT, uplink_flags::TUNNEL);
        for is_ipv6 in [false, true] {
            assert!(may_arrive(0, 0, is_ipv6) && may_arrive(strict, 0, is_ipv6) && may_arrive(0, tunnel, is_ipv6));
            for (leaves, arrives) in [(tunnel, 0), (tunnel, tunnel), (tunnel, strict)] {
                assert!(!may_arrive(leaves, arrives, is_ipv6), "{leaves} {arrives}");
            }
            for leaves in [0, strict] {
                assert_eq!(may_arrive(leaves, strict, is_ipv6), is_ipv6, "IPv6 has no source check");
            }
        }
    }
}
