//! The records of a thousand endpoints, which are read a few hundred at once.

use forwarder::dataplane::Sizes;
use forwarder_common::abi::Endpoint;

use super::fixture::with_fixture;

const ENDPOINTS: u32 = 1_000;
/// Far from the ifindexes of the fixture.
const FIRST: u32 = 1_000_000;

#[test]
fn a_thousand_endpoints_are_read_once_each_and_in_order() {
    with_fixture(&Sizes::default(), |fixture| {
        let plane = &fixture.dataplane;
        let (_, known) = plane.endpoints().unwrap()[0];
        let of = |number: u32| Endpoint { counters: 4 + number, v4: (0x0a4e_0000 + number).to_be_bytes(), ..known };
        for number in 0..ENDPOINTS {
            plane.put_endpoint(FIRST + number, &of(number)).unwrap();
        }
        let read: Vec<(u32, Endpoint)> =
            plane.endpoints().unwrap().into_iter().filter(|(index, _)| *index >= FIRST).collect();
        let put: Vec<(u32, Endpoint)> = (0..ENDPOINTS).map(|number| (FIRST + number, of(number))).collect();
        assert!(read == put, "{} were read", read.len());
        assert!(plane.endpoint(FIRST + 7).unwrap() == Some(of(7)));
        assert!(plane.endpoint(FIRST + ENDPOINTS).unwrap().is_none());
        // The testbed's records have blocks 1 to 3, these the next thousand.
        assert_eq!(plane.free_counters(1, 1).unwrap(), [4 + ENDPOINTS]);
    });
}
