//! A capture on the uplink that must stay empty.

use std::time::Duration;

use forwarder::lab::{Process, command_in, wait_until};

use crate::fwd::{Fwd, try_inside};

const LIMIT: Duration = Duration::from_secs(20);

/// An address of the pool of subnets that no network has: what it sends shows that the capture works.
const CONTROL: &str = "10.77.200.1";

/// Sees every packet on `eth0` of the host with an address that a namespace may have.
pub(crate) struct Capture<'a> {
    fwd: &'a Fwd,
    tcpdump: Process,
}

impl<'a> Capture<'a> {
    #[track_caller]
    pub(crate) fn start(fwd: &'a Fwd) -> Self {
        let argv = ["tcpdump", "-l", "--immediate-mode", "-n", "-p", "-i", "eth0", "net", "10.77.0.0/16"];
        let tcpdump = Process::spawn(command_in(fwd.host(), &argv)).expect("tcpdump starts");
        let listening = || Ok(tcpdump.stderr().contains("listening on").then_some(()));
        wait_until(LIMIT, "tcpdump listens", listening).unwrap_or_else(|error| panic!("{error}: {}", tcpdump.stderr()));
        Self { fwd, tcpdump }
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
