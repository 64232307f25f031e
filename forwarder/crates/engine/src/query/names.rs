//! Names: by which an endpoint is found, and whether anybody answers.

use forwarder_common::abi::endpoint_flags;

use super::State;
use crate::execute::{self, HostContext};
use fwd_base::Result;
use fwd_dataplane::{Described, name_of};
use fwd_render::NamesView;

impl State {
    /// The names of an endpoint, where its network has a name server.
    pub(super) fn names_of(&self, endpoint: &Described) -> NamesView {
        let network = self.networks.get(&endpoint.record.network);
        let Some(network) = network.filter(|network| network.flags & endpoint_flags::DNS != 0) else {
            return NamesView::default();
        };
        let names = execute::names_of(endpoint).iter().map(ToString::to_string).collect();
        NamesView { name_server: execute::gateways(network).first().map(|it| it.addr()), names }
    }

    /// What is wrong with the name server, each with the remedy: of one network, or of all.
    ///
    /// # Errors
    /// The maps cannot be read.
    pub fn name_server_problems(&self, context: &HostContext, cookie: u64, only: Option<&str>) -> Result<Vec<String>> {
        let wanted = self.networks.values().filter(|network| network.flags & endpoint_flags::DNS != 0);
        let wanted: Vec<String> = wanted.map(|network| name_of(&network.name)).collect();
        let wanted: Vec<&String> = wanted.iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let status = match execute::name_server(context, cookie) {
            Ok(status) => status.unwrap_or_default(),
            Err(error) => return Ok(vec![format!("{error}: names are not resolved by it")]),
        };
        let absent = wanted.iter().filter(|name| !status.networks.contains_key(**name));
        let mut problems: Vec<String> = absent
            .map(|name| {
                format!(
                    "the name server of network {name} has ended: names are not resolved there; `fwd up` for one of its namespaces starts it again"
                )
            })
            .collect();
        let nobody = status.problem.filter(|_| status.pid != 0);
        problems.extend(nobody.map(|why| format!("the name server asks nobody for names of outside: {why}")));
        Ok(problems)
    }
}
