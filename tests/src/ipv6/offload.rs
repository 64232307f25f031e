//! Checksums that a namespace leaves to a device: as those of IPv4, they are written nowhere but where a checksum belongs.

use forwarder_common::wire::emit::{Ethernet, Ipv6Packet};

use super::{
    address6,
    guard::{answer_everybody, leaked},
    host_with, link,
};
use crate::{
    capture::finish_checksums,
    fwd::pings6,
    raw::{self, Open},
};

/// Where the network header is, and how long it is. The kernel takes no sum that begins at less than this many bytes of a frame.
const L3: u16 = 14;
const HEADER: u16 = 40;
const LEAST: u16 = 20;

/// What the kernel forwards is looked at as well: its masquerade comes before the device, which would write over the address.
#[test]
fn no_device_writes_over_an_address_that_the_kernel_has_translated() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &[]);
    answer_everybody(&fwd, 0);
    finish_checksums(fwd.host(), "eth0");
    let (from, to) = (address6(&pod), link(&fwd, 0).outside);
    let ethernet = Ethernet::new(raw::mac_of(fwd.host(), "fwd0"), raw::mac_of(&pod, "eth0"));
    let frame = |proto: u8| Ipv6Packet::other(from, to, proto).payload(&[7; 64]).in_frame(&ethernet);
    let dropped = || fwd.counted("from_ns", "dropped", Some("ChecksumOffload"));
    // GRE, SCTP, and a protocol that nobody knows: twice over the source address, and over the destination.
    let mut frames = Vec::new();
    for proto in [47, 132, 253] {
        for (start, offset) in [(LEAST, 2), (LEAST, 16), (LEAST, 18)] {
            frames.push(Open { start, offset, frame: frame(proto) });
        }
    }
    let expected = frames.len() as u64;
    raw::send_open(&pod, "eth0", &frames);
    // In the payload a device may write: SCTP leaves its checksum to one.
    let sctp = Open { start: L3 + HEADER, offset: 8, frame: frame(132) };
    raw::send_open(&pod, "eth0", &[sctp]);
    assert!(pings6(&pod, to), "what was sent before has passed the uplink");
    assert_eq!(leaked(&fwd, 0), 0, "with a source address that is not the host's");
    assert_eq!(dropped(), expected);
}
