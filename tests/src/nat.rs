//! Ports are shared without harm: between namespaces, between networks, and with the host's own sockets.

use std::{
    net::{IpAddr, SocketAddr, SocketAddrV4, TcpStream},
    os::fd::AsRawFd as _,
    thread::JoinHandle,
};

use forwarder::netns::Netns;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};

use super::fwd::{Fwd, Pod, inside, pings, told};
use crate::peers::{
    ANY, any, asked, at, connect, connect_here, echo_tcp, echo_udp, echoed, listen, raise_file_limit, udp,
};

/// A port of the NAT range.
pub(crate) const PORT: u16 = 20_000;
/// A port for which a socket needs a privilege.
const PRIVILEGED: u16 = 700;

/// An echo server outside that lives on until the testbed goes.
pub(crate) fn echo(fwd: &Fwd, port: u16) -> SocketAddrV4 {
    let server = at(fwd.uplink(0).outside[0], port);
    // It ends with its patience.
    drop(std::thread::spawn({
        let socket = udp(fwd.internet(0), server);
        move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if socket.send_to(&buffer[..length], from).is_err() {
                    return;
                }
            }
        }
    }));
    server
}

/// Sockets of both with the same source port talk to the same server, in turns.
#[track_caller]
pub(crate) fn assert_both_talk(server: SocketAddrV4, one: (&Netns, SocketAddrV4), two: (&Netns, SocketAddrV4)) {
    let first = udp(one.0, one.1);
    asked(&first, server, b"first");
    let second = udp(two.0, two.1);
    asked(&second, server, b"second");
    for _ in 0..3 {
        asked(&first, server, b"first again");
        asked(&second, server, b"second again");
    }
}

#[test]
fn same_source_port_from_two_namespaces_of_a_network() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let server = echo(&fwd, 7000);
    assert_both_talk(server, (&one, any(PORT)), (&two, any(PORT)));
    // Outside of the NAT range, too.
    assert_both_talk(server, (&one, any(40_000)), (&two, any(40_000)));
    let mut outside: Vec<_> = fwd.list(&["flows"]).iter().map(|flow| flow["nat_port"].as_u64()).collect();
    assert_eq!(outside.len(), 4);
    outside.sort_unstable();
    outside.dedup();
    assert_eq!(outside.len(), 4, "each flow has a port of its own");
}

#[test]
fn same_source_port_from_two_networks_on_one_uplink() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &["--network", "other"]));
    assert_ne!(one.gateway, two.gateway);
    let server = echo(&fwd, 7000);
    assert_both_talk(server, (&one, any(PORT)), (&two, any(PORT)));
}

/// Accepts one connection for each of `clients`, all open at once, and has each echo its own bytes.
#[track_caller]
pub(crate) fn assert_connected(fwd: &Fwd, port: u16, clients: &[(&Netns, SocketAddrV4)]) -> Vec<SocketAddr> {
    use std::io::{Read as _, Write as _};
    let server = at(fwd.uplink(0).outside[0], port);
    let listener = listen(fwd.internet(0), server);
    let mut pairs: Vec<(TcpStream, TcpStream, SocketAddr)> = Vec::new();
    for (ns, local) in clients {
        let client = connect(ns, *local, server).unwrap_or_else(|error| panic!("from {local}: {error}"));
        let (accepted, from) = listener.accept().expect("a client comes");
        pairs.push((client, accepted, from));
    }
    for (number, (client, accepted, _)) in (0_u8..).zip(&mut pairs) {
        let mut got = [0; 4];
        client.write_all(&[number; 4]).expect("it leaves");
        accepted.read_exact(&mut got).expect("it arrives");
        assert_eq!(got, [number; 4]);
        accepted.write_all(&[number | 0x80; 4]).expect("it leaves");
        client.read_exact(&mut got).expect("it arrives");
        assert_eq!(got, [number | 0x80; 4], "somebody else's answer");
    }
    pairs.into_iter().map(|(_, _, from)| from).collect()
}

#[test]
fn same_source_port_over_tcp() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &["--network", "other"]));
    let third = fwd.up("c3", &[]);
    let seen = assert_connected(&fwd, 9000, &[(&one, any(PORT)), (&two, any(PORT)), (&third, any(PORT))]);
    assert!(seen.iter().all(|from| from.ip() == IpAddr::from(fwd.uplink(0).address)), "{seen:?}");
}

#[test]
fn host_that_came_first_keeps_its_port() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = echo(&fwd, 7000);
    assert_both_talk(server, (fwd.host(), at(fwd.uplink(0).address, PORT)), (&pod, any(PORT)));
    assert_both_talk(server, (fwd.host(), any(PORT + 1)), (&pod, any(PORT + 1)));
    let host = (&**fwd.host(), at(fwd.uplink(0).address, PORT + 2));
    let seen = assert_connected(&fwd, 9000, &[host, (&pod, any(PORT + 2))]);
    assert_eq!(seen[0].port(), PORT + 2, "the host's own connection is not translated");
}

/// A look-up for sockets at the namespace's interface does not find those that are bound to the uplink.
#[test]
fn host_socket_bound_to_the_uplink_keeps_its_port() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = echo(&fwd, 7000);
    let host = udp(fwd.host(), any(PORT));
    setsockopt(&host, sockopt::BindToDevice, &"eth0".into()).expect("it is bound");
    asked(&host, server, b"host");
    let client = udp(&pod, any(PORT));
    for _ in 0..3 {
        asked(&client, server, b"inside");
        asked(&host, server, b"host again");
    }
    let flows = fwd.list(&["flows", "--ns", &pod.name]);
    assert!(flows.iter().all(|flow| flow["nat_port"] != PORT), "{flows:#?}");

    let outside = at(fwd.uplink(0).outside[0], 9000);
    let listener = listen(fwd.internet(0), outside);
    let clients = std::thread::spawn(move || {
        let accept = |_| listener.accept().expect("a client comes").1.port();
        [0, 1].map(accept)
    });
    let bound = fwd.host().run(|| {
        let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        setsockopt(&fd, sockopt::BindToDevice, &"eth0".into()).expect("it is bound");
        bind(fd.as_raw_fd(), &SockaddrIn::from(any(PORT + 1))).expect("the port is free");
        nix::sys::socket::connect(fd.as_raw_fd(), &SockaddrIn::from(outside)).expect("it connects");
        Ok(fd)
    });
    let inside = connect(&pod, any(PORT + 1), outside).expect("it connects");
    let ports = clients.join().expect("the server");
    assert_eq!(ports[0], PORT + 1, "the host's own connection is not translated");
    assert_ne!(ports[1], PORT + 1);
    drop((bound, inside));
}

#[test]
fn host_that_came_later_is_served_all_the_same() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = echo(&fwd, 7000);
    assert_both_talk(server, (&pod, any(PORT)), (fwd.host(), at(fwd.uplink(0).address, PORT)));
    assert_both_talk(server, (&pod, any(PORT + 1)), (fwd.host(), any(PORT + 1)));
    assert_connected(&fwd, 9000, &[(&pod, any(PORT + 2)), (fwd.host(), at(fwd.uplink(0).address, PORT + 2))]);
}

/// Connects `count` times, all open at once, and has each connection echo bytes of its own.
fn connect_many(ns: &Netns, server: SocketAddrV4, name: u8, count: u16) -> Vec<TcpStream> {
    ns.run(|| {
        let mut streams = Vec::new();
        for number in 0..count {
            let stream =
                connect_here(ANY, server).unwrap_or_else(|error| panic!("{name}: connection {number}: {error}"));
            let [high, low] = number.to_be_bytes();
            echoed(&stream, &[name, high, low]);
            streams.push(stream);
        }
        Ok(streams)
    })
    .expect("it runs")
}

/// Echoes on every connection, all at once, until the listener's thread is dropped with the test.
fn echo_all(listener: std::net::TcpListener, count: usize) {
    drop(std::thread::spawn(move || {
        let mut open = Vec::new();
        for _ in 0..count {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut message = [0; 3];
            if std::io::Read::read_exact(&mut stream, &mut message).is_ok() {
                // A client that fails tells why.
                drop(std::io::Write::write_all(&mut stream, &message));
            }
            open.push(stream);
        }
    }));
}

#[test]
fn all_ports_may_be_the_nats_without_harm_to_connects_of_the_host() {
    const EACH: u16 = 600;
    raise_file_limit();
    let fwd = Fwd::new();
    let pods = ["c1", "c2"].map(|role| fwd.up(role, &["--nat-ports", "1024-65535"]));
    let reserved = fwd.on_host(&["sysctl", "-n", "net.ipv4.ip_local_reserved_ports"]);
    assert_eq!(reserved.trim(), "", "nothing is reserved");
    let server = at(fwd.uplink(0).outside[0], 9000);
    echo_all(listen(fwd.internet(0), server), 3 * usize::from(EACH));
    // All three take their ports from the same few.
    let namespaces: [&Netns; 3] = [fwd.host(), &pods[0], &pods[1]];
    for ns in namespaces {
        inside(ns, &["sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=40000 41499"]);
    }
    let open: usize = std::thread::scope(|scope| {
        let connect = |(name, ns)| scope.spawn(move || connect_many(ns, server, name, EACH));
        let threads: Vec<_> = (0..).zip(namespaces).map(connect).collect();
        threads.into_iter().map(|thread| thread.join().expect("every connection").len()).sum()
    });
    assert_eq!(open, 3 * usize::from(EACH));
}

#[test]
fn host_and_namespaces_share_all_ports_over_udp_and_icmp_in_either_order() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--nat-ports", "1024-65535"]);
    let server = echo(&fwd, 7000);
    // In ip_local_port_range, where the host's own sockets are numbered.
    assert_both_talk(server, (&pod, any(40_000)), (fwd.host(), any(40_000)));
    assert_both_talk(server, (fwd.host(), any(40_001)), (&pod, any(40_001)));
    let outside = fwd.uplink(0).outside[0].to_string();
    for order in [[&*pod, &**fwd.host()], [&**fwd.host(), &*pod]] {
        for identifier in ["40000", "40001"] {
            for ns in order {
                assert!(told(ns, &["-e", identifier, &outside]).status.success(), "{identifier}");
            }
        }
    }
}

#[test]
fn host_pings_while_namespaces_do() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = fwd.uplink(0).outside[0];
    for _ in 0..3 {
        assert!(pings(&pod, outside) && pings(fwd.host(), outside));
    }
}

#[test]
fn service_of_the_host_in_the_nat_range_stays_reachable() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let service = at(fwd.uplink(0).address, 8080);
    let served: JoinHandle<_> = echo_tcp(listen(fwd.host(), any(8080)), 2);
    let outside = at(fwd.uplink(0).outside[0], 9000);
    let listener = listen(fwd.internet(0), outside);
    // Before, and while a namespace is connected from the very port.
    echoed(&connect(fwd.internet(0), ANY, service).expect("the service is there"), b"before");
    let client = connect(&pod, any(8080), outside).expect("it connects");
    let replies = echo_tcp(listener, 1);
    echoed(&client, b"from inside");
    echoed(
        &connect(fwd.internet(0), at(fwd.uplink(0).outside[1], 9000), service).expect("the service is still there"),
        b"meanwhile",
    );
    echoed(&client, b"still here");
    drop(client);
    replies.join().expect("the server");
    served.join().expect("the service");
}

#[test]
fn udp_service_of_the_host_in_the_nat_range_stays_reachable() {
    for port in [PORT, PRIVILEGED] {
        let fwd = Fwd::new();
        let pod = fwd.up("c1", &[]);
        let service = at(fwd.uplink(0).address, port);
        let served = echo_udp(udp(fwd.host(), service), 2);
        let server = echo(&fwd, 7000);
        let remote = udp(fwd.internet(0), at(fwd.uplink(0).outside[1], 7000));
        asked(&remote, service, b"before");
        let client = udp(&pod, any(port));
        asked(&client, server, b"from inside");
        asked(&remote, service, b"meanwhile");
        served.join().expect("the service");
        asked(&client, server, b"still here");
    }
}

#[test]
fn privileged_ports_of_host_and_namespaces_do_not_clash() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let server = echo(&fwd, 7000);
    assert_both_talk(server, (&one, any(PRIVILEGED)), (&two, any(PRIVILEGED)));
    assert_both_talk(server, (&one, any(PRIVILEGED + 1)), (fwd.host(), any(PRIVILEGED + 1)));
    assert_both_talk(server, (fwd.host(), any(PRIVILEGED + 2)), (&one, any(PRIVILEGED + 2)));
    let outside: Vec<_> = fwd.list(&["flows"]).iter().filter_map(|flow| flow["nat_port"].as_u64()).collect();
    assert!(outside.len() >= 4 && outside.iter().all(|port| (512..1024).contains(port)), "{outside:?}");
    assert!(outside.contains(&u64::from(PRIVILEGED)), "the first has its own");
}

#[test]
fn uplinks_have_networks_of_their_own() {
    let fwd = Fwd::with(&forwarder::testbed::TestbedSpec { uplinks: 2, ..Default::default() });
    let pods: Vec<Pod> =
        vec![fwd.up("c1", &["--uplink", "eth0"]), fwd.up("c2", &["--uplink", "eth1", "--network", "second"])];
    for (number, pod) in pods.iter().enumerate() {
        let outside = fwd.uplink(number).outside[0];
        let clients = echo_tcp(listen(fwd.internet(number), at(outside, 9000)), 1);
        echoed(&connect(pod, any(PORT), at(outside, 9000)).expect("it connects"), b"hello");
        let seen: Vec<_> = clients.join().expect("the server").iter().map(SocketAddr::ip).collect();
        assert_eq!(seen, [IpAddr::from(fwd.uplink(number).address)]);
    }
}
