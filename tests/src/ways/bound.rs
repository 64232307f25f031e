//! A network that is bound to its uplink, wherever the host's own routes lead.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use forwarder::testbed::wait_until;

use super::{host, remote, warnings};
use crate::{
    capture::Recording,
    fwd::{Fwd, LIMIT, Pod, answers, inside, pings, told, try_inside},
    peers::{ANY, any, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    uplinks::ip,
};

const UNSUPPORTED: i32 = 5;

/// Gives `eth1` a default route that the host itself does not use.
fn lead_out(fwd: &Fwd, options: &str) {
    ip(fwd, &format!("route add default via {} dev eth1 metric 200{options}", fwd.uplink(1).gateway));
}

/// A connection of `pod` to `remote()` reaches the internet behind `eth1`, from that interface's address.
#[track_caller]
fn assert_leaves_by_eth1(fwd: &Fwd, pod: &Pod) {
    let server = at(remote(fwd), 9000);
    let clients = echo_tcp(listen(fwd.internet(1), server), 1);
    echoed(&connect(pod, ANY, server).expect("it connects"), b"by the fast card");
    let seen: Vec<_> = clients.join().expect("the server").iter().map(SocketAddr::ip).collect();
    assert_eq!(seen, [fwd.uplink(1).address]);
}

/// cilium#18179: what leaves by the one card must not be masqueraded behind, or sent by, the other.
#[test]
fn bound_network_leaves_by_its_uplink_beside_a_default_route_by_another() {
    for datapath in ["tc", "xdp"] {
        let fwd = host();
        lead_out(&fwd, "");
        let recording = Recording::start(&fwd, fwd.internet(0), "inet0");
        let pod = fwd.up("c1", &["--uplink", "eth1", "--datapath", datapath]);
        assert_eq!((&pod.shown["bound"], warnings(&fwd, &pod)), (&true.into(), vec![]));
        assert!(fwd.ok(&["ls"]).contains("bound to its uplink"));
        assert_leaves_by_eth1(&fwd, &pod);
        // The host goes on as before.
        assert!(pings(fwd.host(), remote(&fwd)));
        let server = at(remote(&fwd), 7000);
        let replies = echo_udp(udp(fwd.internet(1), server), 20);
        let client = udp(&pod, ANY);
        (0..20).for_each(|_| asked(&client, server, b"again and again"));
        replies.join().expect("the server");
        let packets = recording.all();
        let foreign =
            packets.iter().filter(|packet| packet.source() == pod.address || packet.source() == fwd.uplink(1).address);
        assert_eq!(foreign.count(), 0, "nothing of the network left by eth0");
    }
}

#[test]
fn bound_network_reaches_the_host_its_own_and_no_other_network() {
    let fwd = host();
    lead_out(&fwd, "");
    let (one, two) = (fwd.up("c1", &["--uplink", "eth1"]), fwd.up("c2", &[]));
    let other = fwd.up("c3", &["--network", "other"]);
    assert_eq!(other.shown["bound"], false);
    for here in [one.gateway, fwd.uplink(0).address, fwd.uplink(1).address, two.address] {
        assert!(pings(&one, here), "{here}");
    }
    assert!(!answers(&one, other.address));
    assert!(fwd.counted("from_ns", "dropped", Some("OtherNetwork")) > 0);
    let nobody = Ipv4Addr::from_bits(one.gateway.to_bits() + 99);
    assert!(!answers(&one, nobody));
    assert!(
        fwd.counted("from_ns", "punted", Some("OwnNetwork")) > 0 || fwd.counted("from_ns", "punted", Some("Arp")) > 0
    );
    assert!(pings(&other, remote(&fwd)));
    let first = told(&one, &["-t", "1", &remote(&fwd).to_string()]);
    assert!(first.stdout.contains(&format!("From {} ", one.gateway)), "{first:?}");
}

/// Hosts with two cards often have a table of routes for each, chosen by the address of the card.
#[test]
fn bound_network_follows_rules_that_go_by_the_uplinks_address() {
    let fwd = host();
    ip(&fwd, &format!("route add default via {} dev eth1 table 101", fwd.uplink(1).gateway));
    ip(&fwd, &format!("rule add from {} lookup 101", fwd.uplink(1).address));
    let pod = fwd.up("c1", &["--uplink", "eth1"]);
    assert_eq!(warnings(&fwd, &pod), [""; 0]);
    assert_leaves_by_eth1(&fwd, &pod);
}

#[test]
fn bound_network_without_a_route_outside_is_told_and_goes_on_once_there_is_one() {
    let fwd = host();
    let name = fwd.name("c1");
    let output = fwd.call(&["up", "--ns", &name, "--uplink", "eth1"]);
    let remedy = "ip route add default via ROUTER dev eth1 metric 200";
    assert!(output.status.success() && output.stderr.contains(remedy), "{}", output.stderr);
    let pod = fwd.up("c1", &[]);
    assert!(warnings(&fwd, &pod).iter().any(|warning| warning.contains(remedy)));
    let client = udp(&pod, ANY);
    client.send_to(b"is there a way?", at(remote(&fwd), 7000)).expect("it leaves");
    assert!(fwd.counted("from_ns", "dropped", Some("RouteNotViaUplink")) > 0);
    // Its own link needs no route.
    assert!(pings(&pod, fwd.uplink(1).gateway));
    lead_out(&fwd, "");
    assert_leaves_by_eth1(&fwd, &pod);
    assert!(!warnings(&fwd, &pod).iter().any(|warning| warning.contains("metric 200")));
}

#[test]
fn flow_of_a_bound_network_follows_the_routes_of_its_uplink() {
    let fwd = host();
    lead_out(&fwd, "");
    let pod = fwd.up("c1", &["--uplink", "eth1"]);
    let server = at(remote(&fwd), 7000);
    let socket = udp(fwd.internet(1), server);
    let client = udp(&pod, any(5000));
    let sent_from = || {
        client.send_to(b"hello", server).expect("it leaves");
        socket.recv_from(&mut [0; 16]).ok().map(|(_, from)| from)
    };
    let first = sent_from();
    assert!(first.is_some());
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
    let gateway = fwd.uplink(1).gateway;
    ip(&fwd, &format!("route del default via {gateway} dev eth1"));
    let lost = || Ok(sent_from().is_none().then_some(()));
    wait_until(LIMIT, "nothing arrives without a route", lost).unwrap_or_else(|error| panic!("{error}"));
    let second = Ipv4Addr::from_bits(gateway.to_bits() + 50);
    inside(fwd.internet(1), &["ip", "addr", "add", &format!("{second}/24"), "dev", "inet0"]);
    ip(&fwd, &format!("route add default via {second} dev eth1 metric 300"));
    let found = wait_until(LIMIT, "it arrives by the other router", || Ok(sent_from()));
    // The flow has waited, and kept its port.
    assert_eq!(Some(found.unwrap_or_else(|error| panic!("{error}"))), first);
}

/// The kernel would send it by `eth0`, or say how large that one's packets may be.
#[test]
fn sender_in_a_bound_network_is_told_how_large_packets_may_be() {
    let fwd = host();
    lead_out(&fwd, " mtu 1300");
    let recording = Recording::start(&fwd, fwd.internet(0), "inet0");
    let pod = fwd.up("c1", &["--uplink", "eth1"]);
    let ping = |size: &str, discovery: &str| {
        inside(&pod, &["ip", "route", "flush", "cache"]);
        let argv =
            ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "5", "-M", discovery, "-s", size, &remote(&fwd).to_string()];
        let output = try_inside(&pod, &argv);
        output.stdout + &output.stderr
    };
    let told = ping("1372", "do");
    assert!(told.contains(&format!("From {}", pod.gateway)) && told.contains("mtu"), "{told}");
    assert!(told.contains("1300"), "{told}");
    assert!(ping("1272", "do").contains("2 received"));
    assert!(fwd.counted("from_ns", "punted", Some("TooBig")) > 0);
    // TCP finds it out, and so does who lets the kernel cut.
    let server = at(remote(&fwd), 9000);
    let clients = echo_tcp(listen(fwd.internet(1), server), 1);
    echoed(&connect(&pod, ANY, server).expect("it connects"), &[7; 20_000]);
    clients.join().expect("the server");
    assert!(ping("1372", "want").contains("1 received"), "the first tells the size");
    assert!(!ping("2800", "dont").contains("0 received"), "the kernel inside cuts them smaller");
    let foreign = recording.all().into_iter().filter(|packet| packet.source() == pod.address).count();
    assert_eq!(foreign, 0, "nothing of the network left by eth0");
}

#[test]
fn kernel_datapath_is_refused_beside_a_default_route_by_another_interface() {
    let fwd = host();
    lead_out(&fwd, "");
    let name = fwd.name("c1");
    fwd.expect_error(
        &["up", "--ns", &name, "--uplink", "eth1", "--datapath", "kernel"],
        UNSUPPORTED,
        &["eth1", "eth0", "--datapath tc"],
    );
}
