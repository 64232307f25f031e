//! What is there, and cannot become what is desired while it stays: it goes, and comes again.

use std::{collections::BTreeMap, net::IpAddr};

use super::{LeftOut, Planner};
use crate::{
    Actual, Desired, Endpoint, EndpointOptions, EndpointRecord, Ipv4, Ipv6, Network, NetworkRecord, UplinkChoice,
    desired::{Asked, AskedNetwork},
    settle, uplink,
};
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

    /// What is desired, where what is made anew keeps what is left open, above all the addresses that it has.
    pub(super) fn with_addresses(&self, desired: &Desired, actual: &Actual) -> Option<Desired> {
        if self.is_empty() {
            return None;
        }
        let mut desired = desired.clone();
        let records = &actual.records;
        for record in records.networks.iter().filter(|record| self.networks.contains_key(&record.name)) {
            let Some(network) = desired.networks.get_mut(&record.name) else { continue };
            keep_open(network, record, actual);
        }
        let networks = &desired.networks;
        let taken: Vec<_> = desired.endpoints.iter().flat_map(|it| it.options.addresses()).collect();
        for endpoint in &mut desired.endpoints {
            let mut former =
                records.endpoints.iter().filter(|it| it.id == endpoint.id && it.network == endpoint.network);
            let Some(record) = former.next().filter(|_| self.endpoints.contains_key(&endpoint.id)) else {
                continue;
            };
            let network = networks.get(&endpoint.network);
            // A network that is made anew says all of its subnets by now.
            let stays = !self.networks.contains_key(&endpoint.network);
            for address in record.addresses() {
                let (has_family, has) = network.map_or((false, false), |network| network.has(address));
                let fits = has || stays && !has_family;
                let EndpointOptions { ip, ip6, .. } = &mut endpoint.options;
                match address {
                    _ if !fits || taken.contains(&address) => {}
                    IpAddr::V4(address) => _ = ip.get_or_insert(address),
                    IpAddr::V6(address) => _ = ip6.get_or_insert(address),
                }
            }
        }
        Some(desired)
    }
}

/// What is left open of a network that is made anew stays as it is.
fn keep_open(network: &mut Network, record: &NetworkRecord, actual: &Actual) {
    let (says4, says6) = (network.subnet.is_some(), network.subnet6.is_some());
    if !says4 {
        network.ipv4.get_or_insert(record.ipv4());
    }
    if let Some(gateway) = record.gateway.filter(|_| !says4 && network.ipv4 != Some(Ipv4::Off)) {
        network.subnet = Some(gateway.trunc());
        network.gateway.get_or_insert(gateway.addr());
    }
    network.datapath.get_or_insert(record.datapath);
    // By another way out, other addresses and larger or smaller packets may leave.
    let way = network.uplink.clone();
    let (internal, bound) = (record.treatment.internal, record.treatment.bound);
    let most = match &way {
        UplinkChoice::None => internal.then_some(u32::MAX),
        UplinkChoice::Auto | UplinkChoice::Any if internal || bound => None,
        UplinkChoice::Auto | UplinkChoice::Any => {
            uplink::choose(actual, None, network.ipv4.unwrap_or(Ipv4::On)).ok().map(|uplink| uplink.mtu)
        }
        UplinkChoice::Interface(name) => {
            let recorded = actual.host.net.link(name).filter(|link| bound && link.index == record.uplink);
            recorded.map(|link| link.mtu)
        }
    };
    let Some(most) = most else { return };
    if record.mtu <= most {
        network.mtu.get_or_insert(record.mtu);
    }
    let has = record.ipv6();
    if !says6 || has != Ipv6::Off {
        network.ipv6.get_or_insert(has);
    }
    if !says6 && network.ipv6 == Some(has) {
        network.subnet6 = record.subnet6();
    }
}

impl Planner<'_> {
    /// What has to be made anew.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if a network has to, and something in it is not this command's to touch.
    pub(super) fn replaced(&mut self, desired: &Desired, coming: &[Asked], left_out: &LeftOut) -> Result<Replaced> {
        let mut replaced = Replaced::default();
        for (name, network) in &desired.networks {
            let asked = AskedNetwork { exact: true, ..AskedNetwork::new(name, network) };
            if let Some(why) = settle::why_replace_network(&asked, &self.actual) {
                self.refuse_strangers(desired, name, &why)?;
                replaced.networks.insert(name.clone(), why);
            }
        }
        let known: BTreeMap<EndpointId, EndpointRecord> =
            self.actual.records.endpoints.iter().map(|it| (it.id.clone(), it.clone())).collect();
        for asked in coming.iter().filter(|asked| !left_out.has(&asked.id)) {
            let Some(record) = known.get(&asked.id) else { continue };
            let network = &record.network;
            let why = if replaced.networks.contains_key(network) {
                Some(format!("network {network} is made anew"))
            } else {
                self.turn_to(asked);
                self.why_gone(record).or_else(|| settle::why_replace(asked, &self.actual))
            };
            replaced.endpoints.extend(why.map(|why| (asked.id.clone(), why)));
        }
        Ok(replaced)
    }

    /// Why nothing is left of an endpoint that has a record, if so.
    fn why_gone(&self, record: &EndpointRecord) -> Option<String> {
        match self.actual.target_netns() {
            None => Some("its namespace was deleted".into()),
            Some(inside) if inside.cookie != record.cookie => Some("its namespace was made anew".into()),
            Some(_) => (!self.actual.is_live(record)).then(|| format!("its {} was deleted", record.id.ifname)),
        }
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
