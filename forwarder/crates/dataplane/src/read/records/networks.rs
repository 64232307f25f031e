//! Records of networks, and what the programs are told of all of them.

use aya::maps::lpm_trie::Key;
use forwarder_common::abi::{self, Network, feature};
use ipnet::{Ipv4Net, Ipv6Net};

use super::{absent_or, steady};
use crate::{Dataplane, object::maps, read::field::name_of};
use fwd_base::{Context as _, Error, Kind, Result};

impl Dataplane {
    /// Every network with the ifindex of its bridge.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn networks(&self) -> Result<Vec<(u32, Network)>> {
        self.all(maps::NETWORKS)
    }

    /// The network whose bridge is `bridge`, if it is registered.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn network(&self, bridge: u32) -> Result<Option<Network>> {
        steady(|| self.one(maps::NETWORKS, &bridge))
    }

    /// Registers a network and its prefix.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn put_network(&self, bridge: u32, network: &Network) -> Result<()> {
        self.put(maps::NETWORKS, &bridge, network)?;
        if network.flags & abi::endpoint_flags::KERNEL_DATAPATH == 0 {
            if let Some(subnet) = subnet(network) {
                let key = Key::new(subnet.prefix_len().into(), subnet.network().octets());
                self.trie(maps::SUBNETS)?.insert(&key, &bridge, 0).doing("write", maps::SUBNETS)?;
            }
            if let Some(subnet) = subnet_v6(network) {
                self.load_ipv6().map_err(|error| {
                    let remedy = error.remedy.as_ref().map_or_else(String::new, |remedy| format!("{remedy}; "));
                    error.remedy(format!("{remedy}without IPv6 the network needs none of it (`fwd up --ipv6 off`)"))
                })?;
                let key = Key::new(subnet.prefix_len().into(), subnet.network().octets());
                self.trie_v6(maps::SUBNETS_V6)?.insert(&key, &bridge, 0).doing("write", maps::SUBNETS_V6)?;
            }
        }
        if network.flags & abi::endpoint_flags::MULTICAST != 0 {
            self.load_multicast()?;
        }
        self.update_config()
    }

    /// Notes the number that an endpoint of a network has got last, network byte order; of a network that is not registered, nothing.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn note_last(&self, bridge: u32, last: [u8; 4]) -> Result<()> {
        match self.network(bridge)? {
            Some(network) if network.last != last => self.put(maps::NETWORKS, &bridge, &Network { last, ..network }),
            _ => Ok(()),
        }
    }

    /// Lets a network go on with the bridge `to`, in place of `from`, which is gone. Until the last step its record is there under the former number,
    /// then under both: whatever interrupts this, it is found, and the next call does the rest.
    ///
    /// # Errors
    /// It has no record, `to` is no interface, or a map cannot be written.
    pub fn move_network(&self, from: u32, to: u32) -> Result<()> {
        let network = self.network(to)?.map_or_else(|| self.network(from), |network| Ok(Some(network)))?;
        let unrecorded = || {
            let object = format!("the network of the bridge with index {from}");
            Error::new(Kind::NotFound, "move", object, "it has no record")
        };
        let network = network.ok_or_else(unrecorded)?;
        self.put_network(to, &network)?;
        // Whom it reaches is noted by numbers, too, and from now on by that of the bridge which is there.
        self.follow_allowed()?;
        if from == to { Ok(()) } else { self.forget(maps::NETWORKS, &from) }
    }

    /// Removes a network.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn remove_network(&self, bridge: u32) -> Result<()> {
        let record = self.network(bridge)?;
        // First what it allows: a network that is made anew under its name has allowed nothing, whatever interrupts this.
        if let Some(network) = &record {
            self.forget_network_metadata(&name_of(&network.name))?;
        }
        self.forget_device(bridge)?;
        self.forget(maps::NETWORKS, &bridge)?;
        if let Some(network) = record {
            if let Some(subnet) = subnet(&network) {
                let key = Key::new(subnet.prefix_len().into(), subnet.network().octets());
                absent_or(self.trie(maps::SUBNETS)?.remove(&key)).doing("write", maps::SUBNETS)?;
            }
            if let Some(subnet) = subnet_v6(&network) {
                let key = Key::new(subnet.prefix_len().into(), subnet.network().octets());
                absent_or(self.trie_v6(maps::SUBNETS_V6)?.remove(&key)).doing("write", maps::SUBNETS_V6)?;
            }
        }
        self.update_config()
    }

    /// Tells the programs between which addresses the prefixes lie, and what some network uses: most packets need no look-up.
    fn update_config(&self) -> Result<()> {
        let networks = self.networks()?;
        let forwarded = networks.iter().filter(|(_, it)| it.flags & abi::endpoint_flags::KERNEL_DATAPATH == 0);
        let features = forwarded.clone().fold(0, |features, (_, network)| features | features_of(network));
        let ranges: Vec<Ipv4Net> = forwarded.clone().filter_map(|(_, network)| subnet(network)).collect();
        let mut config = self.config()?;
        config.features = features | config.features & !OF_NETWORKS;
        config.subnets_min = ranges.iter().map(|it| u32::from(it.network())).min().unwrap_or(u32::MAX);
        config.subnets_max = ranges.iter().map(|it| u32::from(it.broadcast())).max().unwrap_or(0);
        let prefixes: Vec<u64> = forwarded.filter_map(|(_, network)| subnet_v6(network)).map(prefix_v6).collect();
        config.prefixes6_min = prefixes.iter().copied().min().unwrap_or(u64::MAX);
        config.prefixes6_max = prefixes.iter().copied().max().unwrap_or(0);
        self.set_config(&config)
    }
}

/// What [`features_of`] networks can be.
const OF_NETWORKS: u32 = feature::EIM
    | feature::EIF
    | feature::IPV6
    | feature::ROUTED_V6
    | feature::EAST_WEST
    | feature::MULTICAST
    | feature::NO_BRIDGE;

/// What a network needs of the programs.
fn features_of(network: &Network) -> u32 {
    let features = [
        (abi::endpoint_flags::NAT_EIM, feature::EIM),
        (abi::endpoint_flags::NAT_EIF, feature::EIF),
        (abi::endpoint_flags::ROUTED_V6, feature::ROUTED_V6),
        (abi::endpoint_flags::EAST_WEST, feature::EAST_WEST),
        (abi::endpoint_flags::MULTICAST, feature::MULTICAST),
        (abi::endpoint_flags::NO_BRIDGE, feature::NO_BRIDGE),
    ];
    let ipv6 = if subnet_v6(network).is_some() { feature::IPV6 } else { 0 };
    features.into_iter().filter(|(flag, _)| network.flags & flag != 0).fold(ipv6, |all, (_, feature)| all | feature)
}

/// The IPv4 prefix of a network, if it has one.
fn subnet(network: &Network) -> Option<Ipv4Net> {
    let prefix = u8::try_from(network.prefix_v4).unwrap_or(32).min(32);
    (network.gateway_v4 != [0; 4]).then(|| Ipv4Net::new_assert(network.gateway_v4.into(), prefix).trunc())
}

/// The IPv6 prefix of a network, if it has one.
fn subnet_v6(network: &Network) -> Option<Ipv6Net> {
    let prefix = u8::try_from(network.prefix_v6).unwrap_or(128).min(128);
    (network.gateway_v6 != [0; 16]).then(|| Ipv6Net::new_assert(network.gateway_v6.into(), prefix).trunc())
}

/// The first eight bytes of the addresses in a subnet, which are the same in all: none is shorter than that of a link.
fn prefix_v6(subnet: Ipv6Net) -> u64 {
    (subnet.network().to_bits() >> 64) as u64
}
