//! What is between the host and its router: next hops of IPv6 (RFC 8950), and such as nobody answers for.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use forwarder::testbed::wait_until;

use crate::{
    fwd::{Fwd, LIMIT, Pod, inside, pings, try_inside},
    peers::{ANY, assert_refused, at, connect, echo_tcp, echoed, listen, udp},
};

/// The router's address of IPv6.
const ROUTER: &str = "fd00:77::1";

/// A host that knows its way out by a next hop of IPv6 alone.
fn behind_ipv6() -> (Fwd, Pod) {
    let fwd = Fwd::new();
    let address = |own| format!("ip -6 address add {own}/64 dev \"$1\" nodad");
    inside(fwd.internet(0), &["sh", "-ec", &address(ROUTER), "sh", "inet0"]);
    inside(fwd.host(), &["sh", "-ec", &address("fd00:77::2"), "sh", "eth0"]);
    fwd.on_host(&["ip", "-4", "route", "replace", "default", "via", "inet6", ROUTER, "dev", "eth0"]);
    let route = fwd.on_host(&["ip", "-4", "route", "get", &fwd.uplink(0).outside[0].to_string()]);
    assert!(route.contains(&format!("via inet6 {ROUTER}")), "{route}");
    let pod = fwd.up("c1", &[]);
    (fwd, pod)
}

/// Every packet that is sent meanwhile arrives, those too that look the route up.
#[track_caller]
fn assert_none_lost(pod: &Pod, outside: Ipv4Addr) {
    let outside = outside.to_string();
    let ping = try_inside(pod, &["ping", "-n", "-q", "-i", "0.1", "-c", "25", "-W", "30", &outside]);
    assert!(ping.stdout.contains("25 received"), "{}{}", ping.stdout, ping.stderr);
}

#[test]
fn ipv4_leaves_by_a_next_hop_of_ipv6() {
    let (fwd, pod) = behind_ipv6();
    let outside = fwd.uplink(0).outside[0];
    // The next hop is not known yet.
    assert_none_lost(&pod, outside);
    let echo = echo_tcp(listen(fwd.internet(0), at(outside, 7000)), 1);
    let stream = connect(&pod, ANY, at(outside, 7000)).expect("it connects");
    echoed(&stream, &[7; 60_000]);
    drop(stream);
    echo.join().expect("the server");
    // In fragments, and with its errors.
    let fragments =
        try_inside(&pod, &["ping", "-n", "-q", "-c", "3", "-i", "0.2", "-s", "4000", "-W", "30", &outside.to_string()]);
    assert!(fragments.stdout.contains("3 received"), "{}{}", fragments.stdout, fragments.stderr);
    let gre = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
s.settimeout(5)
s.sendto(b'0123456789', (sys.argv[1], 0))
";
    // Nobody speaks it there, and says so.
    inside(&pod, &["python3", "-c", gre, &outside.to_string()]);
    let told = || {
        let text = inside(fwd.internet(0), &["cat", "/proc/net/snmp"]);
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
        let (names, values) = (lines.next()?, lines.next()?);
        let mut both = names.split(' ').zip(values.split(' '));
        both.find_map(|(name, value)| (name == "InUnknownProtos").then(|| value.parse::<u64>().ok()).flatten())
    };
    let heard = || Ok(told().filter(|count| *count > 0));
    wait_until(LIMIT, "the packet without ports arrives", heard).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        fwd.list(&["stats"])
            .iter()
            .filter(|row| row["verdict"] == "dropped" && row["reason"] != "Ipv6" && row["packets"] != 0)
            .count(),
        0
    );
}

#[test]
fn errors_leave_by_a_next_hop_of_ipv6() {
    let (fwd, pod) = behind_ipv6();
    let outside = fwd.uplink(0).outside[0];
    let server = udp(fwd.internet(0), at(outside, 7000));
    let client = udp(&pod, at(pod.address, 5000));
    client.send_to(b"hello", at(outside, 7000)).expect("it leaves");
    let (_, from) = server.recv_from(&mut [0; 16]).expect("it arrives");
    drop(client);
    server.connect(from).expect("a socket");
    assert_refused(&server);
}

/// A router that nobody is.
const NOBODY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);

fn behind_nobody(fwd: &Fwd) {
    fwd.on_host(&["ip", "-4", "route", "replace", "default", "via", &NOBODY.to_string(), "dev", "eth0"]);
}

/// What a client learns: as the kernel's forwarding tells.
fn outcome(pod: &Pod, server: Ipv4Addr) -> Option<ErrorKind> {
    let to = SocketAddr::from(at(server, 7000));
    let connected = pod.run(|| Ok(TcpStream::connect_timeout(&to, LIMIT).map_err(|error| error.kind()).err()));
    connected.expect("a thread inside")
}

#[test]
fn namespace_is_told_that_nobody_answers_for_the_next_hop() {
    for datapath in ["tc", "kernel"] {
        let fwd = Fwd::new();
        let pod = fwd.up("c1", &["--datapath", datapath]);
        behind_nobody(&fwd);
        assert_eq!(outcome(&pod, fwd.uplink(0).outside[0]), Some(ErrorKind::HostUnreachable), "{datapath}");
        if datapath == "tc" {
            assert!(fwd.counted("from_ns", "punted", Some("Unresolved")) > 0);
        }
    }
}

#[test]
fn conversations_go_on_once_somebody_answers() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = fwd.uplink(0).outside[0];
    let socket = udp(fwd.internet(0), at(outside, 7000));
    behind_nobody(&fwd);
    // Where the host forwards nothing, it is no worse.
    fwd.on_host(&[
        "nft",
        "add table ip strict; add chain ip strict forward { type filter hook forward priority 0; policy drop; }",
    ]);
    let client = udp(&pod, ANY);
    let mut sent = 0;
    let punted = || {
        let _unreachable = client.send_to(b"is anybody there?", at(outside, 7000));
        sent += 1;
        Ok((fwd.counted("from_ns", "punted", Some("Unresolved")) > 0).then_some(()))
    };
    wait_until(LIMIT, "a packet goes to the kernel", punted).unwrap_or_else(|error| panic!("{error}"));
    inside(fwd.internet(0), &["ip", "address", "add", &format!("{NOBODY}/24"), "dev", "inet0"]);
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
    let arrives = || {
        let _unreachable = client.send_to(b"is anybody there?", at(outside, 7000));
        Ok(socket.recv_from(&mut [0; 32]).ok())
    };
    wait_until(LIMIT, "it arrives", arrives).unwrap_or_else(|error| panic!("{error}"));
    assert!(pings(&pod, outside));
    let before = fwd.counted("from_ns", "punted", Some("Unresolved"));
    assert_none_lost(&pod, outside);
    assert_eq!(fwd.counted("from_ns", "punted", Some("Unresolved")), before, "there is no need any more");
}
