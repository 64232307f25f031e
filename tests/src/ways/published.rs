//! Published ports by every uplink: what answers goes back the way it came.

use std::net::SocketAddr;

use forwarder::testbed::wait_until;

use super::{host, remote, warnings};
use crate::{
    capture::Recording,
    fwd::{Fwd, LIMIT},
    peers::{ANY, any, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    uplinks::ip,
};

/// A client outside.
const CLIENT: u16 = 40_123;

/// Gives `eth1` a route outside that the host itself uses last.
fn lead_out(fwd: &Fwd) {
    ip(fwd, &format!("route add default via {} dev eth1 metric 200", fwd.uplink(1).gateway));
}

/// moby#17212: asked at the second uplink, by somebody to whom the host's own route leads by the first.
#[test]
fn published_port_is_reached_by_every_uplink_and_answers_go_back_the_way_they_came() {
    let fwd = host();
    lead_out(&fwd);
    let pod = fwd.up("c1", &["-p", "8080:80", "-p", "53:5353/udp"]);
    assert_eq!(warnings(&fwd, &pod), [""; 0]);
    let recording = Recording::start(&fwd, fwd.internet(0), "inet0");
    for number in [1_u16, 0] {
        let (internet, asked_at) = (fwd.internet(number.into()), fwd.uplink(number.into()).address);
        // A client is told from another by his address and port alone.
        let client = at(remote(&fwd), CLIENT + number);
        let server = echo_tcp(listen(&pod, any(80)), 1);
        let stream = connect(internet, client, at(asked_at, 8080)).expect("it is published");
        for _ in 0..20 {
            echoed(&stream, b"by whichever uplink");
        }
        drop(stream);
        assert_eq!(server.join().expect("the server")[0], SocketAddr::from(client));
        let server = echo_udp(udp(&pod, any(5353)), 1);
        asked(&udp(internet, client), at(asked_at, 53), b"who is there?");
        assert_eq!(server.join().expect("the server")[0], SocketAddr::from(client));
        if number == 1 {
            let strayed = recording.all().into_iter().filter(|packet| packet.source() == asked_at).count();
            assert_eq!(strayed, 0, "answers left by the other uplink");
        }
    }
}

#[test]
fn way_back_that_is_missing_is_counted_and_who_is_bound_answers_by_its_uplink_alone() {
    let fwd = host();
    let pod = fwd.up("c1", &["-p", "53:5353/udp"]);
    let server = echo_udp(udp(&pod, any(5353)), 2);
    // On the link it needs no route.
    let asked_at = at(fwd.uplink(1).address, 53);
    asked(&udp(fwd.internet(1), at(fwd.uplink(1).gateway, CLIENT)), asked_at, b"from the link");
    let client = udp(fwd.internet(1), at(remote(&fwd), CLIENT));
    client.send_to(b"from afar", asked_at).expect("it leaves");
    let refused = || Ok((fwd.counted("from_uplink", "dropped", Some("RouteNotViaUplink")) > 0).then_some(()));
    wait_until(LIMIT, "it is counted that there is no way back", refused).unwrap_or_else(|error| panic!("{error}"));
    lead_out(&fwd);
    asked(&client, asked_at, b"is there a way back now?");
    server.join().expect("the server");
    let other = fwd.up("c2", &["--network", "bound", "--uplink", "eth0", "-p", "9090:90"]);
    let _other = listen(&other, any(90));
    let client = at(remote(&fwd), CLIENT);
    connect(fwd.internet(0), client, at(fwd.uplink(0).address, 9090)).expect("by its uplink");
    connect(fwd.internet(1), client, at(fwd.uplink(1).address, 9090)).expect_err("the host refuses by any other");
}

/// The same where the kernel forwards: nobody else's interface leads there, but networks do, one that comes later too.
#[test]
fn port_of_a_bound_network_that_the_kernel_forwards_is_for_its_uplink_the_host_and_namespaces() {
    let fwd = host();
    let pod = fwd.up("c1", &["--network", "bound", "--uplink", "eth0", "--datapath", "kernel", "-p", "9090:90"]);
    let neighbour = fwd.up("c2", &["--network", "bound"]);
    let other = fwd.up("c3", &["--network", "other", "--datapath", "kernel"]);
    let _server = listen(&pod, any(90));
    let own = fwd.uplink(0).address;
    let client = at(remote(&fwd), CLIENT);
    connect(fwd.internet(0), client, at(own, 9090)).expect("by its uplink");
    connect(fwd.internet(1), client, at(fwd.uplink(1).address, 9090)).expect_err("the host refuses by any other");
    for (who, ns) in
        [("itself", &*pod), ("a neighbour", &neighbour), ("another network", &other), ("the host", fwd.host())]
    {
        connect(ns, ANY, at(own, 9090)).unwrap_or_else(|error| panic!("{who}: {error}"));
    }
}
