//! Networks without a bridge (`--bridge none`): what its ports would do, programs do. An endpoint reaches its gateway and single neighbours, and
//! nobody by a group.

use crate::{
    abi::{Endpoint, endpoint_flags},
    decide::route::{self, Peer},
    types::verdict::{Code, DropReason, PuntReason},
};

/// Whether an endpoint or a network with these flags is without a bridge.
#[inline(always)]
#[must_use]
pub const fn is_bridgeless(flags: u32) -> bool {
    flags & endpoint_flags::NO_BRIDGE != 0
}

/// What becomes of a frame to the hardware address `to` that an endpoint without a bridge leaves to the kernel with the code `punt`, once what
/// was for the gateway is addressed to the interface of the host with the hardware address `gateway`: nothing but that interface gets it.
#[inline(always)]
#[must_use]
pub fn to_host(to: [u8; 6], gateway: [u8; 6], punt: Code) -> Code {
    if to == gateway && punt != PuntReason::Multicast.into() { punt } else { DropReason::NoBridge.into() }
}

/// Whether the gateway answers `endpoint`, behind the host-side veth `asker`, for the address that the endpoint behind `host_veth` has, in the
/// network `theirs`: without a bridge nobody else hears the question. For the asker's own address nobody answers, or it would take it for another's
/// (RFC 5227 §2.1.1, RFC 4862 §5.4).
#[inline(always)]
#[must_use]
pub fn is_answered(endpoint: &Endpoint, asker: u32, host_veth: u32, theirs: u32) -> bool {
    is_bridgeless(endpoint.flags)
        && asker != host_veth
        && matches!(route::peer(endpoint.network, endpoint.flags, theirs, || false), Peer::Reached)
}

#[cfg(test)]
mod tests {
    use super::{is_answered, to_host};
    use crate::{
        abi::{Endpoint, endpoint_flags},
        decide::route,
        types::verdict::{DropReason, PuntReason},
    };

    const GATEWAY: [u8; 6] = [2, 0x67, 10, 77, 0, 1];

    #[test]
    fn the_host_gets_what_is_for_the_gateway_alone() {
        let (host, group) = (PuntReason::ToHost.into(), PuntReason::Multicast.into());
        assert_eq!(to_host(GATEWAY, GATEWAY, host), host);
        for (to, punt) in [
            ([2, 0, 0, 0, 0, 7], host),
            ([0xff; 6], host),
            ([0x33, 0x33, 0, 0, 0, 1], PuntReason::KernelIpv6.into()),
            ([0x01, 0, 0x5e, 0, 0, 1], group),
            (GATEWAY, group),
        ] {
            assert_eq!(to_host(to, GATEWAY, punt), DropReason::NoBridge.into(), "{to:02x?}");
        }
    }

    #[test]
    fn neighbours_are_answered_for_where_they_are_reached() {
        let endpoint = |flags| Endpoint { network: 3, flags, ..route::tests::endpoint(0) };
        let without = endpoint(endpoint_flags::NO_BRIDGE);
        assert!(is_answered(&without, 10, 11, 3));
        assert!(!is_answered(&without, 10, 10, 3), "its own address is nobody else's");
        assert!(!is_answered(&without, 10, 11, 4), "another network is behind the gateway");
        assert!(!is_answered(&endpoint(endpoint_flags::NO_BRIDGE | endpoint_flags::NO_ICC), 10, 11, 3));
        assert!(!is_answered(&endpoint(0), 10, 11, 3), "the bridge carries the question");
    }
}
