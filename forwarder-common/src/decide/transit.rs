//! What the host would forward for somebody else, where it forwards only because `fwd` has switched that on.

use crate::{
    abi::OWN_ADDRESSES,
    decide::{
        route::Lookup,
        validate::{is_martian_destination, is_martian_source},
    },
    wire::ipv4::is_multicast_or_broadcast,
};

/// Whether a packet to `addr` is for none of the host's `own` addresses that are known (both network byte order): the others of the host are
/// found by asking for the route.
#[inline(always)]
#[must_use]
pub const fn is_elsewhere(addr: u32, own: &[u32; OWN_ADDRESSES]) -> bool {
    let [first, second, third, fourth] = *own;
    addr != first && addr != second && addr != third && addr != fourth
}

/// Whether the kernel may forward a packet with these addresses at all, if it was sent to this host alone (`ip_route_input_rcu` and `ip_forward`).
#[inline(always)]
#[must_use]
pub fn is_forwardable(source: [u8; 4], destination: [u8; 4]) -> bool {
    !is_martian_source(source) && !is_martian_destination(destination) && !is_multicast_or_broadcast(destination)
}

/// Whether the kernel forwards what this look-up was for.
#[inline(always)]
#[must_use]
pub const fn is_forwarded(lookup: Lookup) -> bool {
    matches!(lookup, Lookup::Resolved | Lookup::NoNeighbour | Lookup::Tunnel)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u32; OWN_ADDRESSES] = [7, 9, 0, 0];

    #[test]
    fn own_addresses_need_no_look_at_the_routes() {
        assert!(!is_elsewhere(7, &OWN) && !is_elsewhere(9, &OWN) && is_elsewhere(8, &OWN));
    }

    #[test]
    fn what_has_a_route_is_forwarded_and_what_is_for_the_host_or_leads_nowhere_is_not() {
        for lookup in [Lookup::Resolved, Lookup::NoNeighbour, Lookup::Tunnel] {
            assert!(is_forwarded(lookup), "{lookup:?}");
        }
        for lookup in [Lookup::NotForwarded, Lookup::Refused, Lookup::Elsewhere] {
            assert!(!is_forwarded(lookup), "{lookup:?}");
        }
    }

    #[test]
    fn groups_broadcasts_and_addresses_of_nobody_have_no_route_to_be_forwarded_by() {
        let stranger = [198, 51, 100, 9];
        assert!(is_forwardable(stranger, [203, 0, 113, 2]));
        for destination in [[224, 0, 0, 251], [255; 4], [127, 0, 0, 1], [0; 4]] {
            assert!(!is_forwardable(stranger, destination), "{destination:?}");
        }
        // A client of DHCP asks from there.
        assert!(!is_forwardable([0; 4], [203, 0, 113, 2]));
    }
}
