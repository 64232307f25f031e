//! What is desired as a file: the inverse of [`desired`](super::desired).

use crate::file::{Endpoint, File, Network, Table, anywhere};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::EndpointOwner;
use fwd_plan::{Desired, IdleTime, TableRequest, range};

/// The text of a file that says what is desired, but for what container runtimes have attached: that is theirs to say.
///
/// # Errors
/// An endpoint has no namespace that a file could name.
pub fn text(desired: &Desired) -> Result<String> {
    toml::to_string(&said(desired)?).map_err(unwritten)
}

/// The same as JSON, indented, with a newline at its end: keys and values are those of the schema, as in the file.
///
/// # Errors
/// As [`text`].
pub fn json(desired: &Desired) -> Result<String> {
    serde_json::to_string_pretty(&said(desired)?).map(|text| text + "\n").map_err(unwritten)
}

fn unwritten(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Failed, "write", "what is up as a file", error.to_string()).caused_by(error)
}

fn said(desired: &Desired) -> Result<File> {
    let Desired { table, networks, endpoints, places: _ } = desired;
    let own = endpoints.iter().filter(|endpoint| endpoint.id.owner == EndpointOwner::Cli);
    let endpoints: Result<Vec<_>> = own.map(|endpoint| Endpoint::said(endpoint).map(anywhere)).collect();
    Ok(File {
        table: Some(said_table(table)).filter(|table| *table != Table::default()).map(anywhere),
        networks: networks.iter().map(|(name, network)| (anywhere(name.clone()), Network::said(network))).collect(),
        endpoints: endpoints?,
    })
}

fn said_table(table: &TableRequest) -> Table {
    let TableRequest { nat_ports, max_flows, max_flows_per_ns, timeouts } = table;
    let times = timeouts.iter().filter_map(|(which, seconds)| {
        let time = humantime::format_duration(std::time::Duration::from_secs((*seconds).into())).to_string();
        Some((anywhere(IdleTime::of(*which)?.name.to_owned()), anywhere(time.replace(' ', ""))))
    });
    Table {
        nat_ports: nat_ports.map(range).map(anywhere),
        max_flows: max_flows.map(u64::from).map(anywhere),
        max_flows_per_ns: max_flows_per_ns.map(u64::from).map(anywhere),
        timeouts: times.collect(),
    }
}
