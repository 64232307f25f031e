//! Programs of the host and published ports: reached by the host's own addresses, its loopback among them, and known by what was asked.

mod ipv6;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    thread::JoinHandle,
};

use forwarder::{
    netns::Netns,
    testbed::{self, Testbed, TestbedSpec, command_in_cgroup, unique_prefix, wait_until},
};

use crate::{
    bpf_ids::pin_directory,
    capture::Recording,
    fwd::{Fwd, LIMIT, Pod, inside},
    packet::{Packet, TCP, UDP},
    peers::{any, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    reload::{by, other_build},
};

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What a program in a namespace and in the testbed's cgroup was told: the echo, and whom it takes for the other end.
#[track_caller]
fn asks_from(fwd: &Testbed, ns: &Netns, kind: &str, address: &str, port: u16, bound: &str) -> String {
    let cgroup = fwd.cgroup().expect("this machine has cgroup2");
    let script = include_str!("client.py");
    let argv = ["python3", "-c", script, kind, address, &port.to_string(), bound];
    let output = testbed::run(command_in_cgroup(ns, cgroup, &argv), LIMIT).expect("it ends");
    output.success().unwrap_or_else(|error| panic!("{error}")).stdout.trim().to_owned()
}

#[track_caller]
fn asks(fwd: &Fwd, kind: &str, address: &str, port: u16) -> String {
    asks_from(fwd, fwd.host(), kind, address, port, "")
}

/// Who has asked a server for TCP, and one for UDP.
fn servers(pod: &Pod, tcp: usize, udp_count: usize) -> [JoinHandle<Vec<SocketAddr>>; 2] {
    servers_at(pod, Ipv4Addr::UNSPECIFIED.into(), tcp, udp_count)
}

/// The same at an address.
fn servers_at(pod: &Pod, address: IpAddr, tcp: usize, udp_count: usize) -> [JoinHandle<Vec<SocketAddr>>; 2] {
    let at = |port| SocketAddr::new(address, port);
    [echo_tcp(listen(pod, at(80)), tcp), echo_udp(udp(pod, at(5353)), udp_count)]
}

fn told(address: impl ToString, port: u16) -> String {
    format!("hello {} {port}", address.to_string())
}

#[test]
fn host_reaches_a_published_port_by_each_of_its_addresses_and_takes_it_for_the_other_end() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "8080:80", "-p", "53:5353/udp"]);
    let own = fwd.uplink(0).address;
    let addresses = [LOOPBACK.to_string(), "127.9.9.9".into(), own.to_string(), pod.gateway.to_string()];
    let [tcp, udp] = servers(&pod, addresses.len() + 2, 2 * addresses.len() + 2);
    for address in &addresses {
        assert_eq!(asks(&fwd, "tcp", address, 8080), told(address, 8080));
        assert_eq!(asks(&fwd, "sendto", address, 53), told(address, 53));
        assert_eq!(asks(&fwd, "udp", address, 53), told(address, 53));
    }
    // By sockets of IPv6: an address of IPv4, and its own loopback; datagrams only by one that is connected.
    let mapped = format!("::ffff:{own}");
    assert_eq!(asks(&fwd, "tcp", &mapped, 8080), told(&mapped, 8080));
    assert_eq!(asks(&fwd, "sendto", &mapped, 53), told(&mapped, 53));
    assert_eq!(asks(&fwd, "tcp", "::1", 8080), told("::1", 8080));
    assert_eq!(asks(&fwd, "udp", "::1", 53), told("::1", 53));
    // The server sees the gateway, by which the host reaches namespaces anyway.
    let seen: Vec<SocketAddr> = [tcp, udp].into_iter().flat_map(|server| server.join().expect("the server")).collect();
    assert!(seen.iter().all(|client| client.ip() == pod.gateway), "{seen:?}");
    assert_eq!(asks(&fwd, "tcp", "127.0.0.1", 8081), "ConnectionRefusedError", "it is not published");
}

/// moby#41872 and moby#45610: nobody but the host reaches a port of its loopback, whatever he writes into packets.
#[test]
fn port_of_the_loopback_is_for_the_host_alone() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "127.0.0.1:8080:80", "-p", "127.0.0.1:53:5353/udp"]);
    let other = fwd.up("c2", &[]);
    let [tcp, udp_server] = servers(&pod, 1, 1);
    let own = fwd.uplink(0).address;
    for client in [fwd.internet(0), &*other, &*pod] {
        connect(client, crate::peers::ANY, at(own, 8080)).expect_err("it is not published there");
    }
    assert_eq!(asks(&fwd, "tcp", &own.to_string(), 8080), "ConnectionRefusedError");
    // A neighbour that routes the loopback to the host, as an attacker on its link would.
    let lan = fwd.internet(0);
    inside(lan, &["sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"]);
    inside(lan, &["ip", "route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local"]);
    inside(lan, &["ip", "route", "del", "local", "127.0.0.1", "dev", "lo", "table", "local"]);
    inside(lan, &["ip", "route", "add", "127.0.0.1/32", "via", &own.to_string(), "dev", "inet0"]);
    let arriving = Recording::start(&fwd, fwd.host(), "eth0");
    udp(lan, at(fwd.uplink(0).gateway, 4000)).send_to(b"forged", at(LOOPBACK, 53)).expect("it leaves");
    let script = "import socket, sys
s = socket.socket()
s.settimeout(1)
s.bind((sys.argv[1], 0))
print(s.connect_ex(('127.0.0.1', 8080)))";
    let error = inside(lan, &["python3", "-c", script, &fwd.uplink(0).gateway.to_string()]);
    assert_ne!(error.trim(), "0", "nobody answers");
    let forged: Vec<u8> = arriving.all().iter().filter(|it| it.destination() == LOOPBACK).map(Packet::proto).collect();
    assert!(forged.contains(&UDP) && forged.contains(&TCP), "they came to the host: {forged:?}");
    // Each server has seen the one who is next, and nobody else before.
    assert_eq!(asks(&fwd, "tcp", "127.0.0.1", 8080), told(LOOPBACK, 8080));
    assert_eq!(asks(&fwd, "sendto", "127.0.0.1", 53), told(LOOPBACK, 53));
    assert_eq!(asks(&fwd, "tcp", "127.0.0.2", 8080), "ConnectionRefusedError", "it is published at one address");
    let seen: Vec<SocketAddr> =
        [tcp, udp_server].into_iter().flat_map(|server| server.join().expect("the server")).collect();
    assert!(seen.iter().all(|client| client.ip() == pod.gateway), "{seen:?}");
}

/// A resolver at 127.0.0.53 goes on beside a published port 53, and so does whatever comes later.
#[test]
fn what_listens_on_the_host_itself_is_reached_as_ever() {
    let fwd = Fwd::new();
    inside(fwd.host(), &["ip", "link", "set", "lo", "up"]);
    let resolver = echo_udp(udp(fwd.host(), at(Ipv4Addr::new(127, 0, 0, 53), 53)), 1);
    let pod = fwd.up("c1", &["-p", "53:5353/udp", "-p", "8080:80"]);
    let [tcp, udp] = servers(&pod, 1, 1);
    assert_eq!(asks(&fwd, "sendto", "127.0.0.53", 53), told("127.0.0.53", 53));
    assert_eq!(resolver.join().expect("the resolver").len(), 1);
    assert_eq!(asks(&fwd, "sendto", "127.0.0.1", 53), told(LOOPBACK, 53));
    let own = echo_tcp(listen(fwd.host(), at(LOOPBACK, 8080)), 1);
    assert_eq!(asks(&fwd, "tcp", "127.0.0.1", 8080), told(LOOPBACK, 8080));
    assert_eq!(own.join().expect("the host's own").len(), 1);
    let address = fwd.uplink(0).address.to_string();
    assert_eq!(asks(&fwd, "tcp", &address, 8080), told(&address, 8080));
    for server in [tcp, udp] {
        assert_eq!(server.join().expect("the server")[0].ip(), pod.gateway);
    }
    // From the loopback nobody is reached but by it: such a socket is left alone.
    assert_eq!(asks_from(&fwd, fwd.host(), "tcp", "127.0.0.1", 8080, "127.0.0.1"), "ConnectionRefusedError");
}

/// Two hosts on one machine, one cgroup: each has its own ports.
#[test]
fn hosts_that_share_a_cgroup_reach_their_own_ports_alone() {
    let (one, two) = (Fwd::new(), Fwd::new());
    let stranger = Testbed::with(&unique_prefix(), &TestbedSpec::default()).expect("a third host");
    let pods = [&one, &two].map(|fwd| {
        let cgroup = one.cgroup().expect("this machine has cgroup2").to_str().expect("a plain path").to_owned();
        fwd.up("c1", &["--cgroup", &cgroup, "-p", "127.0.0.1:8080:80"])
    });
    for (fwd, pod) in [(&one, &pods[0]), (&two, &pods[1])] {
        let server = echo_tcp(listen(pod, any(80)), 1);
        assert_eq!(asks_from(&one, fwd.host(), "tcp", "127.0.0.1", 8080, ""), told(LOOPBACK, 8080));
        server.join().expect("the server");
    }
    inside(stranger.host(), &["ip", "link", "set", "lo", "up"]);
    for elsewhere in [stranger.host(), &**one.internet(0), &*pods[0]] {
        inside(elsewhere, &["ip", "link", "set", "lo", "up"]);
        assert_eq!(asks_from(&one, elsewhere, "tcp", "127.0.0.1", 8080, ""), "ConnectionRefusedError");
    }
}

/// The programs that are attached to the testbed's cgroup.
fn attached(fwd: &Fwd) -> usize {
    let cgroup = fwd.cgroup().expect("this machine has cgroup2").to_str().expect("a plain path");
    let shown = inside(fwd.host(), &["bpftool", "cgroup", "show", cgroup]);
    shown.lines().filter(|line| line.contains("host_")).count()
}

#[test]
fn programs_are_attached_while_a_port_is_published() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    assert_eq!(attached(&fwd), 0);
    fwd.ok(&["port", "add", &pod.name, "-p", "8080:80", "-p", "53:53/udp"]);
    assert_eq!(attached(&fwd), 8);
    let second = fwd.up("c2", &["-p", "8081:80"]);
    fwd.ok(&["reload"]);
    fwd.ok(&["port", "rm", &pod.name, "-p", "8080:80", "-p", "53:53/udp"]);
    assert_eq!(attached(&fwd), 8);
    let elsewhere = fwd.cgroup().and_then(|it| it.parent()).expect("a root").to_str().expect("a plain path");
    fwd.expect_error(&["--cgroup", elsewhere, "port", "add", &pod.name, "-p", "1:1"], 4, &[elsewhere, "--cgroup"]);
    fwd.expect_error(&["--cgroup", "/proc", "port", "add", &pod.name, "-p", "1:1"], 2, &["/proc", "cgroup2"]);
    fwd.down("c2");
    drop(second);
    assert_eq!(attached(&fwd), 0);
    fwd.up("c2", &["-p", "8081:80"]);
    // What somebody has taken away is put back by the next command, and missed until then.
    let links = pin_directory(&fwd, "links");
    let gone = std::fs::read_dir(&links)
        .expect("pins")
        .flatten()
        .find(|it| it.file_name().to_string_lossy().starts_with("host_connect4"));
    std::fs::remove_file(gone.expect("it is pinned").path()).expect("it goes");
    let problems = fwd.json(&["inspect", &fwd.name("c2")])["warnings"].to_string();
    assert!(problems.contains("cgroup"), "{problems}");
    fwd.ok(&["port", "add", &pod.name, "-p", "8080:80"]);
    assert_eq!(attached(&fwd), 8);
    let steps = fwd.ok(&["down", "--all", "--dry-run"]);
    assert!(steps.contains("detach the programs of the host's own access") && steps.contains("links/host_"), "{steps}");
    fwd.ok(&["down", "--all"]);
    assert_eq!(attached(&fwd), 0);
}

/// An address that has come since is named, and known after the next command.
#[test]
fn address_that_the_host_gets_later_is_told() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "8080:80"]);
    fwd.on_host(&["ip", "address", "add", "192.0.2.77/24", "dev", "eth0"]);
    let problems = fwd.json(&["inspect", &pod.name])["warnings"].to_string();
    assert!(problems.contains("192.0.2.77"), "{problems}");
    fwd.up("c2", &[]);
    let server = echo_tcp(listen(&pod, any(80)), 2);
    assert_eq!(asks(&fwd, "tcp", "192.0.2.77", 8080), told("192.0.2.77", 8080));
    // From outside by that address, where there is no default route: who comes for it is answered.
    fwd.on_host(&["ip", "route", "del", "default"]);
    inside(fwd.internet(0), &["ip", "route", "add", "192.0.2.77/32", "dev", "inet0"]);
    let client = at(fwd.uplink(0).gateway, 40_123);
    echoed(
        &connect(fwd.internet(0), client, at("192.0.2.77".parse().expect("an address"), 8080))
            .expect("it is published"),
        b"hello",
    );
    assert_eq!(server.join().expect("the server")[1], SocketAddr::from(client));
}

/// An internal network publishes for the host alone.
#[test]
fn internal_network_publishes_for_the_host_alone() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--network", "vault", "--internal", "-p", "127.0.0.1:8080:80"]);
    let server = echo_tcp(listen(&pod, any(80)), 1);
    assert_eq!(asks(&fwd, "tcp", "127.0.0.1", 8080), told(LOOPBACK, 8080));
    server.join().expect("the server");
    fwd.expect_error(&["port", "add", &pod.name, "-p", "8081:80"], 5, &["internal", "-p 127.0.0.1:8081:80"]);
}

/// Whoever made a cgroup may remove it: its links have nothing left to be replaced.
#[test]
fn cgroup_that_was_removed_keeps_no_reload_away() {
    let fwd = Fwd::new();
    let cgroup = fwd.cgroup().expect("this machine has cgroup2").join("removed");
    std::fs::create_dir(&cgroup).expect("a cgroup below");
    let pod = fwd.up("c1", &["--cgroup", cgroup.to_str().expect("a plain path"), "-p", "8080:80"]);
    let pins = std::fs::read_dir(pin_directory(&fwd, "links")).expect("pins").flatten().map(|it| it.path());
    let pin = pins.into_iter().find(|it| it.to_string_lossy().contains("host_connect4")).expect("it is pinned");
    let cgroup_of_link = || {
        let shown = inside(fwd.host(), &["bpftool", "-j", "link", "show", "pinned", pin.to_str().expect("a path")]);
        serde_json::from_str::<serde_json::Value>(&shown).expect("JSON")["cgroup_id"].as_u64()
    };
    assert!(cgroup_of_link().is_some_and(|id| id != 0));
    std::fs::remove_dir(&cgroup).expect("nobody is in it");
    wait_until(LIMIT, "the kernel lets go of the cgroup", || Ok((cgroup_of_link() == Some(0)).then_some(())))
        .expect("it does");
    let other = other_build(&fwd, &pod);
    assert_eq!(by(&other, &fwd, &["reload"]).0["changed"], true);
    assert_eq!(by(&other, &fwd, &["reload", "--rollback"]).0["changed"], true);
    let problems = || fwd.json(&["inspect", &pod.name])["warnings"].to_string();
    assert!(problems().contains("the cgroup was removed"), "{}", problems());
    // Whoever publishes next has another cgroup, or none, and nothing is left of the former one.
    fwd.ok(&["port", "add", &pod.name, "-p", "8081:80"]);
    assert_eq!(attached(&fwd), 8);
    assert!(!problems().contains("cgroup"), "{}", problems());
    assert!(!pin.exists(), "that of the former one");
    fwd.ok(&["port", "rm", &pod.name, "-p", "8080:80"]);
    fwd.ok(&["port", "rm", &pod.name, "-p", "8081:80"]);
    assert_eq!(attached(&fwd), 0);
}
