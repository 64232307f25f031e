//! What other interfaces of the host, and its other networks, can do to a namespace and in its name: nothing. The host routes for
//! everybody here, without a reverse-path filter.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use forwarder::{
    netlink::Netlink,
    netns::Netns,
    testbed::{Namespace, TestbedSpec, tcx_programs, wait_until},
};
use forwarder_common::wire::emit::Packet;

use crate::{
    bpf_ids::pin_directory,
    capture::Recording,
    fwd::{Fwd, Pod, inside, pings, text, try_inside},
    peers::{ANY, PATIENCE, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    raw,
};

/// The hardware addresses of the LAN on `eth1`: the host's, and that of who is there.
const TO_HOST: [u8; 6] = [0x02, 0x66, 0x77, 0x64, 1, 2];
const FROM_LAN: [u8; 6] = [0x02, 0x66, 0x77, 0x64, 1, 1];
/// What is sent in another's name says so.
const FORGED: &[u8] = b"forged";

/// A host that routes for a LAN on its second interface, and knows of no bad source.
fn host() -> Fwd {
    let fwd = Fwd::with(&TestbedSpec { uplinks: 2, ..TestbedSpec::default() });
    let routes = "net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0";
    fwd.on_host(&["sh", "-c", &format!("sysctl -qw {routes}")]);
    fwd
}

/// What can be told from a whole datagram, a fragment, a protocol without ports, and an ICMP error about `answer`.
fn kinds(from: Ipv4Addr, to: Ipv4Addr, answer: &Packet) -> [Packet; 4] {
    let datagram = raw::udp(at(from, 5000), at(to, 7777), FORGED);
    let fragment = datagram.clone().fragmentation(0x2000);
    let gre = Packet::other(from, to, 47).payload(FORGED);
    [datagram, fragment, gre, Packet::icmp_error(from, to, 3, 3, &answer.emit())]
}

#[test]
fn nobody_on_another_interface_speaks_for_a_namespace() {
    let fwd = host();
    let pod = fwd.up("c1", &["--uplink", "eth0"]);
    let server = at(fwd.uplink(0).outside[0], 7777);
    let client = udp(&pod, at(pod.address, 5000));
    let replies = echo_udp(udp(fwd.internet(0), server), 1);
    asked(&client, server, b"my own");
    replies.join().expect("the server");
    let answer = raw::udp(server, at(pod.address, 5000), b"my own");
    let recording = Recording::start(&fwd, fwd.internet(0), "inet0");
    let packets = kinds(pod.address, *server.ip(), &answer);
    let frames: Vec<_> = packets.iter().map(|packet| raw::frame(TO_HOST, FROM_LAN, packet)).collect();
    raw::send(fwd.internet(1), "inet0", &frames);
    assert_eq!(fwd.counted("to_uplink", "dropped", Some("NotFromNetwork")), 4);
    // A program on the host is not the namespace either, whatever address it takes.
    let script = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
s.bind((sys.argv[1], 5000))
s.sendto(b'forged', (sys.argv[2], 7777))";
    fwd.on_host(&["python3", "-c", script, &pod.address.to_string(), &server.ip().to_string()]);
    assert_eq!(fwd.counted("to_uplink", "dropped", Some("NotFromNetwork")), 5);
    let seen = recording.all();
    let forged = |bytes: &[u8]| bytes.windows(FORGED.len()).any(|window| window == FORGED);
    assert!(!seen.iter().any(|packet| forged(&packet.bytes) || packet.proto() == 1), "{seen:#?}");
    // The namespace goes on.
    let replies = echo_udp(udp(fwd.internet(0), server), 1);
    asked(&client, server, b"still my own");
    replies.join().expect("the server");
}

/// Whether a datagram from `ns` to a socket there is answered.
#[track_caller]
fn is_answered(from: &Netns, to: &Netns, server: SocketAddrV4) -> bool {
    let (client, socket) = (udp(from, ANY), udp(to, server));
    socket.set_read_timeout(Some(SOON)).expect("a socket");
    client.set_read_timeout(Some(SOON)).expect("a socket");
    client.send_to(b"hello", server).expect("it leaves");
    let mut buffer = [0; 16];
    let Ok((length, who)) = socket.recv_from(&mut buffer) else { return false };
    socket.send_to(&buffer[..length], who).expect("the answer leaves");
    client.recv_from(&mut buffer).is_ok()
}

/// How long nothing is waited for.
const SOON: Duration = Duration::from_millis(500);

/// Nobody in `from` reaches the namespace, by whatever protocol; what was tried is counted for `reason` at the network.
#[track_caller]
fn assert_kept_out(fwd: &Fwd, from: &Netns, pod: &Pod, hook: &str, reason: &str) {
    let dropped = || fwd.counted(hook, "dropped", Some(reason));
    let before = dropped();
    let recording = Recording::start(fwd, pod, "eth0");
    let server = at(pod.address, 7777);
    assert!(!is_answered(from, pod, server), "UDP");
    let _listener = listen(pod, server);
    let argv = ["timeout", "1", "bash", "-c", &format!("exec 3<>/dev/tcp/{}/7777", pod.address)];
    assert!(!try_inside(from, &argv).status.success(), "TCP");
    let address = pod.address.to_string();
    assert!(!try_inside(from, &["ping", "-n", "-q", "-c", "1", "-W", "1", &address]).status.success(), "ICMP");
    let large = try_inside(from, &["ping", "-n", "-q", "-c", "1", "-W", "1", "-s", "4000", &address]);
    assert!(!large.status.success(), "in fragments");
    // One datagram, a SYN or more, an echo request, a fragment or more: the kernel gives up the others with the first.
    assert!(dropped() >= before + 4, "{} were counted", dropped() - before);
    let seen = recording.all();
    let arrived: Vec<_> = seen.iter().filter(|packet| packet.destination() == pod.address).collect();
    assert!(arrived.is_empty(), "{arrived:#?}");
}

/// The host, and the host alone, talks with the namespace.
#[track_caller]
fn assert_host_talks(fwd: &Fwd, pod: &Pod) {
    assert!(is_answered(fwd.host(), pod, at(pod.address, 7778)), "host to namespace");
    assert!(is_answered(pod, fwd.host(), at(pod.gateway, 7778)), "namespace to host");
    assert!(pings(fwd.host(), pod.address) && pings(pod, pod.gateway));
    let clients = echo_tcp(listen(pod, at(pod.address, 7779)), 1);
    echoed(&connect(fwd.host(), ANY, at(pod.address, 7779)).expect("it connects"), b"from the host");
    clients.join().expect("the server");
}

#[test]
fn lan_on_another_interface_reaches_no_namespace() {
    let fwd = host();
    let pod = fwd.up("c1", &["--uplink", "eth0"]);
    inside(fwd.internet(1), &["ip", "route", "add", "default", "via", &fwd.uplink(1).address.to_string()]);
    assert!(pings(fwd.internet(1), fwd.uplink(0).address), "the host routes for it");
    assert_kept_out(&fwd, fwd.internet(1), &pod, "to_network", "FromOtherInterface");
    assert_host_talks(&fwd, &pod);
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
}

/// As docker's, behind which there is a namespace of somebody else's.
#[test]
fn other_bridges_of_the_host_reach_no_namespace() {
    let fwd = host();
    let pod = fwd.up("c1", &["--uplink", "eth0"]);
    let other = Namespace::create(&fwd.name("other")).expect("a namespace");
    let script = format!(
        "ip link add docker0 type bridge && ip address add 172.18.0.1/24 dev docker0 && ip link set docker0 up
         ip link add v9 type veth peer name eth0 netns {0} && ip link set v9 master docker0 up
         ip -n {0} address add 172.18.0.2/24 dev eth0 && ip -n {0} link set eth0 up
         ip -n {0} route add default via 172.18.0.1
         sysctl -qw net.ipv4.conf.docker0.rp_filter=0",
        other.name()
    );
    fwd.on_host(&["sh", "-ec", &script]);
    assert!(pings(&other, fwd.uplink(0).address), "the host routes for it");
    assert_kept_out(&fwd, &other, &pod, "to_network", "FromOtherInterface");
    assert_host_talks(&fwd, &pod);
}

#[test]
fn networks_are_isolated_from_each_other_and_share_the_host() {
    let fwd = Fwd::new();
    let pods = [fwd.up("c1", &[]), fwd.up("c2", &["--network", "second"])];
    for (one, two) in [(&pods[0], &pods[1]), (&pods[1], &pods[0])] {
        assert_kept_out(&fwd, one, two, "from_ns", "OtherNetwork");
        assert!(pings(one, two.gateway) && pings(one, fwd.uplink(0).address), "the host's addresses");
        assert_host_talks(&fwd, one);
    }
    assert_eq!(fwd.counted("to_network", "dropped", None), 0, "they do not come so far");
    // Those of one network are not.
    let beside = fwd.up("c3", &[]);
    assert!(is_answered(&beside, &pods[0], at(pods[0].address, 7777)));
}

#[test]
fn networks_on_different_data_paths_are_isolated_too() {
    let fwd = host();
    let pods = [fwd.up("c1", &["--uplink", "eth0"]), fwd.up("c2", &["--network", "second", "--datapath", "kernel"])];
    assert_kept_out(&fwd, &pods[0], &pods[1], "from_ns", "OtherNetwork");
    assert_kept_out(&fwd, &pods[1], &pods[0], "to_network", "OtherNetwork");
    for pod in &pods {
        assert_host_talks(&fwd, pod);
        assert!(pings(pod, fwd.uplink(0).outside[0]));
    }
}

/// Replies that are too large for the namespace, and may be cut, are cut by the kernel: the pieces come in.
#[test]
fn replies_that_the_kernel_cuts_arrive() {
    let fwd = host();
    let pod = fwd.up("c1", &["--uplink", "eth0", "--mtu", "1300"]);
    // The server's packets may be cut on their way.
    inside(fwd.internet(0), &["sysctl", "-qw", "net.ipv4.ip_no_pmtu_disc=1"]);
    let server = at(fwd.uplink(0).outside[0], 7777);
    let (client, socket) = (udp(&pod, ANY), udp(fwd.internet(0), server));
    client.send_to(b"how much?", server).expect("it leaves");
    let mut buffer = vec![0; 65_536];
    let (_, from) = socket.recv_from(&mut buffer).expect("it arrives");
    for length in [1_472, 1_272, 8_000] {
        socket.send_to(&vec![7; length], from).expect("it leaves");
        let (received, _) = client.recv_from(&mut buffer).unwrap_or_else(|error| panic!("{length} bytes: {error}"));
        assert_eq!(received, length);
    }
    assert!(fwd.counted("from_uplink", "punted", Some("TooBig")) > 0);
    assert_eq!(fwd.counted("to_network", "dropped", None), 0);
    // The same from somebody on the LAN, who takes the server's address.
    let forged = raw::udp(server, at(pod.address, client.local_addr().expect("a socket").port()), FORGED);
    raw::send(fwd.internet(1), "inet0", &[raw::frame(TO_HOST, FROM_LAN, &forged)]);
    assert_eq!(fwd.counted("to_network", "dropped", Some("FromOtherInterface")), 1);
    client.set_read_timeout(Some(SOON)).expect("a socket");
    client.recv_from(&mut buffer).expect_err("nothing comes");
}

#[test]
fn guard_of_a_network_that_was_lost_is_healed_and_goes_with_the_network() {
    let fwd = host();
    let pod = fwd.up("c1", &["--uplink", "eth0"]);
    let bridge = text(&fwd.json(&["inspect", &pod.name])["bridge"]);
    let netlink = Netlink::open(fwd.host()).expect("a connection");
    let index = netlink.link(&bridge).expect("links").expect("the bridge").index;
    let attached = || fwd.host().run(|| tcx_programs(index)).expect("the kernel tells").1;
    assert_eq!(attached(), 1);
    let pin = std::fs::read_dir(pin_directory(&fwd, "links")).expect("links").flatten();
    let mut pins = pin.map(|link| link.path());
    let pin = pins.find(|path| path.display().to_string().contains("/to_network-"));
    std::fs::remove_file(pin.expect("it is pinned")).expect("it is detached");
    // The kernel takes it off in its own time.
    let gone = || Ok((attached() == 0).then_some(()));
    wait_until(PATIENCE, "the program is detached", gone).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(fwd.json(&["up", "--ns", &pod.name])["changed"], true);
    assert_eq!(attached(), 1);
    assert_eq!(fwd.json(&["up", "--ns", &pod.name])["changed"], false);
}
