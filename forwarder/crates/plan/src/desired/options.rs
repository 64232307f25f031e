//! How ports are mapped, of what there are flows, whether there is a bridge, and options of the flow table, as they are asked for and as they are found.

use forwarder_common::abi::Timeout;
use serde::{Deserialize, Serialize};

use fwd_base::{Error, Kind, Result};
use fwd_dataplane::Sizes;

/// How ports are mapped (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// A mapping for each destination; only that destination may answer.
    #[default]
    Symmetric,
    /// One external port for all destinations of a socket; only destinations that were written to may answer.
    Eim,
    /// As [`Nat::Eim`], and anyone may write to that port.
    EimEif,
}

impl Nat {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Symmetric, Self::Eim, Self::EimEif];

    /// `symmetric`, `eim` or `eim-eif`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Symmetric => "symmetric",
            Self::Eim => "eim",
            Self::EimEif => "eim-eif",
        }
    }

    /// What it is, for the help and the README.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Symmetric => "a port per destination",
            Self::Eim => "one for all (RFC 4787)",
            Self::EimEif => "the same, and open to everybody",
        }
    }
}

/// Of what the endpoints of a network speak there are flows: with whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flows {
    /// With the outside, which is translated.
    #[default]
    Outside,
    /// With neighbours as well: other endpoints of the host, in whichever network.
    EastWest,
}

impl Flows {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Outside, Self::EastWest];

    /// `outside` or `east-west`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::EastWest => "east-west",
        }
    }

    /// What it is, for the help and the README.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Outside => "of what is spoken with the outside",
            Self::EastWest => "between namespaces as well",
        }
    }
}

/// What connects the endpoints of a network with their host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bridging {
    /// Host-side veths are ports of the network's bridge.
    #[default]
    Ports,
    /// They are no ports: the programs bring packets where a bridge would.
    None,
}

impl Bridging {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Ports, Self::None];

    /// `ports` or `none`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::None => "none",
        }
    }

    /// What it is, for the help and the README.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Ports => "namespaces are its ports, up to 1023",
            Self::None => "as many as there are addresses, without multicast among them",
        }
    }

    /// What is wrong with a host-side veth that is a port of `controller`, where its network's bridge is `bridge`: ifindexes.
    #[must_use]
    pub fn wrong_with(self, controller: Option<u32>, bridge: u32) -> Option<&'static str> {
        match self {
            Self::Ports => (controller != Some(bridge)).then_some("is no port of its bridge"),
            Self::None => controller.is_some().then_some("is a port, and its network has no bridge"),
        }
    }
}

/// An idle time that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleTime {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it ends, in words.
    pub ends: &'static str,
    /// What it ends.
    pub which: Timeout,
    /// The least that an RFC allows, seconds, and which RFC.
    pub least: Option<(u32, &'static str)>,
}

/// Every idle time that can be set.
pub const IDLE_TIMES: [IdleTime; 8] = [
    IdleTime {
        name: "tcp-half-open",
        ends: "a TCP connection whose handshake is not complete",
        which: Timeout::TcpHalfOpen,
        least: Some((240, "RFC 5382 REQ-5")),
    },
    IdleTime {
        name: "tcp-established",
        ends: "an established TCP connection",
        which: Timeout::TcpEstablished,
        least: Some((7_440, "RFC 5382 REQ-5")),
    },
    IdleTime {
        name: "tcp-half-closed",
        ends: "a TCP connection of which one side has sent a FIN",
        which: Timeout::TcpHalfClosed,
        least: Some((240, "RFC 7857 section 2")),
    },
    IdleTime {
        name: "tcp-closing",
        ends: "a TCP connection after a RST or both FINs",
        which: Timeout::TcpClosing,
        least: Some((240, "RFC 5382 REQ-5")),
    },
    IdleTime {
        name: "udp-half-open",
        ends: "a flow of UDP that is no conversation yet",
        which: Timeout::UdpHalfOpen,
        least: Some((120, "RFC 4787 REQ-5")),
    },
    IdleTime {
        name: "udp-established",
        ends: "a conversation of UDP",
        which: Timeout::UdpEstablished,
        least: Some((120, "RFC 4787 REQ-5")),
    },
    IdleTime { name: "icmp", ends: "an ICMP query", which: Timeout::Icmp, least: Some((60, "RFC 5508 REQ-2")) },
    IdleTime { name: "other", ends: "a flow of a protocol without ports", which: Timeout::Other, least: None },
];

impl IdleTime {
    /// The idle time that ends `which`.
    #[must_use]
    pub fn of(which: Timeout) -> Option<Self> {
        IDLE_TIMES.into_iter().find(|idle| idle.which == which)
    }
}

/// What is asked for of the flow table, which all networks of a host share. What is `None` is as it is, or the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableRequest {
    /// First and last port of the NAT range.
    pub nat_ports: Option<(u16, u16)>,
    /// Flows that may be established at once.
    pub max_flows: Option<u32>,
    /// Flows that one namespace may have established at once.
    pub max_flows_per_ns: Option<u32>,
    /// Idle times, seconds.
    #[serde(with = "by_name")]
    pub timeouts: Vec<(Timeout, u32)>,
}

/// Idle times as data: seconds by name.
mod by_name {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use super::{IDLE_TIMES, IdleTime, Timeout};

    pub(crate) fn serialize<S: Serializer>(timeouts: &[(Timeout, u32)], to: S) -> Result<S::Ok, S::Error> {
        let named = timeouts.iter().filter_map(|(which, time)| Some((IdleTime::of(*which)?.name, *time)));
        named.collect::<BTreeMap<_, _>>().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(Timeout, u32)>, D::Error> {
        let mut named = BTreeMap::<String, u32>::deserialize(from)?;
        let times = IDLE_TIMES.iter().filter_map(|idle| Some((idle.which, named.remove(idle.name)?))).collect();
        match named.keys().next() {
            Some(name) => Err(D::Error::custom(format!("there is no idle time {name}"))),
            None => Ok(times),
        }
    }
}

/// The flow table that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRecord {
    /// First and last port of the NAT range.
    pub nat_ports: (u16, u16),
    /// Flows that may be established at once.
    pub max_flows: u32,
    /// Flows that one namespace may have established at once.
    pub max_flows_per_ns: u32,
    /// Idle times, seconds.
    pub timeouts: Vec<(Timeout, u32)>,
}

impl From<&Sizes> for TableRecord {
    fn from(sizes: &Sizes) -> Self {
        Self {
            nat_ports: sizes.nat_ports,
            max_flows: sizes.max_flows,
            max_flows_per_ns: sizes.max_flows_per_endpoint,
            timeouts: sizes.timeouts.to_vec(),
        }
    }
}

/// `1024-29999`.
#[must_use]
pub fn range((first, last): (u16, u16)) -> String {
    format!("{first}-{last}")
}

/// A number of seconds as it is written on the command line: `2h 4m`.
#[must_use]
pub fn seconds(seconds: u32) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds.into())).to_string()
}

impl TableRequest {
    /// The options that were given, as one would write them.
    fn given(&self) -> Vec<String> {
        let Self { nat_ports, max_flows, max_flows_per_ns, timeouts } = self;
        let mut given: Vec<String> =
            nat_ports.map(|ports| format!("--nat-ports {}", range(ports))).into_iter().collect();
        given.extend(max_flows.map(|flows| format!("--max-flows {flows}")));
        given.extend(max_flows_per_ns.map(|flows| format!("--max-flows-per-ns {flows}")));
        given
            .extend(timeouts.iter().filter_map(|(which, time)| Some(format!("--timeout {}", timeout(*which, *time)?))));
        given
    }

    /// The table to make.
    ///
    /// # Errors
    /// [`Kind::Usage`] if the options contradict each other.
    pub(crate) fn sizes(&self) -> Result<Sizes> {
        let mut sizes = Sizes::default();
        sizes.nat_ports = self.nat_ports.unwrap_or(sizes.nat_ports);
        sizes.max_flows = self.max_flows.unwrap_or(sizes.max_flows);
        sizes.max_flows_per_endpoint = match self.max_flows_per_ns {
            Some(flows) if flows > sizes.max_flows => {
                let why =
                    format!("that is more than all namespaces may have together (--max-flows {})", sizes.max_flows);
                return Err(Error::new(Kind::Usage, "use", format!("--max-flows-per-ns {flows}"), why)
                    .remedy("give less, or a larger --max-flows"));
            }
            Some(flows) => flows,
            None if self.max_flows.is_some() => sizes.max_flows.div_ceil(2),
            None => sizes.max_flows_per_endpoint,
        };
        for (which, time) in &self.timeouts {
            sizes.timeouts.iter_mut().filter(|(found, _)| found == which).for_each(|(_, found)| *found = *time);
        }
        Ok(sizes)
    }

    /// Checks that each option given is what the table has.
    ///
    /// # Errors
    /// [`Kind::Conflict`] that names both values.
    pub(crate) fn check(&self, found: &TableRecord) -> Result<()> {
        let Self { nat_ports, max_flows, max_flows_per_ns, timeouts } = self;
        same("--nat-ports", nat_ports.map(range).as_ref(), &range(found.nat_ports))?;
        same("--max-flows", max_flows.as_ref(), &found.max_flows)?;
        same("--max-flows-per-ns", max_flows_per_ns.as_ref(), &found.max_flows_per_ns)?;
        let found = |which: Timeout| found.timeouts.iter().find(|(found, _)| *found == which).map(|(_, time)| *time);
        let written = |which, time| timeout(which, time).unwrap_or_default();
        timeouts.iter().try_for_each(|(which, time)| {
            let found = written(*which, found(*which).unwrap_or(0));
            same("--timeout", Some(&written(*which, *time)), &found)
        })
    }

    /// Refuses what the kernel's own data path has no use for.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] that names the first such option.
    pub(crate) fn refuse_with_kernel(&self) -> Result<()> {
        match self.given().first() {
            None => Ok(()),
            Some(option) => Err(unsupported(option, "connections are the kernel's own (conntrack), with limits and times of their own")
                .remedy("leave it out (net.netfilter.nf_conntrack_max and nf_conntrack_*_timeout are the kernel's settings), or use --datapath tc")),
        }
    }

    /// Idle times below what RFCs ask for.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let short = |(which, time): &(Timeout, u32)| {
            let (least, rfc) = IdleTime::of(*which)?.least.filter(|(least, _)| time < least)?;
            Some(format!(
                "--timeout {} is less than {rfc} asks for ({}): connections that are only idle may break",
                timeout(*which, *time)?,
                seconds(least),
            ))
        };
        self.timeouts.iter().filter_map(short).collect()
    }
}

pub(super) fn unsupported(option: &str, why: &str) -> Error {
    Error::new(Kind::Unsupported, "use", option, format!("datapath kernel: {why}"))
}

/// `tcp-established=2h 4m` without the space.
fn timeout(which: Timeout, time: u32) -> Option<String> {
    IdleTime::of(which).map(|idle| format!("{}={}", idle.name, seconds(time).replace(' ', "")))
}

/// An option given must be what the table has.
fn same<T: PartialEq + std::fmt::Display>(option: &str, given: Option<&T>, found: &T) -> Result<()> {
    match given {
        Some(given) if given != found => {
            let why = format!("the flow table of this host was made with {found}");
            Err(Error::new(Kind::Conflict, "use", format!("{option} {given}"), why).remedy(
                "leave the option out: all networks share the table, and it changes only when nothing is up (`fwd down --all`)",
            ))
        }
        _ => Ok(()),
    }
}
