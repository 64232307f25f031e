//! Packets from outside that begin a flow: to a published port, or where a network lets anyone write to its mapped ports (RFC 4787 REQ-8).

pub mod publish;

use crate::{
    abi::{Endpoint, Internal, Tuple, endpoint_flags},
    decide::route::bound_to,
    wire::l4::{Proto, tcp_flag},
};

/// Whether a packet of `proto` may begin a flow: TCP by a SYN only.
#[inline(always)]
#[must_use]
pub const fn may_begin(proto: u8, tcp_flags: u8) -> bool {
    let opens = tcp_flags & (tcp_flag::SYN | tcp_flag::ACK | tcp_flag::RST) == tcp_flag::SYN;
    proto == Proto::Udp as u8 || proto == Proto::Tcp as u8 && opens
}

/// Whether a packet to a published port of an endpoint may come in by the uplink `ifindex`: by any where the network follows the host's
/// routes, otherwise by the one to which it is bound.
#[inline(always)]
#[must_use]
pub const fn may_come_by(ifindex: u32, endpoint: &Endpoint) -> bool {
    let only = bound_to(endpoint);
    endpoint.uplink != 0 && (only == 0 || only == ifindex)
}

/// Whether the mapping of `internal`, whose endpoint has these flags, lets in whoever comes by interface `ifindex`.
#[inline(always)]
#[must_use]
pub const fn is_open(flags: u32, internal: &Internal, ifindex: u32) -> bool {
    flags & endpoint_flags::NAT_EIF != 0 && internal.uplink == ifindex
}

/// The tuple that the flow would have had if `internal` had begun it, to whom a packet with `tuple` has come.
#[inline(always)]
#[must_use]
pub const fn outbound(tuple: &Tuple, internal: &Internal) -> Tuple {
    Tuple {
        saddr: internal.addr,
        daddr: tuple.saddr,
        sport: internal.port,
        dport: tuple.sport,
        ifindex: internal.endpoint,
        proto: tuple.proto,
        query: tuple.query,
        family: tuple.family,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::outbound_reply;

    const TCP: u8 = Proto::Tcp as u8;
    const UDP: u8 = Proto::Udp as u8;

    fn internal() -> Internal {
        Internal {
            addr: [10, 77, 0, 2],
            nat_addr: [198, 51, 100, 7],
            endpoint: 5,
            uplink: 3,
            port: [0x13, 0x88],
            proto: UDP,
            _pad: 0,
        }
    }

    #[test]
    fn tcp_begins_with_a_syn_alone() {
        for flags in 0..=u8::MAX {
            let opens = flags & tcp_flag::SYN != 0 && flags & (tcp_flag::ACK | tcp_flag::RST) == 0;
            assert_eq!(may_begin(TCP, flags), opens, "{flags:#x}");
            assert!(may_begin(UDP, flags) && !may_begin(Proto::Icmp as u8, flags));
        }
    }

    #[test]
    fn a_mapping_is_open_by_its_uplink_where_the_network_wants_it() {
        assert!(is_open(endpoint_flags::NAT_EIM | endpoint_flags::NAT_EIF, &internal(), 3));
        assert!(!is_open(endpoint_flags::NAT_EIM, &internal(), 3));
        assert!(!is_open(endpoint_flags::NAT_EIF, &internal(), 4));
    }

    #[test]
    fn published_ports_are_reached_by_every_uplink_but_where_the_network_is_bound() {
        let endpoint = |uplink, flags| Endpoint { uplink, ..crate::decide::route::tests::endpoint(flags) };
        assert!(may_come_by(7, &endpoint(7, 0)) && may_come_by(8, &endpoint(7, 0)));
        let bound = endpoint(7, endpoint_flags::UPLINK_BOUND);
        assert!(may_come_by(7, &bound) && !may_come_by(8, &bound));
        assert!(!may_come_by(7, &endpoint(0, endpoint_flags::INTERNAL)));
    }

    #[test]
    fn the_reply_of_the_flow_is_the_packet_that_came() {
        let came = Tuple {
            saddr: [192, 0, 2, 1],
            daddr: [198, 51, 100, 7],
            sport: [0, 53],
            dport: [0x20, 0],
            ifindex: 3,
            proto: UDP,
            query: 0,
            family: 0,
        };
        let out = outbound(&came, &internal());
        assert_eq!(outbound_reply(&out, 3, internal().nat_addr, came.dport), came);
    }
}
