//! What belongs to a conversation besides its own packets: errors about them, and their fragments.

use std::{
    io::ErrorKind,
    net::{Ipv6Addr, SocketAddr, UdpSocket},
};

use forwarder::testbed::{Namespace, wait_until};

use super::{KERNEL, at, host_with, link, over_each, seen_from};
use crate::{
    fwd::{Fwd, LIMIT, inside, pings6, told},
    peers::udp,
};

/// Three addresses behind a link of the router that carries less than all others.
const FAR: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 2),
    Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 3),
    Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 4),
];

/// Makes what has the addresses [`FAR`], behind a link of 1,300 bytes. It offers segments for 1,500, so that who sends to it has to hear of the link
/// from the router (RFC 8201).
#[track_caller]
fn far_behind_narrow(fwd: &Fwd) -> Namespace {
    let far = Namespace::create(&fwd.name("far")).expect("a namespace");
    let made = format!(
        "ip link add far0 mtu 1300 up type veth peer name eth0 mtu 1300 netns {}
         ip addr add 2001:db8:f::1/64 dev far0 nodad
         sysctl -qw net.ipv6.conf.all.forwarding=1",
        far.name()
    );
    inside(fwd.internet(0), &["sh", "-ec", &made]);
    let addresses: String = FAR.iter().map(|address| format!("ip addr add {address}/64 dev eth0 nodad\n")).collect();
    let route = "ip route replace default via 2001:db8:f::1 advmss 1440";
    inside(&far, &["sh", "-ec", &format!("ip link set eth0 up\n{addresses}{route}")]);
    far
}

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

/// cilium#39505: what a hop says about the size of a packet reaches who has sent it, whatever has translated it.
#[test]
fn packet_too_big_for_a_hop_is_told_to_who_has_sent_it() {
    over_each(|options| {
        let fwd = host_with(1);
        let far = far_behind_narrow(&fwd);
        let pod = fwd.up("c1", options);
        let [pinged, streamed, asked] = FAR;
        assert!(pings6(&pod, pinged), "{options:?}");
        let large = told(&pod, &["-6", "-M", "do", "-s", "1352", &pinged.to_string()]);
        assert!((large.stdout.clone() + &large.stderr).contains("mtu=1300"), "{options:?}: {large:?}");

        assert_eq!(seen_from(&pod, &far, at(streamed, 7070)), [link(&fwd, 0).address; 2], "{options:?}");

        if options == KERNEL {
            // Netfilter of the bridge puts fragments together, and the kernel forgets how large they were.
            fwd.on_host(&["sysctl", "-qw", "net.bridge.bridge-nf-call-ip6tables=0"]);
        }
        // The first is lost for its size, and the next ones leave in fragments.
        let (server, client) = (udp(&far, at(asked, 7000)), udp(&pod, at(Ipv6Addr::UNSPECIFIED, 0)));
        server.set_nonblocking(true).expect("a socket");
        let sent = || {
            client.send_to(&[7; 1_400], at(asked, 7000)).expect("it leaves");
            Ok(server.recv_from(&mut [0; 2_000]).ok().filter(|(length, _)| *length == 1_400))
        };
        wait_until(LIMIT, "a large datagram arrives", sent).unwrap_or_else(|error| panic!("{options:?}: {error}"));
    });
}
