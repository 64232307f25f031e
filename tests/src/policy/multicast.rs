//! Multicast: namespaces of a network hear each other, as mDNS needs it, and nobody outside hears them.

mod hostile;
mod outside;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use forwarder::{
    Context as _,
    netns::Netns,
    testbed::{Process, TestbedSpec, command_in, wait_until},
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

/// A host that routes multicast out of the network, as a daemon would have it (linux/mroute.h).
#[test]
fn what_the_host_would_route_out_of_a_network_is_dropped_and_counted() {
    const ROUTED: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
    const PROGRAM: &str = "import signal, socket, struct, sys
group, *ends = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
s.setsockopt(socket.IPPROTO_IP, 200, 1)  # MRT_INIT
for number, name in enumerate(ends[:2]):  # MRT_ADD_VIF, VIFF_USE_IFINDEX
    s.setsockopt(socket.IPPROTO_IP, 202, struct.pack('=HBBIi4x', number, 8, 1, 0, socket.if_nametoindex(name)))
entry = [socket.inet_aton(ends[2]), socket.inet_aton(group), 0, bytes([0, 1]), 0, 0, 0, 0]
s.setsockopt(socket.IPPROTO_IP, 204, struct.pack('4s4sH32sIIIi', *entry))  # MRT_ADD_MFC
print('ready', flush=True)
signal.pause()";
    let fwd = Fwd::new();
    let pods = [fwd.up("c1", &[]), fwd.up("c2", &[])];
    let inner = pods[0].address;
    let program = ["python3", "-c", PROGRAM, &ROUTED.to_string(), "fwd0", "eth0", &inner.to_string()];
    let router = Process::spawn(command_in(fwd.host(), &program)).expect("it starts");
    let is_ready = || Ok(router.stdout().contains("ready").then_some(()));
    wait_until(LIMIT, "it routes", is_ready).unwrap_or_else(|error| panic!("{error}: {}", router.stderr()));
    let neighbour = udp(&pods[1], any(PORT));
    let join = || neighbour.join_multicast_v4(&ROUTED, &pods[1].address).doing("join", ROUTED.to_string());
    pods[1].run(join).expect("a member");
    let sender = udp(&pods[0], at(inner, 0));
    sender.set_multicast_ttl_v4(4).expect("a socket");
    let dropped = || {
        sender.send_to(b"who is there?", at(ROUTED, PORT)).doing("send to", ROUTED.to_string())?;
        Ok((fwd.counted("to_uplink", "dropped", Some("MulticastOutside")) > 0).then_some(()))
    };
    wait_until(LIMIT, "it is dropped", dropped).unwrap_or_else(|error| panic!("{error}"));
    reaches(&sender, at(ROUTED, PORT).into(), &[&neighbour]);
}
