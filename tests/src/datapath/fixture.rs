//! A host with the data path loaded and endpoints registered, without anything attached.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4},
    process::Command,
};

use forwarder::{
    Result,
    dataplane::{Dataplane, EndpointId, EndpointOwner, Hook, Metadata, RunDir, Sizes, Stat, TestRun, name},
    netlink::{BridgeSpec, Netlink, PairKind, PairSpec},
    netns::Netns,
    testbed::{Testbed, TestbedSpec, unique_prefix},
};
use forwarder_common::{
    abi::{Endpoint, Network, Tuple, Uplink, ZONE_MAIN},
    types::direction::Direction,
    wire::l4::Proto,
};

pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(super) const MAC: [u8; 6] = [2, 0x77, 10, 77, 0, 2];
pub(super) const GATEWAY_MAC: [u8; 6] = [2, 0x66, 10, 77, 0, 1];
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The IPv6 address of the endpoint of [`ADDRESS`], where it has one.
pub(super) const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xf3d, 1, 0, 0, 0, 0, 2);
/// The gateway of that.
pub(super) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xf3d, 1, 0, 0, 0, 0, 1);
const MTU: u32 = 1500;
/// The hardware address of the router, where it is known.
pub(super) const NEXT_HOP: [u8; 6] = [2, 1, 2, 3, 4, 5];

/// The loaded data path; everything happens on a thread inside the host's namespace.
pub(super) struct Fixture {
    pub(super) dataplane: Dataplane,
    /// Every endpoint; the first is the one of `ADDRESS`.
    pub(super) members: Vec<Member>,
    pub(super) host_veth: u32,
    /// The bridge of the network.
    pub(super) network: u32,
    pub(super) uplink: u32,
    pub(super) outside: Ipv4Addr,
    pub(super) nat: Ipv4Addr,
    /// The host's address of IPv6 at the uplink, where there is one.
    pub(super) host_v6: Ipv6Addr,
}

/// An endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) address: Ipv4Addr,
    pub(super) host_veth: u32,
    pub(super) mac: [u8; 6],
}

impl Member {
    /// Its IPv6 address, where endpoints have one.
    pub(super) fn address_v6(&self) -> Ipv6Addr {
        (u128::from(GATEWAY_V6) - 1 + u128::from(self.mac[5])).into()
    }
}

/// Makes a host with one endpoint, runs `test` inside, and takes everything away.
pub(super) fn with_fixture(sizes: &Sizes, test: impl FnOnce(&Fixture) + Send) {
    with_endpoints(sizes, &[0], test);
}

/// Makes a host with an endpoint for each of `flags`, runs `test` inside, and takes everything away.
pub(super) fn with_endpoints(sizes: &Sizes, flags: &[u32], test: impl FnOnce(&Fixture) + Send) {
    with_addresses(sizes, flags, false, test);
}

/// As [`with_endpoints`], of both families.
pub(super) fn with_ipv6(flags: &[u32], test: impl FnOnce(&Fixture) + Send) {
    with_ipv6_of(&Sizes::default(), flags, test);
}

/// As [`with_ipv6`], with a table of these sizes.
pub(super) fn with_ipv6_of(sizes: &Sizes, flags: &[u32], test: impl FnOnce(&Fixture) + Send) {
    with_addresses(sizes, flags, true, test);
}

fn with_addresses(sizes: &Sizes, flags: &[u32], has_ipv6: bool, test: impl FnOnce(&Fixture) + Send) {
    let spec = TestbedSpec { ipv6: has_ipv6, ..TestbedSpec::default() };
    let testbed = Testbed::with(&unique_prefix(), &spec).unwrap();
    let inside = forwarder::testbed::Namespace::create(&testbed.name("c1")).unwrap();
    let run_dir = RunDir::new(testbed.run_dir());
    let (outside, nat) = (testbed.uplink(0).outside[0], testbed.uplink(0).address);
    let host_v6 = testbed.uplink(0).ipv6.map_or(Ipv6Addr::UNSPECIFIED, |link| link.address);
    testbed
        .host()
        .run(|| {
            let cookie = Netns::current()?.cookie()?;
            let (bridge, uplink) = links()?;
            let members = (2..).zip(flags).map(|(number, _)| member(&inside, number)).collect::<Result<Vec<_>>>()?;
            let dataplane = Dataplane::create(&run_dir, cookie, sizes)?;
            let gateway_v6 = if has_ipv6 { GATEWAY_V6 } else { Ipv6Addr::UNSPECIFIED };
            register(&dataplane, bridge, uplink, (nat, gateway_v6), flags.iter().fold(0, |all, flags| all | flags))?;
            for (member, flags) in members.iter().zip(flags) {
                register_member(&dataplane, member, (bridge, uplink), has_ipv6, *flags)?;
            }
            let host_veth = members[0].host_veth;
            test(&Fixture { dataplane, members, host_veth, network: bridge, uplink, outside, nat, host_v6 });
            Dataplane::destroy(&run_dir, cookie)
        })
        .unwrap();
}

fn links() -> Result<(u32, u32)> {
    let netlink = Netlink::here()?;
    let bridge =
        netlink.create_bridge(&BridgeSpec { name: "fwd0".into(), mac: GATEWAY_MAC, mtu: MTU, alias: "test".into() })?;
    let uplink = netlink.link("eth0")?.expect("the testbed has an uplink").index;
    for name in ["fwd0", "eth0"] {
        for family in ["ipv4", "ipv6"] {
            std::fs::write(format!("/proc/sys/net/{family}/conf/{name}/forwarding"), "1").unwrap();
        }
    }
    Ok((bridge, uplink))
}

/// Makes the veth pair of the endpoint with address `10.77.0.NUMBER`; all their other ends share a namespace.
fn member(inside: &Netns, number: u8) -> Result<Member> {
    let mac = [2, 0x77, 10, 77, 0, number];
    let index = number - 2;
    let veth = PairSpec {
        kind: PairKind::Veth,
        host_if: format!("v{index}"),
        ns_if: format!("eth{index}"),
        host_mac: None,
        ns_mac: mac,
        mtu: MTU,
        alias: "test".into(),
    };
    let host_veth = Netlink::here()?.create_pair(&veth, inside)?;
    Ok(Member { address: Ipv4Addr::new(10, 77, 0, number), host_veth, mac })
}

fn register(
    dataplane: &Dataplane,
    bridge: u32,
    uplink: u32,
    (nat, gateway_v6): (Ipv4Addr, Ipv6Addr),
    flags: u32,
) -> Result<()> {
    let blocks = dataplane.free_counters(3, 3)?;
    dataplane.put_network(
        bridge,
        &Network {
            gateway_v4: GATEWAY.octets(),
            prefix_v4: 24,
            uplink,
            mtu: MTU,
            gateway_mac: GATEWAY_MAC,
            _pad: [0; 2],
            counters: blocks[2],
            gateway_v6: gateway_v6.octets(),
            prefix_v6: 64,
            last: ADDRESS.octets(),
            flags,
            name: name("fwd0")?,
            bridge: name("fwd0")?,
        },
    )?;
    let ifname = name("eth0")?;
    let record = Uplink {
        v4: nat.octets(),
        counters_in: blocks[0],
        counters_out: blocks[1],
        flags: 0,
        mac: [0; 6],
        _pad: [0; 2],
        link_local: [0; 16],
        ifname,
    };
    dataplane.note_device(uplink)?;
    dataplane.put_uplink(uplink, &record)
}

fn register_member(
    dataplane: &Dataplane,
    member: &Member,
    (bridge, uplink): (u32, u32),
    has_ipv6: bool,
    flags: u32,
) -> Result<()> {
    let number = member.mac[5] - 2;
    dataplane.note_device(member.host_veth)?;
    let metadata = Metadata {
        id: EndpointId { owner: EndpointOwner::Cli, id: format!("member {number}"), ifname: format!("eth{number}") },
        network: "fwd0".into(),
        host_if: format!("v{number}"),
        ..Metadata::default()
    };
    dataplane.put_endpoint(
        member.host_veth,
        &Endpoint {
            v4: member.address.octets(),
            network: bridge,
            uplink,
            counters: dataplane.free_counters(1, 1)?[0],
            mtu: MTU,
            mac: member.mac,
            gateway_mac: GATEWAY_MAC,
            flags,
            v6: if has_ipv6 { member.address_v6().octets() } else { [0; 16] },
            source: [0; 4],
            sources: 0,
            sources_v6: 0,
            source_v6: [0; 16],
            _pad: 0,
            netns_cookie: 1,
            metadata: dataplane.put_metadata(&metadata, 1)?,
        },
    )
}

impl Fixture {
    /// Lets the host know the hardware address of its router.
    pub(super) fn know_next_hop(&self) {
        let route = Command::new("ip").args(["-4", "route", "get", &self.outside.to_string()]).output().unwrap();
        let route = String::from_utf8(route.stdout).unwrap();
        let router = route.split(' ').skip_while(|word| *word != "via").nth(1).expect("there is a router");
        let mac = NEXT_HOP.map(|byte| format!("{byte:02x}")).join(":");
        let neighbour = ["neigh", "replace", router, "lladdr", &mac, "dev", "eth0", "nud", "permanent"];
        assert!(Command::new("ip").args(neighbour).status().unwrap().success());
    }

    /// Runs `from_ns` over a frame.
    pub(super) fn run_from_ns(&self, frame: &[u8]) -> TestRun {
        self.dataplane.test_run(Hook::FromNs, self.host_veth, self.host_veth, frame, 1).unwrap()
    }

    /// Runs `from_ns` over a frame of endpoint `member`.
    pub(super) fn run_from(&self, member: &Member, frame: &[u8]) -> TestRun {
        self.dataplane.test_run(Hook::FromNs, member.host_veth, member.host_veth, frame, 1).unwrap()
    }

    /// Runs `from_uplink` over a frame.
    pub(super) fn run_from_uplink(&self, frame: &[u8]) -> TestRun {
        self.dataplane.test_run(Hook::FromUplink, self.uplink, self.uplink, frame, 1).unwrap()
    }

    /// Runs `to_uplink` over a frame that came in by interface `ingress` and was forwarded by the kernel; 0 is the host itself.
    pub(super) fn run_to_uplink(&self, ingress: u32, frame: &[u8]) -> TestRun {
        self.dataplane.test_run(Hook::ToUplink, self.uplink, ingress, frame, 1).unwrap()
    }

    /// Runs `to_network` over a frame that came in by interface `ingress`.
    pub(super) fn run_to_network(&self, ingress: u32, frame: &[u8]) -> TestRun {
        self.dataplane.test_run(Hook::ToNetwork, self.network, ingress, frame, 1).unwrap()
    }

    /// What a packet of TCP or UDP looks like on its way.
    pub(super) fn tuple(&self, proto: Proto, direction: Direction, from: SocketAddrV4, to: SocketAddrV4) -> Tuple {
        Tuple {
            saddr: from.ip().octets(),
            daddr: to.ip().octets(),
            sport: from.port().to_be_bytes(),
            dport: to.port().to_be_bytes(),
            ifindex: if direction == Direction::Outbound { self.host_veth } else { ZONE_MAIN },
            proto: proto as u8,
            ..Tuple::default()
        }
    }

    /// Packets counted for `reason` so far, at any interface.
    pub(super) fn counted(&self, reason: &str) -> u64 {
        Stat::total(&self.dataplane.stats().unwrap(), |stat| stat.reason == Some(reason)).unwrap()
    }

    /// The external socket of the flow from `port` (or echo identifier) of the endpoint.
    pub(super) fn nat_of(&self, proto: u8, port: u16) -> SocketAddrV4 {
        let flows = self.dataplane.flows().unwrap();
        let is_meant =
            |flow: &&forwarder::dataplane::Flow| flow.proto == proto && flow.icmp_id.unwrap_or(flow.src.port()) == port;
        let flow = flows.iter().find(is_meant).unwrap_or_else(|| panic!("no flow from port {port} in {flows:?}"));
        match flow.nat {
            SocketAddr::V4(nat) => nat,
            SocketAddr::V6(nat) => panic!("{nat} is not of IPv4"),
        }
    }
}
