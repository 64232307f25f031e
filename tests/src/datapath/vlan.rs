//! Frames with a VLAN tag in their data: raw sockets send such. What the kernel keeps beside the data is seen in `crate::vlan`.

use std::net::{Ipv4Addr, SocketAddrV4};

use forwarder::dataplane::Sizes;
use forwarder_common::wire::{emit::Ethernet, ethernet::ethertype, l4::Proto};

use super::{
    fixture::{ADDRESS, with_fixture},
    frame::{ETHERNET, Frame},
};

const NEXT: i32 = -1;
const DROP: i32 = 2;
/// A tag: its type and its number.
type Tag = ([u8; 2], u16);
const TAG: Tag = (ethertype::VLAN, 5);
const SERVICE_TAG: Tag = (ethertype::SERVICE_VLAN, 7);

/// A frame from `source` with these tags.
fn tagged(source: Ipv4Addr, tags: &[Tag]) -> Vec<u8> {
    let remote = SocketAddrV4::new([203, 0, 113, 1].into(), 53);
    let frame = Frame::new(Proto::Udp, SocketAddrV4::new(source, 40_000), remote);
    let ethernet = tags.iter().fold(ETHERNET, |ethernet, (kind, number)| ethernet.tagged(*kind, *number));
    frame.packet().in_frame(&ethernet)
}

#[test]
fn tagged_frames_of_a_namespace_are_dropped() {
    with_fixture(&Sizes::default(), |fixture| {
        for (number, tags) in (1..).zip([&[TAG][..], &[SERVICE_TAG], &[SERVICE_TAG, TAG]]) {
            assert_eq!(fixture.run_from_ns(&tagged(ADDRESS, tags)).verdict, DROP, "{tags:?}");
            assert_eq!(fixture.counted("Vlan"), number, "{tags:?}");
        }
        assert!(fixture.dataplane.flows().unwrap().is_empty());
    });
}

#[test]
fn tagged_frames_leave_by_an_uplink_unless_an_endpoint_is_their_source() {
    with_fixture(&Sizes::default(), |fixture| {
        let run = |frame: &[u8]| fixture.run_to_uplink(0, frame);
        for (number, tags) in (1..).zip([&[TAG][..], &[SERVICE_TAG], &[SERVICE_TAG, TAG]]) {
            assert_eq!(run(&tagged(ADDRESS, tags)).verdict, DROP, "{tags:?}");
            assert_eq!(fixture.counted("Untranslated"), number, "{tags:?}");
            let others = tagged(fixture.nat, tags);
            let left = run(&others);
            assert_eq!((left.verdict, left.packet), (NEXT, others), "{tags:?}");
        }
        let arp = Ethernet::new([0xff; 6], [0xff; 6]).tagged(TAG.0, TAG.1).around(ethertype::ARP, &[0; 46]);
        assert_eq!(run(&arp).verdict, NEXT);
    });
}

#[test]
fn tagged_frames_that_arrive_are_left_alone() {
    with_fixture(&Sizes::default(), |fixture| {
        let frame = tagged(fixture.outside, &[TAG]);
        let run = fixture.run_from_uplink(&frame);
        assert_eq!((run.verdict, run.packet), (NEXT, frame));
    });
}

#[test]
fn priority_tags_hide_no_address_of_a_network() {
    const PRIORITY: Tag = (ethertype::VLAN, 0);
    const SERVICE_PRIORITY: Tag = (ethertype::SERVICE_VLAN, 0xe000);
    with_fixture(&Sizes::default(), |fixture| {
        let to = |source: Ipv4Addr, destination: Ipv4Addr, tags: &[Tag]| {
            let ends = [source, destination].map(|address| SocketAddrV4::new(address, 4000));
            let ethernet = tags.iter().fold(ETHERNET, |ethernet, (kind, number)| ethernet.tagged(*kind, *number));
            fixture.run_from_uplink(&Frame::new(Proto::Udp, ends[0], ends[1]).packet().in_frame(&ethernet)).verdict
        };
        let nobody = Ipv4Addr::new(10, 77, 0, 9);
        for tags in [&[PRIORITY][..], &[PRIORITY, SERVICE_PRIORITY], &[SERVICE_PRIORITY, PRIORITY, PRIORITY, PRIORITY]]
        {
            let before = (fixture.counted("Martian"), fixture.counted("DirectToEndpoint"));
            assert_eq!((to(nobody, fixture.nat, tags), to(fixture.outside, ADDRESS, tags)), (DROP, DROP), "{tags:?}");
            let after = (fixture.counted("Martian"), fixture.counted("DirectToEndpoint"));
            assert_eq!(after, (before.0 + 1, before.1 + 1), "{tags:?}");
            assert_eq!(to(fixture.outside, fixture.nat, tags), NEXT, "the host's own: {tags:?}");
            let vlan = [tags, &[TAG]].concat();
            assert_eq!(to(nobody, ADDRESS, &vlan), NEXT, "of a VLAN: {vlan:?}");
        }
        assert_eq!((to(fixture.outside, fixture.nat, &[PRIORITY; 6]), fixture.counted("Vlan")), (DROP, 1));
    });
}
