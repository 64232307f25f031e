//! Multicast: namespaces of a network hear each other, as mDNS needs it, and nobody outside hears them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use forwarder::{
    Context as _,
    netns::Netns,
    testbed::{TestbedSpec, wait_until},
};

use crate::{
    fwd::{Fwd, LIMIT, Pod},
    peers::{ANY, any, at, udp},
};

/// The groups of mDNS (RFC 6762 §3).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const PORT: u16 = 5353;

/// A socket that hears the group by the interface with this address.
fn hears(ns: &Netns, address: Ipv4Addr) -> UdpSocket {
    let socket = udp(ns, any(PORT));
    ns.run(|| socket.join_multicast_v4(&GROUP, &address).doing("join", GROUP.to_string())).expect("a member");
    socket
}

/// The number of an interface, as its namespace has it.
fn index(ns: &Netns, interface: &str) -> u32 {
    ns.run(|| nix::net::if_::if_nametoindex(interface).doing("find", interface)).expect("an interface")
}

/// Sends to a group until each of those who listen has heard it.
#[track_caller]
fn reaches(from: &UdpSocket, group: SocketAddr, listeners: &[&UdpSocket]) {
    for listener in listeners {
        listener.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a socket");
        let heard = || {
            from.send_to(b"who is there?", group).doing("send to", group.to_string())?;
            let heard = listener.recv(&mut [0; 64]).ok();
            Ok(heard.filter(|length| *length == 13))
        };
        wait_until(LIMIT, "it is heard", heard).unwrap_or_else(|error| panic!("{group}: {error}"));
    }
}

#[test]
fn namespaces_of_a_network_hear_each_others_groups_and_nobody_outside_does() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    // Rules are about conversations with one: what is for all of the network passes.
    let pods: [Pod; 3] = [fwd.up("c1", &[]), fwd.up("c2", &[]), fwd.up("c3", &["--deny-in", "any"])];
    let listeners = [&pods[1], &pods[2]].map(|pod| hears(pod, pod.address));
    let outside = hears(fwd.internet(0), fwd.uplink(0).outside[0]);
    reaches(&udp(&pods[0], ANY), at(GROUP, PORT).into(), &listeners.each_ref());
    // From its port, as who answers does.
    reaches(&hears(&pods[0], pods[0].address), at(GROUP, PORT).into(), &listeners.each_ref());
    outside.set_nonblocking(true).expect("a socket");
    assert!(outside.recv(&mut [0; 64]).is_err(), "nobody outside hears it");
    assert!(fwd.counted("from_ns", "punted", Some("Multicast")) >= 4, "it is counted for its reason");
    drop(listeners);

    let listener = udp(&pods[1], SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0));
    let scope = index(&pods[1], "eth0");
    pods[1].run(|| listener.join_multicast_v6(&GROUP6, scope).doing("join", GROUP6.to_string())).expect("a member");
    let sender = udp(&pods[0], SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
    reaches(&sender, SocketAddrV6::new(GROUP6, PORT, 0, index(&pods[0], "eth0")).into(), &[&listener]);
}
