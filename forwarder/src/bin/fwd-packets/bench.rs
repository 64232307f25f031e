//! A sandboxed host with two endpoints, and the time that its programs take for a packet.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpStream},
    time::Duration,
};

use forwarder::{
    Context as _, Error, Kind, Result,
    dataplane::{Dataplane, EmptyProgram, Hook, RunDir, TestRun},
    execute::{self, HostContext, Unobserved},
    netns::{Name, Netns},
    reconcile::{TableRequest, TargetRef, UpRequest},
    testbed::{Ipv6Link, Testbed},
};
use forwarder_common::{
    abi::{Endpoint, Tuple, ZONE_MAIN},
    types::direction::Direction,
    wire::emit::Ethernet,
};

use crate::frame::{ICMP, TCP, packet};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;

/// Of a testbed without IPv6.
const NO_IPV6: Ipv6Link =
    Ipv6Link { address: Ipv6Addr::UNSPECIFIED, gateway: Ipv6Addr::UNSPECIFIED, outside: Ipv6Addr::UNSPECIFIED };

/// The host and what is known of it.
pub(crate) struct Bench {
    pub(crate) dataplane: Dataplane,
    pub(crate) empty_program: EmptyProgram,
    /// The endpoint that sends.
    pub(crate) endpoint: Endpoint,
    pub(crate) host_veth: u32,
    /// The other one in the same network.
    pub(crate) neighbour: Ipv4Addr,
    pub(crate) uplink: u32,
    /// The uplink's address.
    pub(crate) nat: Ipv4Addr,
    pub(crate) router: Ipv4Addr,
    pub(crate) outside: Ipv4Addr,
    /// The same of IPv6, where the testbed has it.
    pub(crate) ipv6: Ipv6Link,
    next_port: u16,
}

impl Bench {
    /// Takes `fwd` up for two namespaces of the testbed's host, inside of which the calling thread is.
    pub(crate) fn new(testbed: &Testbed) -> Result<Self> {
        Self::with(testbed, TableRequest::default())
    }

    /// The same with such a flow table.
    pub(crate) fn with(testbed: &Testbed, table: TableRequest) -> Result<Self> {
        let run_dir = RunDir::new(testbed.run_dir().join("run"));
        let context = HostContext::new(run_dir.clone());
        for role in ["c1", "c2"] {
            let name = Name::try_from(testbed.name(role).as_str())?;
            let request = UpRequest { table: table.clone(), ..UpRequest::new(TargetRef::Named(name)) };
            execute::up(&context, &request, &mut Unobserved)?;
        }
        let dataplane = Dataplane::open(&run_dir, Netns::current()?.cookie()?)?;
        let dataplane = dataplane.ok_or_else(|| missing("the data path"))?;
        let mut endpoints = dataplane.endpoints()?;
        endpoints.sort_by_key(|(_, endpoint)| endpoint.v4);
        let [(host_veth, endpoint), (_, other)] = endpoints[..] else { return Err(missing("two endpoints")) };
        let outer = testbed.uplink(0);
        Ok(Self {
            empty_program: EmptyProgram::load()?,
            endpoint,
            host_veth,
            neighbour: Ipv4Addr::from(other.v4),
            uplink: endpoint.uplink,
            nat: outer.address,
            router: outer.gateway,
            outside: outer.outside[0],
            ipv6: outer.ipv6.unwrap_or(NO_IPV6),
            dataplane,
            next_port: 32_768,
        })
    }

    /// Has the router answer the host, whose thread this is: a packet that finds its route a second old is left to the kernel while nobody
    /// has answered for the next hop.
    pub(crate) fn resolve_next_hop(&self) -> Result<()> {
        const DISCARD: u16 = 9;
        let router = SocketAddr::from((self.router, DISCARD));
        match TcpStream::connect_timeout(&router, Duration::from_secs(5)) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => Err(error).doing("reach", "the router"),
            _ => Ok(()),
        }
    }

    /// A port outside the NAT range that was not used lately.
    pub(crate) fn port(&mut self) -> u16 {
        self.next_port = if self.next_port >= 60_000 { 32_768 } else { self.next_port + 1 };
        self.next_port
    }

    /// The sending endpoint's socket.
    pub(crate) fn inside(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from(self.endpoint.v4), port)
    }

    /// A socket of the internet.
    pub(crate) fn remote(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.outside, port)
    }

    /// The host's socket on the uplink.
    pub(crate) fn host(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.nat, port)
    }

    /// From the endpoint to its gateway.
    pub(crate) fn inner(&self) -> Ethernet {
        Ethernet::new(self.endpoint.gateway_mac, self.endpoint.mac)
    }

    /// On the uplink: as the testbed numbers its links.
    pub(crate) fn outer(&self) -> Ethernet {
        Ethernet::new([0x02, 0x66, 0x77, 0x64, 0, 2], [0x02, 0x66, 0x77, 0x64, 0, 1])
    }

    /// A whole frame with a transport header.
    pub(crate) fn frame(
        &self,
        ethernet: Ethernet,
        proto: u8,
        flags: u8,
        from: SocketAddrV4,
        to: SocketAddrV4,
    ) -> Vec<u8> {
        packet(proto, flags, from, to).in_frame(&ethernet)
    }

    /// Runs the program of `hook` over `frame`, which came in by `ingress` where that is not the hook's interface.
    pub(crate) fn run(&self, hook: Hook, ingress: Option<u32>, frame: &[u8], repeat: u32) -> Result<TestRun> {
        let ifindex = if matches!(hook, Hook::FromNs) { self.host_veth } else { self.uplink };
        self.dataplane.test_run(hook, ifindex, ingress.unwrap_or(ifindex), frame, repeat)
    }

    /// Opens a flow from `port` to the internet's `to` and has it answered. Returns its external port (or identifier).
    pub(crate) fn open(&self, proto: u8, port: u16, to: u16) -> Result<u16> {
        let (first, answer) = if proto == ICMP { (ECHO, ECHO_REPLY) } else { (SYN, SYN | ACK) };
        let (inside, remote) = (self.inside(port), self.remote(to));
        let out = self.run(Hook::FromNs, None, &self.frame(self.inner(), proto, first, inside, remote), 1)?;
        let at = if proto == ICMP { 14 + 20 + 4 } else { 14 + 20 };
        let external = u16::from_be_bytes([out.packet[at], out.packet[at + 1]]);
        let from = if proto == ICMP { self.remote(external) } else { remote };
        let reply = self.frame(self.outer(), proto, answer, from, self.host(external));
        let back = self.run(Hook::FromUplink, None, &reply, 1)?;
        if (out.verdict, back.verdict) != (7, 7) {
            return Err(Error::new(Kind::Failed, "open", format!("a flow of protocol {proto}"), "it was not answered"));
        }
        // The third packet of a handshake.
        if proto == TCP {
            self.run(Hook::FromNs, None, &self.frame(self.inner(), proto, ACK, inside, remote), 1)?;
        }
        Ok(external)
    }

    /// A frame of an established flow that looks the same after its translation, but for the TTL.
    pub(crate) fn standing(&self, proto: u8, direction: Direction, port: u16) -> Result<(Hook, Vec<u8>)> {
        let external = self.open(proto, port, 443)?;
        let (hook, ethernet, flags, from, to, entry) = match direction {
            Direction::Outbound => {
                let flags = if proto == ICMP { ECHO } else { ACK };
                (Hook::FromNs, self.inner(), flags, self.inside(port), self.remote(443), self.host_veth)
            }
            Direction::Inbound => {
                let (flags, from) = if proto == ICMP { (ECHO_REPLY, external) } else { (ACK, 443) };
                (Hook::FromUplink, self.outer(), flags, self.remote(from), self.host(external), ZONE_MAIN)
            }
        };
        let dport = if proto == ICMP { from.port() } else { to.port() };
        let tuple = Tuple {
            saddr: from.ip().octets(),
            daddr: to.ip().octets(),
            sport: from.port().to_be_bytes(),
            dport: dport.to_be_bytes(),
            ifindex: entry,
            proto,
            ..Tuple::default()
        };
        self.dataplane.translate_to_itself(&tuple, direction)?;
        Ok((hook, packet(proto, flags, from, to).in_frame(&ethernet)))
    }
}

fn missing(what: &str) -> Error {
    Error::new(Kind::Failed, "find", what, "`up` did not make it")
}
