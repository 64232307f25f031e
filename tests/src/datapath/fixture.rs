//! A host with the data path loaded and one endpoint registered, without anything attached.

use std::net::{Ipv4Addr, SocketAddrV4};

use forwarder::{
    Result,
    dataplane::{Dataplane, Hook, RunDir, Sizes, Stat, TestRun, name},
    lab::{Lab, unique_prefix},
    netlink::{BridgeSpec, Netlink, VethSpec},
    netns::Netns,
};
use forwarder_common::abi::{Endpoint, Network, Uplink};

pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(super) const MAC: [u8; 6] = [2, 0x77, 10, 77, 0, 2];
pub(super) const GATEWAY_MAC: [u8; 6] = [2, 0x66, 10, 77, 0, 1];
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const MTU: u32 = 1500;

/// The loaded data path; everything happens on a thread inside the host's namespace.
pub(super) struct Fixture {
    pub(super) dataplane: Dataplane,
    pub(super) host_end: u32,
    pub(super) uplink: u32,
    pub(super) outside: Ipv4Addr,
    pub(super) nat: Ipv4Addr,
}

/// Makes a host, runs `test` inside, and takes everything away.
pub(super) fn with_fixture(sizes: &Sizes, test: impl FnOnce(&Fixture) + Send) {
    let lab = Lab::new(&unique_prefix()).unwrap();
    let endpoint = forwarder::lab::Namespace::create(&lab.name("c1")).unwrap();
    let run_dir = RunDir::new(lab.run_dir());
    let (outside, nat) = (lab.uplink(0).outside[0], lab.uplink(0).address);
    lab.host()
        .run(|| {
            let cookie = Netns::current()?.cookie()?;
            let (bridge, host_end, uplink) = links(&endpoint)?;
            let dataplane = Dataplane::create(&run_dir, cookie, sizes)?;
            register(&dataplane, bridge, host_end, uplink, nat)?;
            test(&Fixture { dataplane, host_end, uplink, outside, nat });
            Dataplane::destroy(&run_dir, cookie)
        })
        .unwrap();
}

fn links(endpoint: &Netns) -> Result<(u32, u32, u32)> {
    let netlink = Netlink::here()?;
    let bridge =
        netlink.create_bridge(&BridgeSpec { name: "fwd0".into(), mac: GATEWAY_MAC, mtu: MTU, alias: "test".into() })?;
    let veth = VethSpec {
        host_if: "v0".into(),
        ns_if: "eth0".into(),
        host_mac: None,
        ns_mac: MAC,
        mtu: MTU,
        alias: "test".into(),
    };
    let host_end = netlink.create_veth(&veth, endpoint)?;
    let uplink = netlink.link("eth0")?.expect("the lab has an uplink").index;
    for name in ["fwd0", "eth0"] {
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/forwarding"), "1").unwrap();
    }
    Ok((bridge, host_end, uplink))
}

fn register(dataplane: &Dataplane, bridge: u32, host_end: u32, uplink: u32, nat: Ipv4Addr) -> Result<()> {
    let blocks = dataplane.free_counters(3)?;
    dataplane.put_network(
        bridge,
        &Network {
            gateway_v4: GATEWAY.octets(),
            prefix_v4: 24,
            uplink,
            mtu: MTU,
            gateway_mac: GATEWAY_MAC,
            _pad: [0; 2],
            gateway_v6: [0; 16],
            prefix_v6: 0,
            last_v4: ADDRESS.octets(),
            flags: 0,
            name: name("fwd0")?,
            bridge: name("fwd0")?,
        },
    )?;
    let ifname = name("eth0")?;
    let record = Uplink { v4: nat.octets(), counters_in: blocks[0], counters_out: blocks[1], _pad: 0, ifname };
    dataplane.put_uplink(uplink, &record)?;
    dataplane.put_endpoint(
        host_end,
        &Endpoint {
            v4: ADDRESS.octets(),
            network: bridge,
            uplink,
            counters: blocks[2],
            ring: dataplane.free_ring()?,
            mtu: MTU,
            mac: MAC,
            gateway_mac: GATEWAY_MAC,
            flags: 0,
            v6: [0; 16],
            pid: 0,
            netns_cookie: 1,
            netns_inode: 1,
            ns: name("c1")?,
            network_name: name("fwd0")?,
            host_if: name("v0")?,
            ns_if: name("eth0")?,
        },
    )
}

impl Fixture {
    /// Runs `from_ns` over a frame.
    pub(super) fn run_from_ns(&self, frame: &[u8]) -> TestRun {
        self.dataplane.test_run(Hook::FromNs, self.host_end, self.host_end, frame, 1).unwrap()
    }

    /// Runs `from_uplink` over a frame.
    pub(super) fn run_from_uplink(&self, frame: &[u8]) -> TestRun {
        self.dataplane.test_run(Hook::FromUplink, self.uplink, self.uplink, frame, 1).unwrap()
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
        flows.iter().find(is_meant).unwrap_or_else(|| panic!("no flow from port {port} in {flows:?}")).nat
    }
}
