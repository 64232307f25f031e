//! What a network is to be: each of its options once, for commands, files and plugins alike; and how one that is there compares.

mod ipv4;
mod ipv6;
mod uplink;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use forwarder_common::abi::endpoint_flags;
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{options::unsupported, source::Sources};

pub use self::{ipv4::Ipv4, ipv6::Ipv6, uplink::UplinkChoice};
use crate::{Bridging, Datapath, Flows, Nat};
use fwd_base::{Error, Kind, Result};

/// A network. It may have no endpoint yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// What leads outside.
    pub uplink: UplinkChoice,
    /// Addresses of IPv4; without them, those that it has, else the first free /24 of 10.77.0.0/16, or of other private ranges.
    pub subnet: Option<Ipv4Net>,
    /// Addresses of IPv6; without them, those that it has, else a free /64 of the host's own unique local prefix.
    pub subnet6: Option<Ipv6Net>,
    /// The gateway's address of IPv4; without it, the first of the subnet.
    pub gateway: Option<Ipv4Addr>,
    /// IPv4; without it, what the network has, else addresses.
    pub ipv4: Option<Ipv4>,
    /// IPv6; without it, what the network has, else masquerade where the uplink leads there, or where there is no IPv4.
    pub ipv6: Option<Ipv6>,
    /// MTU, bytes; without it, what the network has, else the uplink's.
    pub mtu: Option<u32>,
    /// What forwards its packets; without it, what does already, else the best that the kernel has.
    pub datapath: Option<Datapath>,
    /// How ports are mapped; without it, as the network does, else [`Nat::Symmetric`].
    pub nat: Option<Nat>,
    /// The MSS of TCP is lowered to what the path carries.
    pub clamp_mss: bool,
    /// The programs may send past policies of IPsec.
    pub ignore_xfrm: bool,
    /// Its endpoints do not reach each other.
    pub no_icc: bool,
    /// Of what its endpoints speak there are flows.
    pub flows: Flows,
    /// What connects its endpoints with the host.
    pub bridging: Bridging,
    /// Networks that may reach it: they do once each has allowed the other.
    pub allow_networks: BTreeSet<String>,
    /// It stays when its last endpoint goes; one in which none is desired does in any case, unless a pool keeps it.
    pub kept: bool,
    /// A name server answers at its gateway.
    pub dns: bool,
    /// Multicast passes between it and its uplink.
    pub multicast: bool,
    /// Addresses of the host behind which its endpoints appear that ask for none.
    pub source: Sources,
}

/// How the packets of a network are treated: what the records have of its options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Treatment {
    /// How ports are mapped.
    pub nat: Nat,
    /// The MSS of TCP is lowered to what the path carries.
    pub clamp_mss: bool,
    /// The programs may send past policies of IPsec.
    pub ignore_xfrm: bool,
    /// Nothing leaves the network, which has no uplink.
    pub internal: bool,
    /// Its endpoints do not reach each other.
    pub no_icc: bool,
    /// Of what its endpoints speak there are flows.
    pub flows: Flows,
    /// What connects its endpoints with the host.
    pub bridging: Bridging,
    /// It leaves by its uplink alone, wherever the host's own routes lead.
    pub bound: bool,
    /// A name server answers at its gateway.
    pub dns: bool,
    /// Multicast passes between it and its uplink.
    pub multicast: bool,
    /// Addresses of IPv6 are not translated.
    pub routed6: bool,
}

/// An option of a network that is on or off, and stays so: [`SWITCHES`] has a row for each.
pub(crate) struct Switch {
    /// How it is asked for.
    pub(crate) option: &'static str,
    /// What it is about, in words.
    pub(crate) what: &'static str,
    /// What that is without the option, and with it.
    pub(crate) states: [&'static str; 2],
    /// Whether it is asked for.
    pub(crate) asked: fn(&Network) -> bool,
    /// Whether a network has it.
    pub(crate) has: fn(&Treatment) -> bool,
}

/// Every option of a network that is on or off, but `--internal`, which is a choice of the uplink.
pub(crate) const SWITCHES: [Switch; 7] = [
    Switch {
        option: "--clamp-mss",
        what: "MSS clamping",
        states: ["off", "on"],
        asked: |network| network.clamp_mss,
        has: |treatment| treatment.clamp_mss,
    },
    Switch {
        option: "--ignore-xfrm",
        what: "handling of IPsec policies",
        states: ["kept to", "ignored"],
        asked: |network| network.ignore_xfrm,
        has: |treatment| treatment.ignore_xfrm,
    },
    Switch {
        option: "--no-icc",
        what: "reach between namespaces",
        states: ["on", "off"],
        asked: |network| network.no_icc,
        has: |treatment| treatment.no_icc,
    },
    Switch {
        option: "--flows east-west",
        what: "counting of what neighbours speak",
        states: ["off", "on"],
        asked: |network| network.flows == Flows::EastWest,
        has: |treatment| treatment.flows == Flows::EastWest,
    },
    Switch {
        option: "--bridge none",
        what: "bridge between namespaces",
        states: ["on", "off"],
        asked: |network| network.bridging == Bridging::None,
        has: |treatment| treatment.bridging == Bridging::None,
    },
    Switch {
        option: "--dns",
        what: "name server",
        states: ["off", "on"],
        asked: |network| network.dns,
        has: |treatment| treatment.dns,
    },
    Switch {
        option: "--multicast",
        what: "multicast by the uplink",
        states: ["off", "on"],
        asked: |network| network.multicast,
        has: |treatment| treatment.multicast,
    },
];

impl Network {
    /// How the packets of a network that is made so are treated.
    pub(crate) fn treatment(&self) -> Treatment {
        let internal = self.uplink == UplinkChoice::None;
        Treatment {
            nat: self.nat.unwrap_or_default(),
            clamp_mss: self.clamp_mss,
            ignore_xfrm: self.ignore_xfrm,
            internal,
            no_icc: self.no_icc,
            flows: self.flows,
            bridging: self.bridging,
            bound: self.uplink.interface().is_some(),
            dns: self.dns,
            multicast: self.multicast,
            // Of an internal network nothing comes to where it could be translated.
            routed6: self.ipv6 == Some(Ipv6::Route) && !internal,
        }
    }

    /// What is asked for of IPv6: where addresses are, it is to have it.
    #[must_use]
    pub fn asked_ipv6(&self) -> Option<Ipv6> {
        self.ipv6.or(self.subnet6.map(|_| Ipv6::Masquerade))
    }

    /// Whether its subnets have addresses of the family of this one, and whether this is one of them.
    pub(crate) fn has(&self, address: IpAddr) -> (bool, bool) {
        match address {
            IpAddr::V4(address) => (self.subnet.is_some(), self.subnet.is_some_and(|it| it.contains(&address))),
            IpAddr::V6(address) => (self.subnet6.is_some(), self.subnet6.is_some_and(|it| it.contains(&address))),
        }
    }
}

impl Treatment {
    /// What the flags of a network or an endpoint say about its packets.
    #[must_use]
    pub fn of_flags(flags: u32) -> Self {
        let is_set = |flag: u32| flags & flag != 0;
        let nat = match (is_set(endpoint_flags::NAT_EIM), is_set(endpoint_flags::NAT_EIF)) {
            (false, _) => Nat::Symmetric,
            (true, false) => Nat::Eim,
            (true, true) => Nat::EimEif,
        };
        Self {
            nat,
            clamp_mss: is_set(endpoint_flags::CLAMP_MSS),
            ignore_xfrm: is_set(endpoint_flags::IGNORE_XFRM),
            internal: is_set(endpoint_flags::INTERNAL),
            no_icc: is_set(endpoint_flags::NO_ICC),
            flows: if is_set(endpoint_flags::EAST_WEST) { Flows::EastWest } else { Flows::Outside },
            bridging: if is_set(endpoint_flags::NO_BRIDGE) { Bridging::None } else { Bridging::Ports },
            bound: is_set(endpoint_flags::UPLINK_BOUND),
            dns: is_set(endpoint_flags::DNS),
            multicast: is_set(endpoint_flags::MULTICAST),
            routed6: is_set(endpoint_flags::ROUTED_V6),
        }
    }

    /// The flags that say so.
    #[must_use]
    pub fn flags(self) -> u32 {
        let nat = match self.nat {
            Nat::Symmetric => 0,
            Nat::Eim => endpoint_flags::NAT_EIM,
            Nat::EimEif => endpoint_flags::NAT_EIM | endpoint_flags::NAT_EIF,
        };
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        nat | flag(self.clamp_mss, endpoint_flags::CLAMP_MSS)
            | flag(self.ignore_xfrm, endpoint_flags::IGNORE_XFRM)
            | flag(self.internal, endpoint_flags::INTERNAL)
            | flag(self.no_icc, endpoint_flags::NO_ICC)
            | flag(self.flows == Flows::EastWest, endpoint_flags::EAST_WEST)
            | flag(self.bridging == Bridging::None, endpoint_flags::NO_BRIDGE)
            | flag(self.bound, endpoint_flags::UPLINK_BOUND)
            | flag(self.dns, endpoint_flags::DNS)
            | flag(self.multicast, endpoint_flags::MULTICAST)
            | flag(self.routed6, endpoint_flags::ROUTED_V6)
    }

    /// What a network has of IPv6 that is treated so, and has addresses of it or not.
    #[must_use]
    pub const fn ipv6(self, has_addresses: bool) -> Ipv6 {
        match (has_addresses, self.routed6 || self.internal) {
            (false, _) => Ipv6::Off,
            (true, false) => Ipv6::Masquerade,
            (true, true) => Ipv6::Route,
        }
    }

    /// Whether its packets may appear behind this address, which is one of an uplink's.
    #[must_use]
    pub fn appears_behind(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => true,
            // What leaves a link does not do so from an address of the link (RFC 4291, section 2.5.6).
            IpAddr::V6(address) => !self.routed6 && !address.is_unicast_link_local(),
        }
    }

    /// A network that would be treated so. What leads outside, and IPv6, is said elsewhere.
    pub(crate) fn as_asked(self) -> Network {
        let Self {
            nat,
            clamp_mss,
            ignore_xfrm,
            no_icc,
            flows,
            bridging,
            dns,
            multicast,
            internal: _,
            bound: _,
            routed6: _,
        } = self;
        Network {
            nat: Some(nat),
            clamp_mss,
            ignore_xfrm,
            no_icc,
            flows,
            bridging,
            dns,
            multicast,
            ..Network::default()
        }
    }

    /// The options by which a network is asked for that is treated so: those that are not the usual.
    pub(crate) fn options(&self) -> Vec<String> {
        let nat = (self.nat != Nat::Symmetric).then(|| format!("--nat {}", self.nat.name()));
        let others = [
            (self.internal, "--internal".into()),
            (self.bound, "--uplink".into()),
            (self.routed6, format!("--ipv6 {}", Ipv6::Route.name())),
        ];
        let switches = SWITCHES.iter().map(|switch| ((switch.has)(self), switch.option.into()));
        let given = switches.chain(others).filter(|(given, _)| *given).map(|(_, option)| option);
        nat.into_iter().chain(given).collect()
    }

    /// Refuses what the kernel's own data path cannot do.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] that names the option.
    pub(crate) fn check(self, datapath: Datapath) -> Result<()> {
        if self.internal {
            self.check_internal(datapath)?;
        }
        self.check_bridging(datapath)?;
        if datapath.is_ebpf() {
            return Ok(());
        }
        let remedy = "leave it out, or use --datapath tc";
        if self.nat != Nat::Symmetric {
            let why = "masquerade by nftables maps each connection by itself";
            return Err(unsupported(&format!("--nat {}", self.nat.name()), why).remedy(remedy));
        }
        if self.clamp_mss {
            let why = "fwd makes no rule for it in nftables";
            return Err(unsupported("--clamp-mss", why).remedy(remedy));
        }
        if self.multicast {
            let why = "no program copies what is for a group";
            return Err(unsupported("--multicast", why).remedy(remedy));
        }
        if self.flows == Flows::EastWest {
            let why = "the bridge passes on what namespaces speak with each other, and counts no flows";
            return Err(unsupported("--flows east-west", why).remedy(remedy));
        }
        Ok(())
    }

    /// Refuses to go without a bridge where no program is in its place, or none that has been tried there.
    fn check_bridging(self, datapath: Datapath) -> Result<()> {
        if self.bridging == Bridging::None && self.multicast {
            let why = "what is for a group comes to namespaces by the ports of a bridge";
            return Err(Error::new(Kind::Usage, "use", "--multicast with --bridge none", why)
                .remedy("leave one of the two out"));
        }
        let Some(why) = datapath.needs_bridge().filter(|_| self.bridging == Bridging::None) else { return Ok(()) };
        let option = format!("--bridge {}", Bridging::None.name());
        let error = Error::new(Kind::Unsupported, "use", format!("{option} with --datapath {}", datapath.name()), why);
        Err(error.remedy(format!("leave out {option}, or use --datapath {}", Datapath::Tc.name())))
    }

    /// Refuses what is about a way out, of which an internal network has none.
    fn check_internal(self, datapath: Datapath) -> Result<()> {
        let nat = format!("--nat {}", self.nat.name());
        let given = [
            (self.nat != Nat::Symmetric, nat.as_str()),
            (self.clamp_mss, "--clamp-mss"),
            (self.ignore_xfrm, "--ignore-xfrm"),
            (datapath.has_xdp(), "--datapath xdp"),
            (self.multicast, "--multicast"),
        ];
        match given.into_iter().find(|(given, _)| *given) {
            None => Ok(()),
            Some((_, option)) => {
                let why = "nothing is translated or sent by an uplink in an internal network (--internal)";
                Err(Error::new(Kind::Usage, "use", option, why).remedy("leave one of the two out"))
            }
        }
    }
}
