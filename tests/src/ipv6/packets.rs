//! What belongs to a conversation besides its own packets: errors about them, and their fragments.

use std::{
    io::ErrorKind,
    net::{Ipv6Addr, SocketAddr, UdpSocket},
};

use super::{at, host_with, link};
use crate::peers::udp;

/// Sends a datagram of so many bytes and has it answered by as many; from where it came.
#[track_caller]
fn exchanged(client: &UdpSocket, server: &UdpSocket, bytes: usize) -> SocketAddr {
    let (sent, mut buffer) = (vec![7; bytes], vec![0; 65_536]);
    client.send_to(&sent, server.local_addr().expect("a socket")).expect("it leaves");
    let (length, from) = server.recv_from(&mut buffer).expect("it arrives");
    assert_eq!(buffer[..length], sent);
    server.send_to(&sent, from).expect("the answer leaves");
    let (length, answered) = client.recv_from(&mut buffer).expect("the answer arrives");
    assert_eq!((length, answered), (bytes, server.local_addr().expect("a socket")));
    from
}

#[test]
fn both_ends_learn_that_nobody_listens() {
    for datapath in ["tc", "xdp"] {
        let fwd = host_with(1);
        let pod = fwd.up("c1", &["--datapath", datapath]);
        let outside = link(&fwd, 0).outside;
        let by_kernel = fwd.counted("from_ns", "punted", Some("KernelIpv6"));
        let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 0));
        client.connect(at(outside, 7)).expect("a socket");
        client.send(b"question").expect("it leaves");
        let refused = client.recv(&mut [0; 8]).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");

        let server = udp(fwd.internet(0), at(outside, 7000));
        let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 0));
        let from = exchanged(&client, &server, 10);
        server.connect(from).expect("a socket");
        drop(client);
        server.send(b"too late").expect("it leaves");
        let refused = server.recv(&mut [0; 8]).expect_err("nobody listens any more");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");
        assert_eq!(fwd.counted("from_ns", "punted", Some("KernelIpv6")), by_kernel, "nothing was left to the kernel");
    }
}

#[test]
fn large_datagrams_go_in_fragments_behind_the_port_of_small_ones() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &[]);
    let server = udp(fwd.internet(0), at(link(&fwd, 0).outside, 7000));
    let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 0));
    let by_kernel = fwd.counted("from_ns", "punted", Some("KernelIpv6"));
    let from = exchanged(&client, &server, 10);
    for bytes in [1_453, 4_000, 20_000] {
        assert_eq!(exchanged(&client, &server, bytes), from, "{bytes} bytes");
    }
    assert_eq!(fwd.list(&["flows"]).len(), 1);
    assert_eq!(fwd.counted("from_ns", "punted", Some("KernelIpv6")), by_kernel, "nothing was left to the kernel");
}
