//! What routes and rules of the host ask for beside an interface: an MTU, a type of service, a mark.

use std::net::Ipv4Addr;

use forwarder::testbed::{TestbedSpec, wait_until};
use serde_json::Value;

use crate::{
    fwd::{Fwd, LIMIT, Pod, inside, pings, text, told, try_inside},
    peers::{ANY, PATIENCE, any, at, connect, echo_tcp, echoed, listen, udp},
};

/// What the host says of a packet of `size` bytes that nobody may cut.
fn asked(pod: &Pod, size: usize, to: Ipv4Addr) -> String {
    let size = (size - 28).to_string();
    // What a namespace has learnt of the path is of no interest.
    inside(pod, &["ip", "route", "flush", "cache"]);
    let output = told(pod, &["-M", "do", "-s", &size, &to.to_string()]);
    output.stdout + &output.stderr
}

#[track_caller]
fn assert_carries(pod: &Pod, to: Ipv4Addr, mtu: usize) {
    let fits = asked(pod, mtu, to);
    assert!(fits.contains("1 received"), "{mtu} bytes to {to}: {fits}");
    let too_large = asked(pod, mtu + 1, to);
    assert!(
        too_large.contains(&format!("mtu = {mtu}")) || too_large.contains(&format!("mtu={mtu}")),
        "{mtu}: {too_large}"
    );
}

/// The warnings of an `inspect`.
fn warnings(fwd: &Fwd, pod: &Pod) -> Vec<String> {
    let shown: Value = fwd.json(&["inspect", "--ns", &pod.name]);
    shown["warnings"].as_array().expect("a list").iter().map(text).collect()
}

#[test]
fn mtu_of_a_route_holds_without_a_lock() {
    for datapath in ["tc", "kernel"] {
        let fwd = Fwd::new();
        let (gateway, outside) = (fwd.uplink(0).gateway.to_string(), fwd.uplink(0).outside.clone());
        let route = |destination: String, mtu: &[&str]| {
            fwd.on_host(&[&["ip", "route", "replace", &destination, "via", &gateway, "dev", "eth0"], mtu].concat());
        };
        route(format!("{}/32", outside[1]), &[]);
        route("default".into(), &["mtu", "1400"]);
        let pod = fwd.up("c1", &["--datapath", datapath]);
        assert_carries(&pod, outside[0], 1400);
        let whole = asked(&pod, 1500, outside[1]);
        assert!(whole.contains("1 received"), "a route within that asks for nothing: {whole}");
        assert_eq!(warnings(&fwd, &pod), [""; 0]);
        // It changes behind fwd's back.
        route("default".into(), &["mtu", "1300"]);
        if datapath == "tc" {
            assert!(warnings(&fwd, &pod)[0].contains("MTUs"), "{:?}", warnings(&fwd, &pod));
            fwd.ok(&["up", "--ns", &pod.name]);
            assert_eq!(warnings(&fwd, &pod), [""; 0]);
        }
        // Flows take it up as well, within a second.
        wait_until(PATIENCE, "the route is looked up again", || {
            Ok(asked(&pod, 1301, outside[0]).contains("1300").then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}"));
        assert_carries(&pod, outside[0], 1300);
        route("default".into(), &[]);
        fwd.ok(&["up", "--ns", &pod.name]);
        wait_until(PATIENCE, "nothing asks for an MTU any more", || {
            Ok(asked(&pod, 1500, outside[0]).contains("1 received").then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn rules_by_the_type_of_service_are_followed() {
    let fwd = Fwd::new();
    let outside = fwd.uplink(0).outside[0];
    // To nobody, but for one type of service.
    fwd.on_host(&[
        "ip",
        "route",
        "add",
        &format!("{outside}/32"),
        "via",
        &fwd.uplink(0).gateway.to_string(),
        "table",
        "100",
    ]);
    fwd.on_host(&["ip", "rule", "add", "tos", "0x10", "lookup", "100", "priority", "100"]);
    fwd.on_host(&["ip", "route", "add", "prohibit", &format!("{outside}/32")]);
    let pod = fwd.up("c1", &[]);
    let ping = |tos: &str| {
        let argv = ["ping", "-n", "-c", "3", "-i", "0.6", "-W", "5", "-Q", tos, &outside.to_string()];
        try_inside(&pod, &argv).stdout
    };
    assert!(ping("0x10").contains("3 received"));
    assert!(ping("0").contains("0 received"));
    assert!(pings(&pod, fwd.uplink(0).outside[1]));
}

#[test]
fn rules_by_a_mark_are_told() {
    let fwd = Fwd::new();
    fwd.on_host(&["ip", "rule", "add", "not", "fwmark", "0x7", "lookup", "main", "priority", "99"]);
    let pod = fwd.up("c1", &[]);
    assert_eq!(warnings(&fwd, &pod), [""; 0], "what all follow that have no mark is followed");
    fwd.ok(&["down", "--all"]);
    fwd.on_host(&["ip", "rule", "add", "fwmark", "0x1/0xff", "lookup", "100", "priority", "100"]);
    let name = fwd.name("c1");
    let output = fwd.call(&["up", "--ns", &name]);
    assert!(output.status.success() && output.stderr.contains("100: fwmark 0x1/0xff"), "{}", output.stderr);
    assert!(warnings(&fwd, &pod)[0].contains("100: fwmark 0x1/0xff"));
    fwd.ok(&["down", "--all"]);
    let output = fwd.call(&["up", "--ns", &name, "--datapath", "kernel"]);
    assert!(output.status.success() && !output.stderr.contains("fwmark"), "the kernel follows it: {}", output.stderr);
}

/// A host whose packets leave by `eth0`, and are answered by `eth1`.
fn asymmetric() -> Fwd {
    let fwd = Fwd::with(&TestbedSpec { uplinks: 2, ..TestbedSpec::default() });
    fwd.on_host(&["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth1.rp_filter=0"]);
    let (left, right) = (fwd.internet(0), fwd.internet(1));
    let script = "ip link add x0 type veth peer name x1 netns \"$1\"
        ip address add 198.18.99.1/24 dev x0
        ip link set x0 up";
    inside(left, &["sh", "-ec", script, "sh", right.name().as_str()]);
    let host = fwd.uplink(0).address.to_string();
    let script = "ip address add 198.18.99.2/24 dev x1
        ip link set x1 up
        sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.x1.rp_filter=0
        ip route add \"$1\" via \"$2\"";
    inside(right, &["sh", "-ec", script, "sh", &host, &fwd.uplink(1).address.to_string()]);
    inside(left, &["ip", "route", "add", &host, "via", "198.18.99.2"]);
    fwd
}

/// A conversation of `pod` with the server behind `eth0`, whose answers come by `eth1`; whether they are heard.
#[track_caller]
fn is_answered(fwd: &Fwd, pod: &Pod) -> bool {
    let server = at(fwd.uplink(0).outside[0], 7000);
    let socket = udp(fwd.internet(0), server);
    let client = udp(pod, ANY);
    client.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a socket");
    client.send_to(b"is anybody there?", server).expect("it leaves");
    let (_, from) = socket.recv_from(&mut [0; 32]).expect("it arrives");
    assert_eq!(from.ip(), fwd.uplink(0).address, "behind the address of the uplink that it left by");
    socket.send_to(b"yes", from).expect("it leaves");
    client.recv_from(&mut [0; 32]).is_ok()
}

#[test]
fn replies_may_come_in_by_another_uplink() {
    for datapath in ["tc", "xdp"] {
        let fwd = asymmetric();
        let pod = fwd.up("c1", &["--uplink", "eth0", "--datapath", datapath]);
        // That makes an uplink of it.
        fwd.up("c2", &["--uplink", "eth1", "--network", "second", "--datapath", datapath]);
        let server = at(fwd.uplink(0).outside[0], 9000);
        let echo = echo_tcp(listen(fwd.internet(0), server), 1);
        let stream = connect(&pod, ANY, server).expect("it connects");
        (0..20).for_each(|_| echoed(&stream, &[7; 4000]));
        drop(stream);
        assert_eq!(echo.join().expect("the server")[0].ip(), fwd.uplink(0).address);
        assert!(is_answered(&fwd, &pod));
        let outside = fwd.uplink(0).outside[0].to_string();
        // In fragments, and an error about what was sent.
        let ping = try_inside(&pod, &["ping", "-n", "-q", "-c", "2", "-i", "0.2", "-W", "5", "-s", "4000", &outside]);
        assert!(ping.status.success(), "{ping:?}");
        let closed = udp(&pod, ANY);
        closed.connect(at(fwd.uplink(0).outside[0], 7999)).expect("a socket");
        closed.send(b"is it closed?").expect("it leaves");
        assert_eq!(closed.recv(&mut [0; 8]).expect_err("it is").kind(), std::io::ErrorKind::ConnectionRefused);
        // The host's own conversations are the host's.
        assert!(pings(fwd.host(), fwd.uplink(0).outside[0]));
        let echo = echo_tcp(listen(fwd.internet(0), at(fwd.uplink(0).outside[0], 9001)), 1);
        let own = connect(fwd.host(), ANY, at(fwd.uplink(0).outside[0], 9001)).expect("it connects");
        echoed(&own, b"by the other interface");
        drop(own);
        echo.join().expect("the server");
        assert_eq!(fwd.counted("to_uplink", "punted", Some("AsymmetricReply")), 0);
        assert_eq!(warnings(&fwd, &pod), [""; 0]);
    }
}

/// What a strict source check of the host refuses to the host, it refuses to namespaces.
#[test]
fn replies_come_in_by_no_uplink_that_checks_sources_strictly() {
    let fwd = asymmetric();
    let pod = fwd.up("c1", &["--uplink", "eth0"]);
    fwd.up("c2", &["--uplink", "eth1", "--network", "second"]);
    assert!(is_answered(&fwd, &pod));
    fwd.on_host(&["sysctl", "-qw", "net.ipv4.conf.eth1.rp_filter=1"]);
    // A flow that had its answers there before keeps them; commands tell the programs.
    fwd.up("c1", &[]);
    assert!(!is_answered(&fwd, &pod));
    fwd.on_host(&["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=2"]);
    fwd.up("c1", &[]);
    assert!(is_answered(&fwd, &pod), "the larger value holds, and that is loose");
}

#[test]
fn replies_that_come_in_by_another_interface_are_counted_and_named() {
    let fwd = asymmetric();
    let outside = fwd.uplink(0).outside[0];
    let server = at(outside, 7000);
    // The host knows its conversations whatever way the answers take.
    let echo = echo_tcp(listen(fwd.internet(0), server), 1);
    let own = connect(fwd.host(), ANY, server).expect("it connects");
    echoed(&own, b"by the other interface");
    drop(own);
    echo.join().expect("the server");
    let pod = fwd.up("c1", &["--uplink", "eth0"]);
    assert_eq!(warnings(&fwd, &pod), [""; 0]);
    let refused = || fwd.counted("to_uplink", "punted", Some("AsymmetricReply"));
    let _listener = listen(fwd.internet(0), server);
    let client =
        pod.run(|| Ok(std::net::TcpStream::connect_timeout(&server.into(), std::time::Duration::from_secs(1)).is_ok()));
    assert!(!client.expect("a thread inside"));
    let tcp = refused();
    assert!(tcp > 0);
    let socket = udp(fwd.internet(0), server);
    let client = udp(&pod, ANY);
    let told = || {
        client.send_to(b"is anybody there?", server).expect("it leaves");
        let (_, from) = socket.recv_from(&mut [0; 32]).expect("it arrives");
        socket.send_to(b"yes", from).expect("it leaves");
        Ok((refused() > tcp).then_some(()))
    };
    wait_until(LIMIT, "the refusal of a datagram is counted", told).unwrap_or_else(|error| panic!("{error}"));
    let shown = warnings(&fwd, &pod);
    assert!(shown.iter().any(|warning| warning.contains("AsymmetricReply") && warning.contains("eth0")), "{shown:?}");
    assert!(fwd.ok(&["stats"]).contains("came in by another interface"));
}

/// calico#10469: of two next hops the network takes the one by its uplink, whatever the destination.
#[test]
fn bound_network_takes_of_several_next_hops_the_one_by_its_uplink() {
    const DESTINATIONS: u32 = 16;
    let fwd = Fwd::with(&TestbedSpec { uplinks: 2, ..TestbedSpec::default() });
    let hop = |number: usize| fwd.uplink(number).gateway.to_string();
    let (left, right) = (hop(0), hop(1));
    let hops = ["nexthop", "via", &left, "dev", "eth0", "nexthop", "via", &right, "dev", "eth1"];
    fwd.on_host(&[&["ip", "route", "replace", "default"], &hops[..]].concat());
    let pod = fwd.up("c1", &["--uplink", "eth1"]);
    assert_eq!(warnings(&fwd, &pod), [""; 0]);
    let socket = udp(fwd.internet(1), any(7000));
    let client = udp(&pod, ANY);
    inside(fwd.internet(1), &["ip", "addr", "add", "198.18.64.0/24", "dev", "lo"]);
    for number in 1..=DESTINATIONS {
        // By the host's own choice each would take one of both ways.
        client.send_to(b"which way?", at((0xc612_4000 + number).into(), 7000)).expect("it leaves");
        let (_, from) = socket.recv_from(&mut [0; 16]).expect("it arrives");
        assert_eq!(from.ip(), fwd.uplink(1).address);
    }
    assert_eq!(fwd.counted("from_ns", "dropped", Some("RouteNotViaUplink")), 0);
}
