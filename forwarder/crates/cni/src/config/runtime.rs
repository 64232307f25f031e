//! What is said of one container: by `runtimeConfig`, else by `args.cni`, else by `CNI_ARGS`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::{
    keys::{Bandwidth, Dns, Keys, PortMapping},
    parsed,
};
use crate::{
    environment::Environment,
    failure::{Failure, Result},
};
use fwd_base::HostName;
use fwd_dataplane::{PublishedPorts, Senders, Transport};
use fwd_plan::{AskedLimits, HardwareAddress, RateLimit};

/// The addresses that it is to have.
pub(super) fn addresses(keys: &Keys, environment: &Environment) -> Result<Vec<IpAddr>> {
    let given = [&keys.runtimeconfig.ips, &keys.args.cni.ips].into_iter().find(|ips| !ips.is_empty());
    let Some(given) = given else { return Ok(environment.args.ips.clone()) };
    // With or without the length of a prefix.
    let read = |text: &String| match text.contains('/') {
        true => parsed::<IpNet>("ips", text).map(|net| net.addr()),
        false => parsed("ips", text),
    };
    given.iter().map(read).collect()
}

/// Its hardware address.
pub(super) fn mac(keys: &Keys, environment: &Environment) -> Result<Option<HardwareAddress>> {
    let given = [&keys.runtimeconfig.mac, &keys.args.cni.mac].into_iter().flatten().find(|mac| !mac.is_empty());
    match given {
        Some(text) => parsed("mac", text).map(Some),
        None => Ok(environment.args.mac),
    }
}

/// Names by which it is found: those for this network.
pub(super) fn aliases(keys: &Keys) -> Result<Vec<HostName>> {
    // Where nobody answers for names, they are of no use.
    if !keys.nameserver {
        return Ok(Vec::new());
    }
    let name = keys.name.to_lowercase();
    let own = keys.runtimeconfig.aliases.iter().filter(|(network, _)| **network == name);
    own.flat_map(|(_, aliases)| aliases).map(|alias| parsed("aliases", alias)).collect()
}

/// What its resolv.conf is to say: what is said of the container, else of the network.
pub(super) fn dns(keys: &Keys) -> Value {
    let Dns { nameservers, domain, search, options } = keys.runtimeconfig.dns.as_ref().unwrap_or(&keys.dns);
    let lists = [("nameservers", nameservers), ("search", search), ("options", options)];
    let mut members: Map<String, Value> =
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(key, list)| (key.into(), json!(list))).collect();
    if let Some(domain) = domain.as_ref().filter(|domain| !domain.is_empty()) {
        members.insert("domain".into(), json!(domain));
    }
    Value::Object(members)
}

/// Ports of the host that lead to it; those that follow one another on both sides become one range.
pub(super) fn published(mappings: &[PortMapping]) -> Result<Vec<PublishedPorts>> {
    let mut published: Vec<PublishedPorts> = Vec::new();
    for mapping in mappings {
        let port = one(mapping)?;
        let continues = |last: &&mut PublishedPorts| {
            last.host == port.host
                && last.transport == port.transport
                && last.last.checked_add(1) == Some(port.first)
                && last.inside_last().checked_add(1) == Some(port.inside)
        };
        if let Some(last) = published.last_mut().filter(continues) {
            last.last = port.first;
        } else if !published.contains(&port) {
            published.push(port);
        }
    }
    Ok(published)
}

fn one(mapping: &PortMapping) -> Result<PublishedPorts> {
    let PortMapping { hostport, containerport, protocol, hostip } = mapping;
    let port = |key: &str, number: i64| match u16::try_from(number) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Failure::invalid(key, number, "a port is 1 to 65535")),
    };
    let transport = match protocol.to_lowercase().as_str() {
        "" | "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return Err(Failure::unsupported("portMappings.protocol", protocol, "ports of tcp and udp are published")),
    };
    let host = match hostip.as_str() {
        "" => None,
        text => Some(parsed::<IpAddr>("portMappings.hostIP", text)?),
    };
    let first = port("portMappings.hostPort", *hostport)?;
    let inside = port("portMappings.containerPort", *containerport)?;
    Ok(PublishedPorts { host, first, last: first, inside, transport, senders: Senders::default() })
}

/// What it may send and get in a second. Runtimes give the largest burst that there is where they mean any: it becomes the largest that suits
/// the rate.
pub(super) fn limits(bandwidth: Option<Bandwidth>) -> Result<AskedLimits> {
    let Some(Bandwidth { ingressrate, ingressburst, egressrate, egressburst }) = bandwidth else {
        return Ok(AskedLimits::default());
    };
    let limit = |direction: &str, rate: u64, burst: u64| match (rate, burst) {
        (0, 0) => Ok(None),
        (rate, 0) => {
            Err(Failure::invalid(&format!("bandwidth.{direction}Rate"), rate, format!("it needs {direction}Burst")))
        }
        (0, burst) => {
            Err(Failure::invalid(&format!("bandwidth.{direction}Burst"), burst, format!("it needs {direction}Rate")))
        }
        (rate, bits) => {
            let limit = RateLimit { rate, burst: 0 };
            let most = limit.most_burst().max(RateLimit::LEAST_BURST);
            Ok(Some(RateLimit { burst: (bits / 8).clamp(RateLimit::LEAST_BURST, most), ..limit }))
        }
    };
    Ok(AskedLimits {
        inbound: limit("ingress", ingressrate, ingressburst)?,
        outbound: limit("egress", egressrate, egressburst)?,
    })
}
