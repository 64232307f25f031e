//! The sandboxed host and what it is connected to.

use std::{
    ffi::OsStr,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    Namespace, Snapshot, cgroup,
    cleanup::{self, Cleanup},
    command_in, run_dir, stale, wait_until,
};
use fwd_base::{Context, Error, Kind, Result};
use fwd_kernel::{
    netlink::{Netlink, PairKind, PairSpec},
    netns::Netns,
};

/// Subnets of the uplinks, from the blocks for documentation and benchmarks (RFC 5737, RFC 2544).
const LINKS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(198, 51, 100, 0),
    Ipv4Addr::new(192, 0, 2, 0),
    Ipv4Addr::new(198, 18, 2, 0),
    Ipv4Addr::new(198, 18, 3, 0),
];
/// The router of each internet on its link (RFC 4291 §2.5.6).
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Addresses of each internet beyond its router.
const OUTSIDE: usize = 3;
/// How long a link may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// The interface of each internet.
pub const INTERNET_IF: &str = "inet0";

/// What a testbed is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestbedSpec {
    /// Number of uplinks, 1 to 4, each with an internet of its own.
    pub uplinks: usize,
    /// Largest IP packet of the uplinks, bytes.
    pub mtu: u32,
    /// IPv6 beside IPv4.
    pub ipv6: bool,
}

impl Default for TestbedSpec {
    fn default() -> Self {
        Self { uplinks: 1, mtu: 1500, ipv6: false }
    }
}

/// An uplink of the host and the internet behind it.
pub struct Uplink {
    /// Name of the interface in the host: `eth0`, `eth1`, …
    pub name: String,
    /// The host's address on it, a /24: `198.51.100.2`.
    pub address: Ipv4Addr,
    /// The router: the address of the internet on the same link.
    pub gateway: Ipv4Addr,
    /// Addresses of the internet beyond the router: `203.0.113.1`, …
    pub outside: Vec<Ipv4Addr>,
    /// The same of IPv6, if the testbed has that.
    pub ipv6: Option<Ipv6Link>,
    /// The namespace behind it. It knows no way to any other address than the host's, so what arrives untranslated gets no
    /// answer.
    pub internet: Namespace,
}

/// The addresses of IPv6 at an uplink, from the block for documentation (RFC 3849).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Link {
    /// The host's address on it, a /64: `2001:db8::2`.
    pub address: Ipv6Addr,
    /// The router: the address of the internet on the same link.
    pub gateway: Ipv6Addr,
    /// An address of the internet beyond the router: `2001:db8:ff00::1`.
    pub outside: Ipv6Addr,
}

impl Ipv6Link {
    fn of(number: u8) -> Self {
        let of = |third: u16, host| Ipv6Addr::new(0x2001, 0xdb8, third + u16::from(number), 0, 0, 0, 0, host);
        Self { address: of(0, 2), gateway: of(0, 1), outside: of(0xff00, 1) }
    }
}

/// A namespace that plays a host with uplinks, and one behind each that plays the internet.
///
/// The host's default route leaves by `eth0`; only the addresses behind another uplink are reached by that one. Nothing is
/// preset that a real host does not have: neighbours are found by ARP, IPv4 forwarding is off.
///
/// When it is dropped, or the process gets SIGINT or SIGTERM, everything named after it goes: the processes inside and the
/// namespaces `PREFIX-…`, what is mounted below the run directory, and the directory.
pub struct Testbed {
    // Dropped first: it cleans up everything, while the names are still there.
    _cleanup: Cleanup,
    prefix: String,
    host: Namespace,
    uplinks: Vec<Uplink>,
    run_dir: PathBuf,
    cgroup: Option<PathBuf>,
}

impl Testbed {
    /// A host with one uplink.
    ///
    /// # Errors
    /// As [`with`](Self::with).
    pub fn new(prefix: &str) -> Result<Self> {
        Self::with(prefix, &TestbedSpec::default())
    }

    /// A host as specified, in namespaces `PREFIX-host`, `PREFIX-internet`, `PREFIX-internet1`, …
    ///
    /// Give it a [`unique_prefix`](super::unique_prefix), so that testbeds run side by side and what a killed process leaves behind
    /// can be told and is removed by the next one.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if a name is taken, [`Kind::Unsupported`] without root.
    pub fn with(prefix: &str, spec: &TestbedSpec) -> Result<Self> {
        if !(1..=LINKS.len()).contains(&spec.uplinks) {
            let why = format!("it has 1 to {} uplinks, not {}", LINKS.len(), spec.uplinks);
            return Err(Error::new(Kind::Usage, "make", format!("testbed {prefix}"), why));
        }
        stale::once();
        let host = Namespace::create(&format!("{prefix}-host"))?;
        let uplinks = (0..spec.uplinks).map(|number| connect(prefix, &host, number, spec)).collect::<Result<_>>()?;
        let run_dir = run_dir(prefix);
        fs::DirBuilder::new().mode(0o700).create(&run_dir).doing("create", run_dir.display().to_string())?;
        let cleanup = cleanup::on_exit({
            let prefix = prefix.to_owned();
            move || stale::remove(&prefix)
        });
        let cgroup = cgroup::create(prefix)?;
        Ok(Self { _cleanup: cleanup, prefix: prefix.to_owned(), host, uplinks, run_dir, cgroup })
    }

    /// What its names begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// The uplinks, `eth0` first.
    #[must_use]
    pub fn uplinks(&self) -> &[Uplink] {
        &self.uplinks
    }

    /// The uplink `eth<number>`.
    ///
    /// # Panics
    /// If the testbed has no such uplink.
    #[must_use]
    pub fn uplink(&self, number: usize) -> &Uplink {
        &self.uplinks[number]
    }

    /// The internet behind `eth<number>`.
    ///
    /// # Panics
    /// If the testbed has no such uplink.
    #[must_use]
    pub fn internet(&self, number: usize) -> &Namespace {
        &self.uplink(number).internet
    }

    /// A name that belongs to this testbed: a namespace called so goes with it.
    #[must_use]
    pub fn name(&self, role: &str) -> String {
        format!("{}-{role}", self.prefix)
    }

    /// A directory of its own for `--run-dir`.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// A cgroup of its own, for `--cgroup` and [`command_in_cgroup`](super::command_in_cgroup); none where the machine has no cgroup2.
    #[must_use]
    pub fn cgroup(&self) -> Option<&Path> {
        self.cgroup.as_deref()
    }

    /// A command that will run inside a namespace; see [`command_in`].
    pub fn command_in<S: AsRef<OsStr>>(&self, ns: &Netns, argv: &[S]) -> Command {
        command_in(ns, argv)
    }

    /// What the host looks like now.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(&self.host, &self.run_dir, &self.prefix)
    }
}

/// Makes an internet and the link to it.
fn connect(prefix: &str, host: &Namespace, number: usize, spec: &TestbedSpec) -> Result<Uplink> {
    let suffix = if number == 0 { String::new() } else { number.to_string() };
    let internet = Namespace::create(&format!("{prefix}-internet{suffix}"))?;
    let name = format!("eth{number}");
    let (base, block) = (LINKS[number], outside_block(number));
    let (gateway, address) = (host_number(base, 1), host_number(base, 2));
    let outside: Vec<_> = (1..).take(OUTSIDE).map(|n| host_number(block.addr(), n)).collect();

    let inside = internet.netlink()?;
    // The pair is made from the internet's side, so that the host's end is as plain as that of a network card.
    let number = u8::try_from(number).unwrap_or_default();
    let veth = PairSpec {
        kind: PairKind::Veth,
        host_if: INTERNET_IF.into(),
        ns_if: name.clone(),
        host_mac: Some([0x02, 0x66, 0x77, 0x64, number, 1]),
        ns_mac: [0x02, 0x66, 0x77, 0x64, number, 2],
        mtu: spec.mtu,
        alias: format!("the internet of testbed {prefix}"),
    };
    let inet = inside.create_pair(&veth, host)?;
    inside.add_address(inet, link_net(gateway)?)?;
    let lo = index(&inside, "lo")?;
    for address in &outside {
        inside.add_address(lo, IpNet::from(std::net::IpAddr::from(*address)))?;
    }

    let outer = host.netlink()?;
    let eth = index(&outer, &name)?;
    outer.set_up(eth)?;
    inside.await_carrier(inet, PATIENCE)?;
    outer.await_carrier(eth, PATIENCE)?;
    outer.add_address(eth, link_net(address)?)?;
    match number {
        0 => outer.add_default_route(eth, gateway)?,
        _ => outer.add_route(block, eth, Some(gateway.into()))?,
    }
    let ipv6 = spec.ipv6.then(|| Ipv6Link::of(number));
    ipv6.map_or(Ok(()), |ipv6| connect6(&ipv6, (&inside, inet), (&outer, eth), number == 0))?;
    // A snapshot shall not depend on how far the kernel has come.
    let done = || Ok(outer.addresses_are_final()?.then_some(()));
    wait_until(PATIENCE, "the addresses of the host are final", done)?;
    let unknown = format!("link {name}: OperState(Unknown)");
    let known = || Ok((!outer.records()?.contains(&unknown)).then_some(()));
    wait_until(PATIENCE, "the state of the host's interface is known", known)?;
    Ok(Uplink { name, address, gateway, outside, ipv6, internet })
}

/// IPv6 at both ends of a link.
fn connect6(ipv6: &Ipv6Link, inside: (&Netlink, u32), outer: (&Netlink, u32), default: bool) -> Result<()> {
    let net = |address: Ipv6Addr, length| IpNet::from(Ipv6Net::new_assert(address, length));
    let (inside, inet) = inside;
    inside.add_address(inet, net(ipv6.gateway, 64))?;
    // Without one, the kernel solicits no neighbour for packets that it forwards.
    inside.add_address(inet, net(ROUTER, 64))?;
    inside.add_address(index(inside, "lo")?, net(ipv6.outside, 128))?;
    let (outer, eth) = outer;
    outer.add_address(eth, net(ipv6.address, 64))?;
    match default {
        true => outer.add_default_route(eth, ipv6.gateway)?,
        false => outer.add_route(net(ipv6.outside, 128), eth, Some(IpAddr::from(ipv6.gateway)))?,
    }
    // The kernel takes up an address in its own time, and routes to it then.
    let route = format!("Destination(Inet6({}))", ipv6.address);
    let taken = || Ok(outer.records()?.iter().any(|record| record.contains(&route)).then_some(()));
    wait_until(PATIENCE, "the host takes up its address of IPv6", taken)
}

/// A quarter of 203.0.113.0/24 each.
fn outside_block(number: usize) -> Ipv4Net {
    let first = u8::try_from(number * 64).unwrap_or(u8::MAX);
    Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 113, first), 26)
}

fn host_number(base: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(base.to_bits() + number)
}

fn link_net(address: Ipv4Addr) -> Result<IpNet> {
    Ok(Ipv4Net::new(address, 24).doing("use", format!("address {address}"))?.into())
}

fn index(netlink: &Netlink, name: &str) -> Result<u32> {
    match netlink.link(name)? {
        Some(link) => Ok(link.index),
        None => Err(Error::new(Kind::NotFound, "find", format!("interface {name}"), "the kernel did not make it")),
    }
}
