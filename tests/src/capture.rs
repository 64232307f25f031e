//! Captures: one on the uplink that must stay empty, and recordings of any interface whose packets are looked at one by one.

use std::{
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use forwarder::{
    netns::Netns,
    testbed::{Process, command_in, wait_until},
};
use forwarder_common::wire::emit;

use crate::{
    fwd::{Fwd, inside, try_inside},
    packet::{self, Packet},
    raw,
};

const LIMIT: Duration = Duration::from_secs(20);

/// An address of the pool of subnets that no network has: what it sends shows that the capture works.
const CONTROL: &str = "10.77.200.1";

/// Source of the packet that marks how far a recording is complete (RFC 5737: nobody's).
const MARKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 250);

/// Sees every packet on an uplink of the host with an address that a namespace may have.
pub(crate) struct Capture<'a> {
    fwd: &'a Fwd,
    tcpdump: Process,
}

impl<'a> Capture<'a> {
    #[track_caller]
    pub(crate) fn start(fwd: &'a Fwd) -> Self {
        if fwd.is_xdp() { Self { fwd, tcpdump: watching(fwd.internet(0), "inet0") } } else { Self::on(fwd, "eth0") }
    }

    /// On another uplink, by which the default route must leave.
    #[track_caller]
    pub(crate) fn on(fwd: &'a Fwd, interface: &str) -> Self {
        Self { fwd, tcpdump: watching(fwd.host(), interface) }
    }

    /// Nothing was seen until now but a packet that was sent on purpose.
    #[track_caller]
    pub(crate) fn assert_empty(self) {
        let netlink = self.fwd.host().netlink().expect("a connection");
        let lo = netlink.link("lo").expect("links").expect("lo").index;
        netlink.add_address(lo, format!("{CONTROL}/32").parse().expect("an address")).expect("it is added");
        let outside = self.fwd.uplink(0).outside[0].to_string();
        let ping = try_inside(self.fwd.host(), &["ping", "-n", "-c", "1", "-W", "1", "-I", CONTROL, &outside]);
        assert!(!ping.status.success(), "the internet answers an address that it cannot know: {ping:?}");
        let seen = || Ok(self.tcpdump.stdout().contains(&format!("IP {CONTROL} > ")).then(|| self.tcpdump.stdout()));
        let seen = wait_until(LIMIT, "the capture sees the control packet", seen).unwrap_or_else(|e| panic!("{e}"));
        let leaked: Vec<_> = seen.lines().filter(|line| !line.contains(CONTROL)).take(10).collect();
        assert_eq!(leaked, [""; 0], "these left with an address of a namespace");
    }
}

/// Records every IPv4 packet on an interface, in both directions.
///
/// Checksums are only there to be looked at when their sender finishes them: see [`finish_checksums`].
pub(crate) struct Recording<'a> {
    ns: &'a Netns,
    interface: String,
    tcpdump: Process,
    file: PathBuf,
}

impl<'a> Recording<'a> {
    #[track_caller]
    pub(crate) fn start(fwd: &Fwd, ns: &'a Netns, interface: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let file = fwd.run_dir().join(format!("{}.pcap", NEXT.fetch_add(1, Ordering::Relaxed)));
        let path = file.to_str().expect("UTF-8");
        let argv = [
            "tcpdump",
            "-Z",
            "root",
            "-U",
            "--immediate-mode",
            "-n",
            "-p",
            // Where packets are collected (GRO), its buffer has room for each to be as large as they may be: 512 of them.
            "-s",
            "65535",
            "-B",
            "32768",
            "-i",
            interface,
            "-w",
            path,
            "ip",
        ];
        Self { ns, interface: interface.to_owned(), tcpdump: listening(ns, &argv), file }
    }

    /// On the uplink of the host, or at its other end.
    #[track_caller]
    pub(crate) fn on_uplink(fwd: &'a Fwd) -> Self {
        // What XDP sends is not seen where it leaves.
        if fwd.is_xdp() {
            return Self::start(fwd, fwd.internet(0), "inet0");
        }
        Self::start(fwd, fwd.host(), "eth0")
    }

    /// The packets so far.
    #[track_caller]
    pub(crate) fn so_far(&self) -> Vec<Packet> {
        packet::read(&fs::read(&self.file).expect("tcpdump writes"))
    }

    /// The first packet that is `wanted`, which must come.
    #[track_caller]
    pub(crate) fn find(&self, what: &str, wanted: impl Fn(&Packet) -> bool) -> Packet {
        let found = || Ok(self.so_far().into_iter().find(|packet| wanted(packet)));
        wait_until(LIMIT, &format!("{what} is captured"), found).unwrap_or_else(|error| {
            panic!("{error}; there are: {:#?}; {}", self.so_far(), self.tcpdump.stderr());
        })
    }

    /// All packets until now: what is captured when a packet that is sent on purpose has come. A namespace's own interface counts
    /// that one as `SpoofedSource`.
    #[track_caller]
    pub(crate) fn all(&self) -> Vec<Packet> {
        let marker = emit::Packet::other(MARKER, MARKER, 253).payload(b"until here");
        raw::send(self.ns, &self.interface, &[raw::frame([0xff; 6], [2, 0, 0, 0, 0, 1], &marker)]);
        self.find("the marker", |packet| packet.source() == MARKER);
        self.so_far().into_iter().filter(|packet| packet.source() != MARKER).collect()
    }

    /// As [`assert_clean`], of everything until now.
    #[track_caller]
    pub(crate) fn assert_clean(&self) -> Vec<Packet> {
        let packets = self.all();
        assert_clean(&packets);
        packets
    }
}

/// No packet has an address of a namespace, be it in a packet that it embeds, and every checksum is right.
#[track_caller]
pub(crate) fn assert_clean(packets: &[Packet]) {
    let inside = |address: Ipv4Addr| address.octets()[..2] == [10, 77];
    let wrong: Vec<_> = packets
        .iter()
        .filter(|packet| packet.addresses().into_iter().any(inside) || !packet.faults().is_empty())
        .map(|packet| (packet, packet.faults()))
        .take(10)
        .collect();
    assert!(wrong.is_empty(), "leaked or wrong: {wrong:#?}");
    assert!(!packets.is_empty(), "nothing was captured");
}

/// Has the sender behind `interface` finish every checksum and cut its segments, so that a capture sees what a wire would.
#[track_caller]
pub(crate) fn finish_checksums(ns: &Netns, interface: &str) {
    inside(ns, &["ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off"]);
}

/// The same for the namespace behind `pod`, the host's uplink and the internet: whatever they send is as on a wire.
#[track_caller]
pub(crate) fn finish_all_checksums(fwd: &Fwd, pods: &[&Netns]) {
    let others = pods.iter().map(|pod| (*pod, "eth0")).chain([(&**fwd.internet(0), "inet0")]);
    finish_checksums(fwd.host(), "eth0");
    for (ns, interface) in others {
        finish_checksums(ns, interface);
        if fwd.is_xdp() {
            // What takes frames from XDP collects packets, and shows them as one.
            inside(ns, &["ip", "link", "set", interface, "gro_max_size", "1"]);
        }
    }
}

/// Shows what has an address of a namespace.
#[track_caller]
fn watching(ns: &Netns, interface: &str) -> Process {
    listening(ns, &["tcpdump", "-l", "--immediate-mode", "-n", "-p", "-i", interface, "net", "10.77.0.0/16"])
}

/// A tcpdump that has begun.
#[track_caller]
fn listening(ns: &Netns, argv: &[&str]) -> Process {
    let tcpdump = Process::spawn(command_in(ns, argv)).expect("tcpdump starts");
    let listening = || Ok(tcpdump.stderr().contains("listening on").then_some(()));
    wait_until(LIMIT, "tcpdump listens", listening).unwrap_or_else(|error| panic!("{error}: {}", tcpdump.stderr()));
    tcpdump
}
