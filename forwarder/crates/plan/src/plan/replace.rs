//! What is there, and cannot become what is desired while it stays: it goes, and comes again.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::Planner;
use crate::{Actual, Desired, Endpoint, EndpointRecord, desired::Asked, settle};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{EndpointId, EndpointOwner};

/// What is to be made anew, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) endpoints: BTreeMap<EndpointId, String>,
    pub(crate) networks: BTreeMap<String, String>,
}

impl Replaced {
    fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.networks.is_empty()
    }

    /// What is desired, where what is made anew keeps the addresses that it has, as far as no others are asked for.
    pub(super) fn with_addresses(&self, desired: &Desired, actual: &Actual) -> Option<Desired> {
        if self.is_empty() {
            return None;
        }
        let mut desired = desired.clone();
        let records = &actual.records;
        for record in records.networks.iter().filter(|record| self.networks.contains_key(&record.name)) {
            let Some(network) = desired.networks.get_mut(&record.name) else { continue };
            let has_ipv4 = network.subnets.iter().any(|subnet| subnet.addr().is_ipv4());
            network.subnets.extend((!has_ipv4).then(|| IpNet::V4(record.subnet())));
        }
        let networks = &desired.networks;
        let taken: Vec<_> = desired.endpoints.iter().flat_map(|it| it.addresses.iter().copied()).collect();
        for endpoint in &mut desired.endpoints {
            let has_ipv4 = endpoint.addresses.iter().any(|address| address.is_ipv4());
            let mut former =
                records.endpoints.iter().filter(|it| it.id == endpoint.id && it.network == endpoint.network);
            let Some(record) = former.next().filter(|_| !has_ipv4 && self.endpoints.contains_key(&endpoint.id)) else {
                continue;
            };
            let subnets = networks.get(&endpoint.network).map(|network| network.subnets.as_slice()).unwrap_or_default();
            let mut subnets = subnets.iter().filter(|subnet| subnet.addr().is_ipv4());
            let address = record.address.into();
            if subnets.all(|subnet| subnet.contains(&address)) && !taken.contains(&address) {
                endpoint.addresses.push(address);
            }
        }
        Some(desired)
    }
}

impl Planner<'_> {
    /// What has to be made anew.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if a network has to, and something in it is not this command's to touch.
    pub(super) fn replaced(&mut self, desired: &Desired, coming: &[Asked]) -> Result<Replaced> {
        let mut replaced = Replaced::default();
        for (name, network) in &desired.networks {
            let mut asked = network.asked(name)?;
            asked.exact = true;
            if let Some(why) = settle::why_replace_network(&asked, &self.actual) {
                self.refuse_strangers(desired, name, &why)?;
                replaced.networks.insert(name.clone(), why);
            }
        }
        let known: BTreeMap<EndpointId, String> =
            self.actual.records.endpoints.iter().map(|it| (it.id.clone(), it.network.clone())).collect();
        for asked in coming {
            let Some(network) = known.get(&asked.id) else { continue };
            let why = if replaced.networks.contains_key(network) {
                Some(format!("network {network} is made anew"))
            } else {
                self.turn_to(asked);
                settle::why_replace(asked, &self.actual)
            };
            replaced.endpoints.extend(why.map(|why| (asked.id.clone(), why)));
        }
        Ok(replaced)
    }

    /// Refuses to make a network anew under an endpoint that neither goes nor is desired.
    fn refuse_strangers(&self, desired: &Desired, network: &str, why: &str) -> Result<()> {
        let is_stranger = |it: &&EndpointRecord| {
            it.network == network
                && it.id.owner != EndpointOwner::Cli
                && desired.endpoints.iter().all(|wanted: &Endpoint| wanted.id != it.id)
        };
        let Some(stranger) = self.actual.records.endpoints.iter().find(is_stranger) else { return Ok(()) };
        let owner = stranger.id.owner.name();
        let why = format!("{why}; and {} of {owner} is in it, which would be cut off", stranger.label());
        Err(Error::new(Kind::Conflict, "make anew", format!("network {network}"), why)
            .remedy(format!("leave the network as it is, or take that away by {owner} first")))
    }
}
