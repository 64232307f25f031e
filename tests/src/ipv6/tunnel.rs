//! What leaves by an uplink without a link-layer header, which the kernel translates.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use forwarder::testbed::{Process, wait_until};
use forwarder_common::wire::{
    emit::{Ethernet, Extension, Ipv6Packet},
    icmpv6::kind,
};

use super::{at, host_with, link};
use crate::{
    fwd::{Fwd, LIMIT, inside, open, pings6},
    peers::{assert_refused, connect, listen, udp},
    raw,
    tun::carry,
};

/// The host's address on the tunnel, and that of its other end.
const NEAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 2);
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1);
/// Somebody behind it.
const REMOTE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 1);

/// A host whose default route of IPv6 leaves by `tun0`, that of IPv4 by eth0, and who carries packets through the tunnel.
#[track_caller]
fn host() -> (Process, Fwd) {
    let fwd = host_with(1);
    let relay = carry(&fwd, false);
    for (ns, here) in [(fwd.host(), NEAR), (fwd.internet(0), FAR)] {
        inside(ns, &["sh", "-ec", &format!("ip link set tun0 up; ip -6 addr add {here}/64 dev tun0 nodad")]);
    }
    inside(fwd.internet(0), &["ip", "-6", "addr", "add", &REMOTE.to_string(), "dev", "lo", "nodad"]);
    fwd.on_host(&["ip", "-6", "route", "replace", "default", "dev", "tun0"]);
    (relay, fwd)
}

/// How many answers were dropped that came by another interface.
#[track_caller]
fn dropped(fwd: &Fwd, datapath: &str) -> u64 {
    if datapath != "kernel" {
        return fwd.counted("to_network", "dropped", Some("FromOtherInterface"));
    }
    let rules = fwd.on_host(&["nft", "list", "chain", "ip6", "fwd_nat", "forward"]);
    let counted = rules.split_once("counter packets ").and_then(|(_, rest)| rest.split(' ').next());
    counted.and_then(|packets| packets.parse().ok()).unwrap_or_else(|| panic!("{rules}"))
}

/// Who shares a link with the host could otherwise find out what it says through the tunnel, and speak in it (CVE-2019-14899).
#[test]
fn what_left_by_a_tunnel_is_answered_by_that_tunnel_alone() {
    for datapath in ["tc", "xdp", "kernel"] {
        let (_relay, fwd) = host();
        let pod = fwd.up("c1", &["--datapath", datapath]);
        assert!(pings6(&pod, REMOTE) && pings6(&pod, link(&fwd, 0).outside));
        let (client, server) = (udp(&pod, at(Ipv6Addr::UNSPECIFIED, 5555)), udp(fwd.internet(0), at(REMOTE, 53)));
        // Errors are heard by who is connected.
        client.connect(at(REMOTE, 53)).expect("a socket");
        client.send(b"question").expect("it leaves");
        let (_, from) = server.recv_from(&mut [0; 16]).expect("it arrives");
        let SocketAddr::V6(from) = from else { panic!("{from}") };
        assert_eq!(*from.ip(), NEAR);

        let remote = SocketAddrV6::new(REMOTE, 53, 0, 0);
        let answer = Ipv6Packet::udp(remote, from).payload(b"forged!!");
        let about = Ipv6Packet::udp(from, remote).payload(b"question").emit();
        let error = |src| Ipv6Packet::icmp(src, NEAR, kind::UNREACHABLE, 4).payload(&about);
        let behind = |packet: Ipv6Packet| packet.extension(Extension::Destination(vec![0; 6]));
        let forged = [
            answer.clone(),
            behind(answer),
            error(REMOTE),
            // Whose own addresses are those of the link.
            error(link(&fwd, 0).gateway),
            behind(error(link(&fwd, 0).gateway)),
        ];
        let ethernet = Ethernet::new(raw::mac_of(fwd.host(), "eth0"), raw::mac_of(fwd.internet(0), "inet0"));
        raw::send(fwd.internet(0), "inet0", &forged.clone().map(|packet| packet.in_frame(&ethernet)));
        let mut buffer = [0; 16];
        server.send_to(b"answer", from).expect("it leaves");
        assert_eq!(client.recv(&mut buffer).expect("the tunnel's own"), 6, "{datapath}: {buffer:?}");
        wait_until(LIMIT, "they are dropped", || Ok((dropped(&fwd, datapath) == forged.len() as u64).then_some(())))
            .unwrap_or_else(|error| panic!("{datapath}: {error}"));

        // The other end's own errors come by the tunnel.
        drop(server);
        assert_refused(&client);
    }
}

/// Of IPv4 by programs, too; of IPv6 the kernel's own path alone has a translation there.
#[test]
fn published_port_is_reached_by_a_tunnel_over_ipv4_and_with_the_kernels_path() {
    for datapath in ["tc", "kernel"] {
        let (_relay, fwd) = host();
        let said = fwd.call(&["up", "--ns", &fwd.name("c1"), "--datapath", datapath, "-p", "8080:80"]).stderr;
        let told = said.contains("published ports are not reached over IPv6 by tun0");
        assert_eq!(told, datapath == "tc", "{datapath}: {said}");
        let pod = open(&fwd.name("c1"));
        let _server = listen(&pod, at(Ipv6Addr::UNSPECIFIED, 80));
        let connected = connect(fwd.internet(0), at(FAR, 0), at(NEAR, 8080));
        assert_eq!(connected.is_ok(), datapath == "kernel", "{datapath}: {connected:?}");
    }
}
