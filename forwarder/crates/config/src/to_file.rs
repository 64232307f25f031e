//! What is desired as a file: the inverse of [`desired`](super::desired).

use std::net::IpAddr;

use toml::Spanned;

use crate::file::{Endpoint, File, Network, Table, anywhere};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{EndpointId, EndpointOwner, Verb};
use fwd_kernel::netns::Name;
use fwd_plan::{
    self as plan, AskedLimits, DEFAULT_NETWORK, Desired, IdleTime, NS_IF, RateLimit, TableRequest, TargetRef, range,
};

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
    let endpoints: Result<Vec<_>> = own.map(|endpoint| said_endpoint(endpoint).map(anywhere)).collect();
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

/// Name, process or path of a namespace: one of them.
type Target = (Option<Spanned<Name>>, Option<u32>, Option<String>);

fn said_target(id: &EndpointId, netns: Option<&TargetRef>) -> Result<Target> {
    let unknown = |why: &str| Error::new(Kind::Failed, "write", format!("endpoint {id} into a file"), why);
    let target = netns.ok_or_else(|| unknown("its namespace is not known"))?;
    Ok(match target {
        TargetRef::Awaited(_) => return Err(unknown("its namespace is not made yet")),
        TargetRef::Named(name) => (Some(anywhere(name.clone())), None, None),
        TargetRef::Pid(pid) => (None, Some(*pid), None),
        // A container is another one when it starts again: files name what it is in now.
        TargetRef::Path(_) | TargetRef::Container(_) => {
            let path = target.path();
            let path = path.to_str().ok_or_else(|| unknown("the path of its namespace is no UTF-8"))?;
            (None, None, Some(path.to_owned()))
        }
    })
}

fn said_endpoint(endpoint: &plan::Endpoint) -> Result<Endpoint> {
    let plan::Endpoint {
        id,
        network,
        // Of runtimes alone, and of a command that is over.
        owner_network: _,
        range: _,
        pooled: _,
        host_if: _,
        netns,
        addresses,
        announce,
        allow_spoof,
        source,
        mac,
        no_default_route,
        metric,
        routes,
        limits: AskedLimits { outbound, inbound },
        policy,
        attach,
        publish,
        aliases,
    } = endpoint;
    let (ns, pid, path) = said_target(id, netns.as_ref())?;
    let [rate_out, burst_out] = said_limit(*outbound);
    let [rate_in, burst_in] = said_limit(*inbound);
    let said = |verb| {
        let rules = policy.iter().flatten().filter(move |rule| rule.verb == verb);
        rules.map(|rule| anywhere(rule.what.to_string())).collect()
    };
    let [allow_out, deny_out, allow_in, deny_in] = Verb::ALL.map(said);
    let ip = addresses.iter().find_map(|address| if let IpAddr::V4(ip) = address { Some(*ip) } else { None });
    let ip6 = addresses.iter().find_map(|address| if let IpAddr::V6(ip) = address { Some(*ip) } else { None });
    Ok(Endpoint {
        ns,
        pid,
        netns: path,
        network: (network != DEFAULT_NETWORK).then(|| anywhere(network.clone())),
        ifname: (id.ifname != NS_IF).then(|| id.ifname.clone()),
        ip,
        ip6,
        mac: *mac,
        aliases: aliases.clone(),
        metric: *metric,
        no_default_route: *no_default_route,
        routes: routes.clone(),
        announce: *announce,
        allow_spoof: *allow_spoof,
        source: source.v4,
        source6: source.v6,
        allow_out,
        deny_out,
        allow_in,
        deny_in,
        rate_out,
        burst_out,
        rate_in,
        burst_in,
        attach: *attach,
        publish: publish.clone(),
    })
}

/// Rate and burst, the latter where it is not the usual one.
fn said_limit(limit: Option<RateLimit>) -> [Option<Spanned<String>>; 2] {
    let Some(limit) = limit.filter(|limit| limit.rate != 0) else { return [None, None] };
    let usual = RateLimit::of_rate(limit.rate);
    let burst = (limit.burst != usual.burst).then(|| limit.burst.to_string());
    [Some(limit.text()), burst].map(|text| text.map(anywhere))
}
