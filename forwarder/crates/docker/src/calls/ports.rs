//! Ports of the host that lead to endpoints.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::{
    api::{Id, OfEndpoint, PORT_MAP, PortBinding, ProgramExternalConnectivity},
    driver::Driver,
};
use fwd_base::{Cause, Error, Kind, Result};
use fwd_dataplane::{Described, Publication, PublishedPorts, Senders, Transport};
use fwd_engine::execute::{Unobserved, change_ports, listeners};
use fwd_plan::{PortRequest, TargetRef};

/// Of these one is taken where docker leaves it open: flows to the outside have lower ones, and the host's own sockets higher ones
/// (`net.ipv4.ip_local_port_range`).
const ANY: (u16, u16) = (30_000, 32_767);

/// Publishes ports, and notes which were taken.
///
/// # Errors
/// One cannot be published, or somebody has it: then none of them is.
pub(super) fn publish(driver: &Driver, asked: ProgramExternalConnectivity) -> Result<Value> {
    let ProgramExternalConnectivity { of: OfEndpoint { network, endpoint }, options } = asked;
    let Some(bindings) = options.get(PORT_MAP).filter(|it| !it.is_null()) else { return Ok(json!({})) };
    let bindings: Vec<PortBinding> = serde_json::from_value(bindings.clone())
        .map_err(|error| Error::new(Kind::Usage, "publish", format!("ports {bindings}"), error.to_string()))?;
    let _choosing = driver.choosing();
    let mut taken: Vec<(PortBinding, PublishedPorts)> = Vec::new();
    for binding in &bindings {
        let ports = free(driver, &endpoint, binding, &taken)?;
        let chosen = PortBinding { host_port: ports.first, host_port_end: ports.first, ..binding.clone() };
        taken.push((chosen, ports));
    }
    change(driver, &endpoint, |_, _| taken.iter().map(|(_, ports)| *ports).collect(), |_, _| Vec::new())?;
    let ports = taken.into_iter().map(|(binding, _)| binding).collect();
    driver.store.change(&network, |network| {
        network.endpoints.entry(endpoint).and_modify(|endpoint| endpoint.ports = ports);
    })?;
    Ok(json!({}))
}

/// Withdraws all ports of an endpoint. What is not there is no error.
///
/// # Errors
/// The kernel refuses.
pub(super) fn withdraw(driver: &Driver, asked: &OfEndpoint) -> Result<Value> {
    let own = |index: u32, publications: &[Publication]| {
        publications.iter().filter(|it| it.endpoint == index).map(|it| it.ports).collect()
    };
    match change(driver, &asked.endpoint, |_, _| Vec::new(), own) {
        Err(error) if error.kind == Kind::NotFound => {}
        changed => changed?,
    }
    if driver.store.find(&asked.network)?.is_some() {
        driver.store.change(&asked.network, |network| {
            network.endpoints.entry(asked.endpoint.clone()).and_modify(|endpoint| endpoint.ports.clear());
        })?;
    }
    Ok(json!({}))
}

/// Publishes and withdraws ports of an endpoint.
fn change(
    driver: &Driver,
    endpoint: &Id,
    add: impl Fn(u32, &[Publication]) -> Vec<PublishedPorts>,
    remove: impl Fn(u32, &[Publication]) -> Vec<PublishedPorts>,
) -> Result<()> {
    let attempt = || -> Result<()> {
        let (index, found) = driver.find(endpoint)?.ok_or_else(|| absent(endpoint))?;
        let publications = driver.plane()?.map(|plane| plane.publications()).transpose()?.unwrap_or_default();
        let (add, remove) = (add(index, &publications), remove(index, &publications));
        if add.is_empty() && remove.is_empty() {
            return Ok(());
        }
        let (target, ifname) = place(&found);
        let changed =
            change_ports(&driver.context, &PortRequest { target, ifname: Some(ifname), add, remove }, &mut Unobserved)?;
        changed.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(())
    };
    match attempt() {
        // Between the look and the change its namespace was learned.
        Err(error) if error.kind == Kind::NotFound => attempt(),
        done => done,
    }
}

/// Where an endpoint is, and what its interface is called there.
fn place(endpoint: &Described) -> (TargetRef, String) {
    let metadata = &endpoint.metadata;
    let path = metadata.netns.path.clone().unwrap_or_default().into();
    let target = if endpoint.is_awaited() { TargetRef::Awaited(path) } else { TargetRef::Path(path) };
    (target, metadata.id.ifname.clone())
}

fn absent(endpoint: &Id) -> Error {
    let object = format!("docker's endpoint {}", endpoint.short(12));
    Error::new(Kind::NotFound, "find", object, "it has joined no container").remedy("start the container again")
}

/// The first of the ports that a binding allows which nobody has.
fn free(
    driver: &Driver,
    endpoint: &Id,
    binding: &PortBinding,
    taken: &[(PortBinding, PublishedPorts)],
) -> Result<PublishedPorts> {
    let (first, last) = range(binding);
    let wanted = ports(binding, first, last)?;
    if first == last {
        // The engine says who has it.
        return Ok(wanted);
    }
    let own = driver.find(endpoint)?.map(|(index, _)| index);
    let publications = driver.plane()?.map(|plane| plane.publications()).transpose()?.unwrap_or_default();
    let listeners = listeners([wanted].iter())?;
    let is_free = |ports: &PublishedPorts| {
        let others = publications.iter().filter(|it| Some(it.endpoint) != own).map(|it| &it.ports);
        let known = others.chain(taken.iter().map(|(_, ports)| ports));
        !known.into_iter().any(|other| other.overlap(ports))
            && !listeners.iter().any(|it| ports.has(it.transport, it.address, it.port))
    };
    let mut candidates = (first..=last).filter_map(|port| ports(binding, port, port).ok());
    candidates.find(is_free).ok_or_else(|| {
        let object = format!("one of the ports {first}-{last}");
        Error::new(Kind::Conflict, "publish", object, "all of them are taken")
            .because(Cause::PortTaken)
            .remedy("`fwd port ls` shows what is published, `ss -lntu` what listens")
    })
}

/// The ports of the host that a binding allows.
fn range(binding: &PortBinding) -> (u16, u16) {
    match (binding.host_port, binding.host_port_end) {
        (0, _) => ANY,
        (first, last) => (first, last.max(first)),
    }
}

/// A binding as ports that are published, with these ports of the host.
///
/// # Errors
/// It is of another protocol than TCP and UDP, or has no port.
fn ports(binding: &PortBinding, first: u16, last: u16) -> Result<PublishedPorts> {
    let refuse = |kind, why: String| {
        Error::new(kind, "publish", format!("port {} of the container", binding.port), why)
            .remedy("publish a port of tcp or udp: -p 8080:80")
    };
    let transport = Transport::ALL.into_iter().find(|transport| transport.number() == binding.proto);
    let transport = transport
        .ok_or_else(|| refuse(Kind::Unsupported, format!("IP protocol {} is neither tcp nor udp", binding.proto)))?;
    if binding.port == 0 {
        return Err(refuse(Kind::Usage, "there is no port 0".into()));
    }
    let host = match binding.host_ip.as_str() {
        "" => None,
        text => {
            let host: IpAddr = text.parse().map_err(|error| refuse(Kind::Usage, format!("{text:?}: {error}")))?;
            Some(host)
        }
    };
    Ok(PublishedPorts { host, first, last, inside: binding.port, transport, senders: Senders::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(value: Value) -> PortBinding {
        serde_json::from_value(value).expect("a binding")
    }

    #[test]
    fn bindings_are_read_as_docker_writes_them() {
        let said = json!({ "Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080 });
        let one = binding(said);
        assert_eq!(range(&one), (8080, 8080));
        assert_eq!(ports(&one, 8080, 8080).expect("it can be").to_string(), "8080:80/tcp");
        let udp = binding(json!({ "Proto": 17, "Port": 53, "HostIP": "127.0.0.1", "HostPort": 0, "HostPortEnd": 0 }));
        assert_eq!(range(&udp), ANY);
        assert_eq!(ports(&udp, 30_007, 30_007).expect("it can be").to_string(), "127.0.0.1:30007:53/udp");
        assert_eq!(range(&binding(json!({ "Port": 80, "HostPort": 8000, "HostPortEnd": 8010 }))), (8000, 8010));
    }

    #[test]
    fn what_cannot_be_published_is_refused_with_what_to_do() {
        for (value, why) in [
            (json!({ "Proto": 132, "Port": 80 }), "neither tcp nor udp"),
            (json!({ "Proto": 6, "Port": 0 }), "no port 0"),
            (json!({ "Proto": 6, "Port": 80, "HostIP": "here" }), "here"),
        ] {
            let error = ports(&binding(value), 1, 1).expect_err("it cannot be");
            assert!(error.why.contains(why) && error.remedy.is_some(), "{error}");
        }
    }
}
