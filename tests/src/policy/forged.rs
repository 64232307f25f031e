//! Frames by which a neighbour tries to pass the rules of another.

use std::{
    io::ErrorKind,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
};

use forwarder::testbed::{TestbedSpec, wait_until};
use forwarder_common::{
    types::verdict::DropReason,
    wire::{
        emit::{Ethernet, Ipv6Packet, Packet},
        l4::tcp_flag,
    },
};

use crate::{
    fwd::{Fwd, LIMIT, Pod, inside, text},
    ipv6::{address6, link, link_local},
    peers::{ANY, any, asked, at, connect, echo_udp, listen, udp},
    policy::servers,
    raw::{frame, mac_of, send},
};

/// The hardware address that all hear.
const ALL: [u8; 6] = [0xff; 6];

fn dual_stack() -> Fwd {
    Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() })
}

/// Who pretends to go on with a connection that the other had begun is not let in by it.
#[test]
fn segment_of_no_connection_opens_no_port() {
    let fwd = Fwd::new();
    let closed = fwd.up("c1", &["--deny-in", "any"]);
    let open = fwd.up("c2", &[]);
    let server = at(closed.address, 2222);
    let _listener = listen(&closed, any(2222));
    let client = at(open.address, 5555);
    let ack = Packet::tcp(client, server).tcp_flags(tcp_flag::ACK);
    send(&open, "eth0", &[frame(mac_of(&closed, "eth0"), mac_of(&open, "eth0"), &ack)]);
    assert!(connect(&open, client, server).is_err(), "it may not be asked");
    assert!(fwd.counted("from_ns", "dropped", Some("DeniedIn")) > 0);
}

/// Nobody sends a packet for one to a group: whose it is would be asked of the hardware address alone.
#[test]
fn frame_for_all_leads_no_packet_for_one_past_the_rules() {
    let fwd = dual_stack();
    let closed = fwd.up("c1", &["--deny-in", "any"]);
    let open = fwd.up("c2", &[]);
    let [to, from] = [&closed, &open].map(|pod| link_local(pod).parse::<Ipv6Addr>().expect("an address"));
    let socket = udp(&closed, SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 2222, 0, 0));
    socket.set_nonblocking(true).expect("a socket");
    let [from, to] = [SocketAddrV6::new(from, 5555, 0, 0), SocketAddrV6::new(to, 2222, 0, 0)];
    let packet = Ipv6Packet::udp(from, to).payload(b"hello");
    let own = mac_of(&open, "eth0");
    let groups = [ALL, [0x33, 0x33, 0, 0, 0, 1]];
    send(&open, "eth0", &groups.map(|group| packet.in_frame(&Ethernet::new(group, own))));
    assert_eq!(fwd.counted("from_ns", "dropped", Some(DropReason::Martian.name())), 2);
    assert!(socket.recv(&mut [0; 16]).is_err(), "nothing has arrived");
}

/// Where nothing is translated, who may send from other addresses may not send from those of neighbours.
#[test]
fn protocol_without_ports_does_not_leave_in_the_name_of_a_neighbour() {
    let fwd = dual_stack();
    let routed = |role: &str, options: &[&str]| -> Pod {
        fwd.up(role, &[&["--ipv6", "route", "--subnet6", "2001:db8:7::/64"], options].concat())
    };
    let spoofer = routed("c1", &["--allow-spoof"]);
    let quiet = routed("c2", &["--deny-in", "any", "--deny-out", "any"]);
    let seen =
        "table ip6 seen { chain arrived { type filter hook prerouting priority raw; meta l4proto esp counter; }; }";
    inside(fwd.internet(0), &["nft", seen]);
    let esp = Ipv6Packet::other(address6(&quiet), link(&fwd, 0).outside, 50).payload(&[7; 32]);
    let gateway = mac_of(fwd.host(), &text(&spoofer.shown["bridge"]));
    send(&spoofer, "eth0", &[esp.in_frame(&Ethernet::new(gateway, mac_of(&spoofer, "eth0")))]);
    assert_eq!(fwd.counted("from_ns", "dropped", Some("SpoofedSource")), 1);
    assert!(inside(fwd.internet(0), &["nft", "list", "table", "ip6", "seen"]).contains("packets 0 "));
}

/// Whom the rules keep out of a mapped port hears nothing: neither from the namespace nor from the host.
#[test]
fn mapped_port_is_no_way_around_the_rules() {
    let fwd = Fwd::new();
    let [known, stranger] = servers(&fwd, 7000);
    let pod = fwd.up("c1", &["--nat", "eim-eif", "--allow-in", &known.ip().to_string()]);
    let socket = udp(&pod, ANY);
    let echo = echo_udp(udp(fwd.internet(0), known), 1);
    asked(&socket, known, b"hello");
    let mapped: SocketAddr = echo.join().expect("the server")[0];
    let from_stranger = udp(fwd.internet(0), stranger);
    from_stranger.connect(mapped).expect("a socket");
    from_stranger.send(b"let me in").expect("it is sent");
    wait_until(LIMIT, "it is refused", || {
        Ok((fwd.counted("from_uplink", "dropped", Some("DeniedIn")) > 0).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}"));
    from_stranger.set_nonblocking(true).expect("a socket");
    let heard = from_stranger.recv(&mut [0; 16]).expect_err("nothing is said");
    assert_eq!(heard.kind(), ErrorKind::WouldBlock, "not even by the host");
}
