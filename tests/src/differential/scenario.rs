//! A host with one of the data paths, two namespaces, and somebody far away behind a hop with a smaller MTU.

use std::{collections::BTreeSet, net::Ipv4Addr};

use forwarder::{
    netlink::{Netlink, PairKind, PairSpec},
    netns::Netns,
    testbed::{Namespace, TestbedSpec},
};

use crate::{
    capture::Recording,
    fwd::{Fwd, Pod, inside, pings},
    packet::{ICMP, Packet, TCP, UDP},
};

/// Of the link behind the router, bytes.
pub(super) const NARROW: u32 = 1300;
/// The far end of that link, and the router's.
const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 9, 2);
const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 9, 1);

pub(super) struct Scenario {
    pub(super) fwd: Fwd,
    pub(super) datapath: &'static str,
    pub(super) one: Pod,
    pub(super) two: Pod,
    pub(super) far_ns: Namespace,
    pub(super) far: Ipv4Addr,
    pub(super) outside: Ipv4Addr,
}

impl Scenario {
    pub(super) fn new(datapath: &'static str) -> Self {
        let fwd = if datapath == "xdp" { Fwd::with_xdp(&TestbedSpec::default()) } else { Fwd::new() };
        let (one, two) = (fwd.up("c1", &["--datapath", datapath]), fwd.up("c2", &[]));
        let far_ns = Namespace::create(&fwd.name("far")).expect("a namespace");
        let inner = Netlink::open(fwd.internet(0)).expect("a connection");
        let veth = PairSpec {
            kind: PairKind::Veth,
            host_if: "far0".into(),
            ns_if: "eth0".into(),
            host_mac: None,
            ns_mac: [2, 0, 0, 0, 9, 2],
            mtu: NARROW,
            alias: "far away".into(),
        };
        let index = inner.create_pair(&veth, &far_ns).expect("a link");
        inner.add_address(index, format!("{ROUTER}/24").parse().expect("an address")).expect("it is added");
        let outer = Netlink::open(&far_ns).expect("a connection");
        let eth = outer.link("eth0").expect("links").expect("the other end").index;
        outer.add_address(eth, format!("{FAR}/24").parse().expect("an address")).expect("it is added");
        outer.set_up(eth).expect("it comes up");
        outer.add_default_route(eth, ROUTER).expect("a route");
        inside(fwd.internet(0), &["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        let outside = fwd.uplink(0).outside[0];
        let scenario = Self { fwd, datapath, one, two, far_ns, far: FAR, outside };
        // Every neighbour is known from now on: no packet waits or is lost for it.
        for (ns, to) in [
            (&scenario.one, scenario.outside),
            (&scenario.one, scenario.far),
            (&scenario.two, scenario.far),
            (&scenario.one, scenario.two.address),
        ] {
            assert!(pings(ns, to), "{to}");
        }
        scenario
    }

    pub(super) fn internet(&self) -> &Netns {
        self.fwd.internet(0)
    }

    /// What an address is to the user.
    pub(super) fn role(&self, address: Ipv4Addr) -> String {
        let uplink = self.fwd.uplink(0);
        let roles = [
            (self.one.address, "one"),
            (self.two.address, "two"),
            (self.one.gateway, "gateway"),
            (uplink.address, "uplink"),
            (uplink.gateway, "router"),
            (ROUTER, "router's far scenario"),
            (self.far, "far"),
            (self.outside, "outside"),
        ];
        let role = roles.into_iter().find(|(known, _)| *known == address);
        role.map_or_else(|| address.to_string(), |(_, role)| role.to_owned())
    }

    /// Records what a place sees while something is done.
    pub(super) fn seen_by<T>(
        &self,
        ns: &Netns,
        interface: &str,
        wanted: u8,
        act: impl FnOnce() -> T,
    ) -> (T, Vec<String>) {
        let recording = Recording::start(&self.fwd, ns, interface);
        let done = act();
        let packets = recording.all();
        let seen: BTreeSet<String> =
            packets.iter().filter(|packet| packet.proto() == wanted).map(|packet| self.describe(packet)).collect();
        (done, seen.into_iter().collect())
    }

    /// What both data paths have to do alike to a packet.
    fn describe(&self, packet: &Packet) -> String {
        let (from, to) = (self.role(packet.source()), self.role(packet.destination()));
        let what = match packet.proto() {
            TCP => "tcp".to_owned(),
            UDP => "udp".to_owned(),
            ICMP => packet.icmp_type().map_or_else(|| "icmp".into(), |(kind, code)| format!("icmp {kind}/{code}")),
            other => format!("protocol {other}"),
        };
        let (offset, more) = packet.fragment();
        let piece = if offset == 0 && !more { "" } else { ", a fragment" };
        let faults = packet.faults().iter().any(|fault| fault.starts_with("IP checksum"));
        let fault = if faults { ", BROKEN" } else { "" };
        format!("{what} {from} > {to}, ttl {}{piece}{fault}", packet.ttl())
    }
}
