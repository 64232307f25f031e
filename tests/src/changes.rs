//! The host's network changes under traffic: flows that can live on do, new ones follow, and nothing leaks meanwhile.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use forwarder::testbed::{TestbedSpec, wait_until};

use super::fwd::{Fwd, Pod, inside, try_inside};
use crate::{
    capture::{Recording, finish_all_checksums},
    peers::{ANY, PATIENCE, at, connect, echo_tcp, echoed, listen, udp},
};

/// How long it may take until a change is followed: a second, and what a busy machine adds.
const SOON: Duration = Duration::from_secs(120);
/// Longer than a flow goes by its route without looking.
const LOOKED: Duration = Duration::from_secs(2);

/// A namespace in conversation with the internet over TCP and UDP, recorded where it arrives.
struct Conversation<'a> {
    fwd: &'a Fwd,
    pod: &'a Pod,
    tcp: TcpStream,
    server: Option<JoinHandle<Vec<SocketAddr>>>,
    udp: UdpSocket,
    recording: Recording<'a>,
}

fn remote(fwd: &Fwd) -> SocketAddrV4 {
    at(fwd.uplink(0).outside[0], 9000)
}

/// Tells everybody who asks from where the question came, until the namespace is gone.
fn mirror(fwd: &Fwd) {
    let socket = udp(fwd.internet(0), remote(fwd));
    socket.set_read_timeout(None).expect("a socket");
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            // The way back may be missing for a while.
            socket.send_to(from.to_string().as_bytes(), from).ok();
        }
    });
}

/// From where a server sees this socket; nothing if no answer comes.
fn seen(socket: &UdpSocket, server: SocketAddrV4) -> Option<SocketAddr> {
    let mut buffer = [0; 64];
    socket.send_to(b"who am I?", server).ok()?;
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    std::str::from_utf8(&buffer[..length]).ok()?.parse().ok()
}

/// A socket that does not wait long.
fn asking(pod: &Pod) -> UdpSocket {
    let socket = udp(pod, ANY);
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
    socket
}

impl<'a> Conversation<'a> {
    fn start(fwd: &'a Fwd, pod: &'a Pod) -> Self {
        finish_all_checksums(fwd, &[pod]);
        let recording = Recording::start(fwd, fwd.internet(0), "inet0");
        mirror(fwd);
        let server = echo_tcp(listen(fwd.internet(0), remote(fwd)), 1);
        let tcp = connect(pod, ANY, remote(fwd)).expect("it connects");
        let conversation = Self { fwd, pod, tcp, server: Some(server), udp: asking(pod), recording };
        conversation.assert_alive();
        conversation
    }

    /// Both conversations go on.
    #[track_caller]
    fn assert_alive(&self) {
        echoed(&self.tcp, b"still there?");
        self.await_udp("the socket is answered", |_| true);
    }

    /// The UDP socket is seen from an address that is `wanted`, soon; all else is another answer on the way.
    #[track_caller]
    fn await_udp(&self, what: &str, wanted: impl Fn(SocketAddr) -> bool) -> SocketAddr {
        await_seen(self.fwd, &self.udp, what, wanted)
    }

    /// Goes on for longer than a flow trusts its route: everything is answered, and the socket keeps its external address.
    #[track_caller]
    fn assert_stays(&self) {
        let address = self.await_udp("the socket is answered", |_| true);
        let end = Instant::now() + LOOKED;
        while Instant::now() < end {
            echoed(&self.tcp, b"on and on");
            let now = seen(&self.udp, remote(self.fwd));
            assert!(now.is_none_or(|now| now == address), "the flow moved from {address} to {now:?}");
        }
    }

    /// A new socket is seen from `address`, soon.
    #[track_caller]
    fn await_new_flows_behind(&self, address: Ipv4Addr) {
        let new = |what: &str| {
            wait_until(SOON, what, || Ok(seen(&asking(self.pod), remote(self.fwd)).filter(|it| it.ip() == address)))
        };
        new(&format!("a new flow leaves behind {address}")).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Ends the TCP connection as it should end, without a reset, and looks at everything that left.
    #[track_caller]
    fn end(mut self) {
        echoed(&self.tcp, b"good bye");
        drop(self.tcp);
        let clients = self.server.take().expect("a server").join().expect("the server sees the end, and no reset");
        assert_eq!(clients.len(), 1);
        let packets = self.recording.assert_clean();
        let resets = packets.iter().filter(|packet| packet.tcp_flags().is_some_and(|flags| flags & 0x04 != 0));
        assert_eq!(resets.count(), 0, "resets were seen");
    }
}

#[track_caller]
fn await_seen(fwd: &Fwd, socket: &UdpSocket, what: &str, wanted: impl Fn(SocketAddr) -> bool) -> SocketAddr {
    wait_until(SOON, what, || Ok(seen(socket, remote(fwd)).filter(|from| wanted(*from))))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// `ip` on the host, several commands at once.
fn ip(fwd: &Fwd, commands: &str) {
    let script = format!("ip -batch - <<END\n{commands}\nEND");
    fwd.on_host(&["sh", "-c", &script]);
}

fn default_route(fwd: &Fwd) -> String {
    format!("route replace default via {} dev eth0", fwd.uplink(0).gateway)
}

/// A further address of the host on its first uplink.
const SECOND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);

#[test]
fn address_that_is_gone_takes_its_flows_along_and_new_ones_follow() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let conversation = Conversation::start(&fwd, &pod);
    ip(&fwd, &format!("address flush dev eth0\naddress add {SECOND}/24 dev eth0\n{}", default_route(&fwd)));
    // The same socket, by a new flow.
    conversation.await_udp("the socket is seen behind the new address", |from| from.ip() == SECOND);
    conversation.await_new_flows_behind(SECOND);
    let server = echo_tcp(listen(fwd.internet(0), at(fwd.uplink(0).outside[1], 9001)), 1);
    let stream = connect(&pod, ANY, at(fwd.uplink(0).outside[1], 9001)).expect("it connects");
    echoed(&stream, b"new");
    drop(stream);
    let clients = server.join().expect("the server");
    assert_eq!(clients[0].ip(), IpAddr::from(SECOND));
    let old = fwd.uplink(0).address.to_string();
    let behind_old =
        || Ok(!fwd.list(&["flows"]).iter().any(|it| it["proto"] == "udp" && it.to_string().contains(&old)));
    wait_until(PATIENCE, "no UDP flow is left behind the old address", || behind_old().map(|gone| gone.then_some(())))
        .unwrap_or_else(|error| panic!("{error}: {:#?}", fwd.list(&["flows"])));
    conversation.recording.assert_clean();
}

#[test]
fn address_that_is_no_longer_preferred_keeps_its_flows_and_new_ones_follow() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let conversation = Conversation::start(&fwd, &pod);
    ip(&fwd, &format!("address add {SECOND}/24 dev eth0\n{} src {SECOND}", default_route(&fwd)));
    conversation.await_new_flows_behind(SECOND);
    conversation.assert_stays();
    assert_eq!(conversation.await_udp("the old flow goes on", |_| true).ip(), fwd.uplink(0).address);
    // And back.
    ip(&fwd, &format!("{} src {}", default_route(&fwd), fwd.uplink(0).address));
    conversation.await_new_flows_behind(fwd.uplink(0).address);
    conversation.end();
}

#[test]
fn flows_behind_two_addresses_live_side_by_side() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let [first, second, _] = fwd.uplink(0).outside[..] else { panic!("three addresses") };
    let gateway = fwd.uplink(0).gateway;
    ip(&fwd, &format!("address add {SECOND}/24 dev eth0\nroute add {second} via {gateway} src {SECOND}"));
    finish_all_checksums(&fwd, &[&pod]);
    let recording = Recording::start(&fwd, fwd.internet(0), "inet0");
    let ends = [(first, fwd.uplink(0).address), (second, SECOND)].map(|(outside, _)| {
        let server = echo_tcp(listen(fwd.internet(0), at(outside, 9001)), 1);
        (connect(&pod, ANY, at(outside, 9001)).expect("it connects"), server)
    });
    let end = Instant::now() + LOOKED;
    while Instant::now() < end {
        ends.iter().for_each(|(stream, _)| echoed(stream, b"side by side"));
    }
    let seen = ends.map(|(stream, server)| {
        drop(stream);
        server.join().expect("no reset")[0].ip()
    });
    assert_eq!(seen, [fwd.uplink(0).address, SECOND].map(IpAddr::from));
    recording.assert_clean();
}

#[test]
fn flows_move_to_another_next_hop() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let conversation = Conversation::start(&fwd, &pod);
    let second = second_router(&fwd);
    ip(&fwd, &format!("route replace default via {second} dev eth0"));
    let arrived = || Ok((received(&fwd, "inet1") > 10).then_some(()));
    let arrives = || {
        conversation.assert_alive();
        arrived()
    };
    wait_until(SOON, "the other router gets the packets", arrives).unwrap_or_else(|error| panic!("{error}"));
    conversation.assert_stays();
    conversation.end();
}

#[test]
fn flows_follow_a_router_to_its_new_hardware_address() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let conversation = Conversation::start(&fwd, &pod);
    second_router(&fwd);
    let gateway = fwd.uplink(0).gateway;
    // As VRRP does: the address moves, and the new router says so.
    inside(fwd.internet(0), &["ip", "address", "del", &format!("{gateway}/24"), "dev", "inet0"]);
    inside(fwd.internet(0), &["ip", "address", "add", &format!("{gateway}/24"), "dev", "inet1"]);
    inside(fwd.internet(0), &["arping", "-q", "-U", "-c", "2", "-I", "inet1", &gateway.to_string()]);
    let arrives = || {
        conversation.assert_alive();
        Ok((received(&fwd, "inet1") > 10).then_some(()))
    };
    wait_until(SOON, "the new router gets the packets", arrives).unwrap_or_else(|error| panic!("{error}"));
    conversation.assert_stays();
    conversation.end();
}

/// Another interface of the internet on the same link, with an address and a hardware address of its own.
fn second_router(fwd: &Fwd) -> Ipv4Addr {
    let second = Ipv4Addr::new(198, 51, 100, 9);
    let script = format!(
        "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
         ip link add inet1 link inet0 type macvlan mode bridge && ip link set inet1 up
         sysctl -qw net.ipv4.conf.inet0.rp_filter=0
         ip address add {second}/24 dev inet1"
    );
    inside(fwd.internet(0), &["sh", "-ec", &script]);
    second
}

/// Packets that an interface of the internet got.
fn received(fwd: &Fwd, interface: &str) -> u64 {
    let shown = inside(fwd.internet(0), &["ip", "-j", "-s", "link", "show", "dev", interface]);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    shown[0]["stats64"]["rx"]["packets"].as_u64().expect("a number")
}

#[test]
fn packets_whose_route_leaves_by_what_nobody_guards_are_refused_until_it_is_back() {
    let fwd = Fwd::with(&TestbedSpec { uplinks: 2, ..TestbedSpec::default() });
    ip(&fwd, "route flush dev eth1");
    let pod = fwd.up("c1", &[]);
    ip(&fwd, &format!("route add {}/32 dev eth1", fwd.uplink(1).gateway));
    let conversation = Conversation::start(&fwd, &pod);
    let elsewhere = format!("{} via {} dev eth1", remote(&fwd).ip(), fwd.uplink(1).gateway);
    let dropped = || fwd.counted("from_ns", "dropped", Some("UplinkUnguarded"));
    assert_eq!(dropped(), 0);
    ip(&fwd, &format!("route add {elsewhere}"));
    wait_until(SOON, "its packets are dropped", || {
        seen(&conversation.udp, remote(&fwd));
        Ok((dropped() > 0).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(seen(&asking(&pod), remote(&fwd)), None, "a new flow goes nowhere either");
    ip(&fwd, &format!("route del {elsewhere}"));
    // With the port that it had, which is free.
    conversation.assert_alive();
    conversation.end();
}

/// Sets the MTU of both ends of the link.
fn link_mtu(fwd: &Fwd, mtu: u32) {
    ip(fwd, &format!("link set eth0 mtu {mtu}"));
    inside(fwd.internet(0), &["ip", "link", "set", "inet0", "mtu", &mtu.to_string()]);
}

/// What ping says of a packet of 1400 bytes that must not be fragmented.
fn ping_1400(fwd: &Fwd, pod: &Pod) -> String {
    let argv = ["ping", "-n", "-c", "1", "-W", "3", "-M", "do", "-s", "1372", &remote(fwd).ip().to_string()];
    let output = try_inside(pod, &argv);
    output.stdout + &output.stderr
}

#[test]
fn smaller_mtu_of_the_uplink_is_told_and_a_larger_one_used() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let conversation = Conversation::start(&fwd, &pod);
    assert!(ping_1400(&fwd, &pod).contains("1 received"));
    link_mtu(&fwd, 1300);
    let told = || Ok(ping_1400(&fwd, &pod).contains("mtu = 1300").then_some(()));
    wait_until(SOON, "the namespace is told the smaller MTU", told).unwrap_or_else(|error| panic!("{error}"));
    conversation.assert_stays();
    echoed(&conversation.tcp, &[7; 100_000]);
    link_mtu(&fwd, 1500);
    let passes = || {
        inside(&pod, &["ip", "route", "flush", "cache"]);
        Ok(ping_1400(&fwd, &pod).contains("1 received").then_some(()))
    };
    wait_until(SOON, "larger packets pass again", passes).unwrap_or_else(|error| panic!("{error}"));
    conversation.end();
}

#[test]
fn connections_survive_an_uplink_that_goes_down_and_up() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let conversation = Conversation::start(&fwd, &pod);
    let before = fwd.list(&["flows"]).len();
    ip(&fwd, "link set eth0 down");
    let punted = || fwd.counted("from_ns", "punted", None);
    let at_first = punted();
    wait_until(SOON, "the kernel answers for the route that is missing", || {
        seen(&conversation.udp, remote(&fwd));
        Ok((punted() > at_first).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(fwd.list(&["flows"]).len(), before, "flows wait");
    // As a network manager does.
    ip(&fwd, &format!("link set eth0 up\n{}", default_route(&fwd)));
    conversation.assert_alive();
    assert_eq!(conversation.await_udp("the socket is answered", |_| true).ip(), fwd.uplink(0).address);
    conversation.end();
}
