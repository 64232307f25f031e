//! create: completes a network that podman is about to note, and refuses what would not work. Nothing is made: the first container does.

use std::{fs, net::IpAddr, path::Path, process};

use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};

use crate::{
    input,
    network::{Network, first6},
};
use fwd_base::Result;
use fwd_dataplane::{EndpointId, EndpointOwner};
use fwd_engine::execute::{dry_up, free_subnets};
use fwd_kernel::netns::Name;
use fwd_plan::TargetRef;
use fwd_plugin::{Answer, Host};

/// The interface of a container in its first network.
const FIRST: &str = "eth0";
/// Where podman, as root, notes its networks.
const NETWORKS: &str = "/etc/containers/networks";

/// The network with addresses of each family that it is to have, and with podman choosing those of containers. It is planned for as if its first
/// container came now: what that would be refused is refused here.
pub(crate) fn run(document: Value, host: &Host) -> Result<Answer> {
    let mut network: input::Network = input::read(document.clone())?;
    let lacking = lacking(&network);
    if lacking.0 || lacking.1 {
        let (free, free6) = free_subnets(&host.context, &noted(Path::new(NETWORKS)))?;
        let add = |subnet: IpNet| input::Subnet { subnet, gateway: None, lease_range: None };
        network.subnets.extend(lacking.0.then(|| add(free.into())));
        network.subnets.extend(lacking.1.then(|| add(free6.into())));
    }
    let asked = Network::of(&network)?;
    let id = EndpointId { owner: EndpointOwner::Netavark, id: network.id.clone(), ifname: FIRST.into() };
    let target = TargetRef::Named(Name::of("a namespace", &format!("fwd-create-{}", process::id()))?);
    let warnings = dry_up(&host.context, &asked.up(target, asked.options.endpoint.clone(), id)?)?.warnings;
    Ok(Answer { document: Some(completed(document, &network)), warnings })
}

/// Whether a subnet of IPv4, and one of IPv6, is still to be chosen. Who names one of IPv6 and does not ask for both has that alone.
fn lacking(network: &input::Network) -> (bool, bool) {
    let has = |v4: bool| network.subnets.iter().any(|it| it.subnet.addr().is_ipv4() == v4);
    (!has(true) && (network.ipv6_enabled || !has(false)), network.ipv6_enabled && !has(false))
}

/// The document as it came, with subnets that have gateways: podman gives the gateway's address to nobody.
fn completed(mut document: Value, network: &input::Network) -> Value {
    let subnets = network.subnets.iter().enumerate().map(|(place, subnet)| {
        let mut written =
            document["subnets"].get(place).filter(|it| it.is_object()).cloned().unwrap_or_else(|| json!({}));
        written["subnet"] = json!(subnet.subnet);
        written["gateway"] = json!(subnet.gateway.unwrap_or_else(|| gateway(subnet.subnet)));
        written
    });
    document["subnets"] = Value::Array(subnets.collect());
    document["ipv6_enabled"] = json!(network.subnets.iter().any(|it| matches!(it.subnet, IpNet::V6(_))));
    if !document["ipam_options"].is_object() {
        document["ipam_options"] = json!({});
    }
    document["ipam_options"]["driver"] = json!("host-local");
    document
}

/// The first address of a subnet.
fn gateway(subnet: IpNet) -> IpAddr {
    let first = |subnet: Ipv4Net| std::net::Ipv4Addr::from_bits(subnet.network().to_bits().saturating_add(1));
    match subnet {
        IpNet::V4(subnet) => first(subnet).into(),
        IpNet::V6(subnet) => first6(subnet).into(),
    }
}

/// The subnets of networks that are noted, whether they are there or not. What cannot be read is nobody's.
fn noted(directory: &Path) -> Vec<IpNet> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let documents = files.filter_map(|path| serde_json::from_slice::<Value>(&fs::read(path).ok()?).ok());
    let networks = documents.filter_map(|document| input::read::<input::Network>(document).ok());
    networks.flat_map(|network| network.subnets).map(|it| it.subnet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &Value) -> input::Network {
        input::read(document.clone()).expect("a network")
    }

    #[test]
    fn network_comes_back_with_gateways_and_nothing_else_changed() {
        let asked = json!({ "name": "web", "id": "0a", "driver": "fwd", "created": "2026-01-01T00:00:00Z", "labels": { "a": "b" },
            "internal": true, "dns_enabled": true, "ipv6_enabled": false, "subnets": [
                { "subnet": "10.7.0.0/24", "lease_range": { "start_ip": "10.7.0.9" } }, { "subnet": "fd00:7::/64" }] });
        let mut wanted = asked.clone();
        wanted["subnets"][0]["gateway"] = json!("10.7.0.1");
        wanted["subnets"][1]["gateway"] = json!("fd00:7::1");
        wanted["ipv6_enabled"] = json!(true);
        wanted["ipam_options"] = json!({ "driver": "host-local" });
        assert_eq!(completed(asked.clone(), &read(&asked)), wanted);
        // Once more changes nothing.
        assert_eq!(completed(wanted.clone(), &read(&wanted)), wanted);
    }

    #[test]
    fn subnets_are_chosen_of_families_that_are_asked_for() {
        let of = |subnets: Value, both: bool| lacking(&read(&json!({ "subnets": subnets, "ipv6_enabled": both })));
        let (v4, v6) = (json!({ "subnet": "10.7.0.0/24" }), json!({ "subnet": "fd00:7::/64" }));
        assert_eq!((of(json!([]), false), of(json!(null), true)), ((true, false), (true, true)));
        assert_eq!((of(json!([v4]), false), of(json!([v4]), true)), ((false, false), (false, true)));
        assert_eq!((of(json!([v6]), false), of(json!([v6]), true)), ((false, false), (true, false)), "of IPv6 alone");
        assert_eq!(of(json!([v4, v6]), true), (false, false));
    }

    #[test]
    fn subnets_of_networks_that_are_noted_are_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("a file");
        write(
            "a.json",
            r#"{"name":"a","subnets":[{"subnet":"10.89.0.0/24","gateway":"10.89.0.1"},{"subnet":"fd00::/64"}]}"#,
        );
        write("b.json", "no json");
        write("c.lock", r#"{"subnets":[{"subnet":"10.90.0.0/24"}]}"#);
        let found: Vec<String> = noted(dir.path()).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.89.0.0/24", "fd00::/64"]);
        assert!(noted(&dir.path().join("absent")).is_empty());
    }
}
