//! What is desired as a plan asks for it, one network and one endpoint at a time.

use std::{collections::BTreeSet, net::IpAddr, rc::Rc};

use crate::{Datapath, Desired, Endpoint, EndpointOptions, Network, Scope, TableRequest, TargetRef, UplinkChoice};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::EndpointId;

/// A network as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct AskedNetwork {
    pub(crate) name: String,
    pub(crate) options: Network,
    /// Networks that may reach it no more.
    pub(crate) forbid: BTreeSet<String>,
    /// What is not asked for is not to be.
    pub(crate) exact: bool,
}

impl AskedNetwork {
    /// What is asked for of `network` alone: all else stays as it is.
    pub(crate) fn new(name: &str, network: &Network) -> Self {
        Self { name: name.into(), options: network.clone(), forbid: BTreeSet::new(), exact: false }
    }

    /// Nothing leaves it.
    pub(crate) fn is_internal(&self) -> bool {
        self.options.uplink == UplinkChoice::None
    }

    /// Any way out will do, or none for the time being.
    pub(crate) fn takes_any_way(&self) -> bool {
        self.options.uplink == UplinkChoice::Any
    }

    /// What is asked for of something that is on or off.
    pub(crate) fn says(&self, on: bool) -> Option<bool> {
        (on || self.exact).then_some(on)
    }

    /// The networks that may reach it then, where `found` may now.
    pub(crate) fn allows(&self, found: &BTreeSet<String>) -> BTreeSet<String> {
        let kept = found.iter().filter(|it| !self.exact && !self.forbid.contains(*it));
        kept.chain(&self.options.allow_networks).cloned().collect()
    }
}

/// An endpoint as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: EndpointId,
    pub(crate) owner_network: Option<String>,
    pub(crate) target: TargetRef,
    pub(crate) network: AskedNetwork,
    pub(crate) options: EndpointOptions,
    /// It is to be attached soon rather than by what is best for packets, where nothing is asked for.
    pub(crate) hurries: bool,
    /// No other ports than those are to be published for it, and of all else that is not asked for nothing is to be.
    pub(crate) no_others: bool,
    /// Addresses in networks that this or another endpoint is to have.
    pub(crate) promised: Rc<BTreeSet<(String, IpAddr)>>,
    pub(crate) table: TableRequest,
}

impl Desired {
    /// The endpoints that are in `scope`.
    ///
    /// # Errors
    /// They contradict each other, or ask for what is not made yet.
    pub(crate) fn endpoints_in(&self, scope: &Scope) -> Result<Vec<Asked>> {
        let mut seen = BTreeSet::new();
        for endpoint in &self.endpoints {
            if !seen.insert(&endpoint.id) {
                let why = "it is said twice";
                return Err(Error::new(Kind::Usage, "attach", format!("endpoint {}", endpoint.id), why));
            }
        }
        let is_in = |it: &&Endpoint| scope.is_whole() || (scope.target.is_some() && scope.target == it.netns);
        let promised = self
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.options.addresses().map(|address| (endpoint.network.clone(), address)));
        let promised = Rc::new(promised.collect());
        self.endpoints.iter().filter(is_in).map(|endpoint| self.asked(endpoint, &promised, scope)).collect()
    }

    fn asked(&self, endpoint: &Endpoint, promised: &Rc<BTreeSet<(String, IpAddr)>>, scope: &Scope) -> Result<Asked> {
        let Endpoint { id, network, owner_network, netns, options } = endpoint;
        let refuse = |kind, why: String| Error::new(kind, "attach", format!("endpoint {id}"), why);
        let target = netns.clone().ok_or_else(|| refuse(Kind::NotFound, "its namespace is not known yet".into()))?;
        let unknown = || refuse(Kind::NotFound, format!("there is no network {network}"));
        let desired = self.networks.get(network).ok_or_else(unknown)?;
        // Of the whole, the table is for those networks that use it.
        let unused = scope.is_whole() && desired.datapath == Some(Datapath::Kernel);
        Ok(Asked {
            id: id.clone(),
            owner_network: owner_network.clone(),
            target,
            network: AskedNetwork::new(network, desired),
            options: options.clone(),
            // A runtime waits for each of its endpoints.
            hurries: id.owner.is_runtime(),
            no_others: scope.is_whole(),
            promised: Rc::clone(promised),
            table: if unused { TableRequest::default() } else { self.table.clone() },
        })
    }
}
