//! `--multicast`: groups of namespaces are heard by the uplink's link, and those of the link by namespaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use forwarder::{
    Context as _,
    netns::Netns,
    testbed::{TestbedSpec, wait_until},
};

use super::{GROUP, GROUP6, PORT, hears, index, reaches};
use crate::{
    fwd::{Fwd, LIMIT, inside},
    peers::{any, at, udp},
};

const USAGE: i32 = 2;
const UNSUPPORTED: i32 = 5;

/// A socket that hears the group of IPv6 by this interface.
fn hears6(ns: &Netns, interface: &str) -> UdpSocket {
    let socket = udp(ns, SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0));
    let scope = index(ns, interface);
    ns.run(|| socket.join_multicast_v6(&GROUP6, scope).doing("join", GROUP6.to_string())).expect("a member");
    socket
}

/// Sends to a group until it is heard, and tells from whom that came.
#[track_caller]
fn heard_from(from: &UdpSocket, group: SocketAddr, listener: &UdpSocket) -> SocketAddr {
    reaches(from, group, &[listener]);
    listener.set_read_timeout(Some(LIMIT)).expect("a socket");
    from.send_to(b"and now?", group).expect("it is sent");
    loop {
        let mut buffer = [0; 64];
        let (length, seen) = listener.recv_from(&mut buffer).expect("it is heard again");
        if buffer.get(..length) == Some(b"and now?") {
            return seen;
        }
    }
}

/// Counts in a namespace what comes there that a rule of nftables is about, until some has come, while `sends` is done again and again.
#[track_caller]
fn arrives(ns: &Netns, family: &str, rule: &str, mut sends: impl FnMut()) {
    let table = format!(
        "table {family} seen {{ chain seen {{ type filter hook prerouting priority raw; {rule} counter; }}; }}"
    );
    inside(ns, &["nft", &table]);
    let seen = || {
        sends();
        let listed = inside(ns, &["nft", "list", "table", family, "seen"]);
        Ok((!listed.contains("counter packets 0 ")).then_some(()))
    };
    wait_until(LIMIT, "it arrives", seen).unwrap_or_else(|error| panic!("{rule}: {error}"));
    inside(ns, &["nft", "delete", "table", family, "seen"]);
}

#[test]
fn multicast_passes_between_a_network_and_its_uplink_where_it_is_asked_for() {
    for datapath in ["tc", "xdp"] {
        let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
        let pod = fwd.up("c1", &["--multicast", "--datapath", datapath]);
        assert_eq!(pod.shown["multicast"], true);
        let (own, router) = (fwd.uplink(0).address, fwd.uplink(0).gateway);
        let link = || fwd.on_host(&["ip", "link", "show", "dev", "eth0"]);
        assert!(link().contains("ALLMULTI"), "{}", link());

        // Names: out from the uplink's address, in from whoever says them; the host hears its own as before.
        let listeners = [hears(fwd.internet(0), router), hears(&pod, pod.address), hears(fwd.host(), own)];
        let group = SocketAddr::from(at(GROUP, PORT));
        assert_eq!(heard_from(&listeners[1], group, &listeners[0]), SocketAddr::from(at(own, PORT)));
        let speaker = udp(fwd.internet(0), at(router, 0));
        reaches(&speaker, group, &[&listeners[1], &listeners[2]]);
        assert_eq!(heard_from(&speaker, group, &listeners[1]).ip(), IpAddr::from(router));

        // Routed groups: one hop further.
        let routed = Ipv4Addr::new(239, 1, 2, 3);
        let member = |ns: &Netns, address: Ipv4Addr| {
            let socket = udp(ns, any(PORT + 1));
            ns.run(|| socket.join_multicast_v4(&routed, &address).doing("join", routed.to_string())).expect("a member");
            socket
        };
        let members = [member(fwd.internet(0), router), member(&pod, pod.address)];
        let sender = udp(&pod, at(pod.address, 0));
        for socket in [&sender, &speaker] {
            socket.set_multicast_ttl_v4(4).expect("a socket");
        }
        let group = SocketAddr::from(at(routed, PORT + 1));
        assert_eq!(heard_from(&sender, group, &members[0]).ip(), IpAddr::from(own));
        reaches(&speaker, group, &[&members[1]]);
        arrives(fwd.internet(0), "ip", &format!("ip saddr {own} ip daddr {routed} ip ttl 3"), || {
            sender.send_to(b"how far?", group).expect("it is sent");
        });

        // Who joins says so to the link.
        let join = |ns: &Netns| {
            let other = Ipv4Addr::new(239, 1, 2, 4);
            ns.run(|| members[1].join_multicast_v4(&other, &pod.address).doing("join", "a group")).expect("a member");
            ns.run(|| members[1].leave_multicast_v4(&other, &pod.address).doing("leave", "a group")).expect("a member");
        };
        arrives(fwd.internet(0), "ip", &format!("ip protocol igmp ip saddr {own}"), || join(&pod));

        drop(listeners);
        let listeners = [hears6(fwd.internet(0), "inet0"), hears6(&pod, "eth0")];
        let on = |ns: &Netns, interface| SocketAddr::from(SocketAddrV6::new(GROUP6, PORT, 0, index(ns, interface)));
        let seen = heard_from(&listeners[1], on(&pod, "eth0"), &listeners[0]);
        let shown = fwd.on_host(&["ip", "-6", "-br", "addr", "show", "dev", "eth0", "scope", "link"]);
        assert!(shown.contains(&format!("{}/64", seen.ip())), "{seen}: {shown}");
        reaches(&listeners[0], on(fwd.internet(0), "inet0"), &[&listeners[1]]);

        // Nobody floods the link.
        let floods = || {
            (0..4_000).for_each(|_| drop(sender.send_to(b"listen!", group)));
            Ok((fwd.counted("to_uplink", "dropped", Some("RateExceeded")) > 0).then_some(()))
        };
        wait_until(LIMIT, "it is too much", floods).unwrap_or_else(|error| panic!("{error}"));
        assert!(fwd.ok(&["export"]).contains("multicast = true"));
        fwd.down("c1");
        assert!(!link().contains("ALLMULTI"), "{}", link());
    }
}

#[test]
fn multicast_that_no_program_copies_is_refused() {
    let fwd = Fwd::new();
    let up = |options: &[&str], code, words: &[&str]| {
        fwd.expect_error(&[&["up", "--ns", &fwd.name("c1"), "--multicast"], options].concat(), code, words);
    };
    up(&["--datapath", "kernel"], UNSUPPORTED, &["--multicast", "--datapath tc"]);
    up(&["--internal"], USAGE, &["--multicast", "--internal"]);
    // As any option of a network that is there.
    fwd.up("c2", &[]);
    up(&[], 4, &["multicast"]);
}
