//! create: completes a network that podman is about to note, and refuses what would not work. Nothing is made: the first container does.

use std::{fs, net::IpAddr, path::Path};

use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};

use crate::{
    input,
    network::{Network, first6},
    refusal,
};
use fwd_base::Result;
use fwd_engine::execute::free_subnets;
use fwd_plugin::{Answer, Host};

/// Where podman, as root, notes its networks.
const NETWORKS: &str = "/etc/containers/networks";

/// The network with addresses of each family that it is to have, and with podman choosing those of containers.
pub(crate) fn run(document: Value, host: impl FnOnce() -> Result<Host>) -> Result<Answer> {
    let mut network: input::Network = input::read(document.clone())?;
    let is_v4 = |subnet: &input::Subnet| matches!(subnet.subnet, IpNet::V4(_));
    let (v4, v6) = (network.subnets.iter().any(is_v4), network.subnets.iter().any(|it| !is_v4(it)));
    if !v4 && v6 && !network.ipv6_enabled {
        let why = "a network has addresses of IPv4, too";
        return Err(refusal("a subnet of IPv6 alone", why, "give one of each family, or --ipv6 besides"));
    }
    let lacking = (!v4, network.ipv6_enabled && !v6);
    if lacking.0 || lacking.1 {
        let (free, free6) = free_subnets(&host()?.context, &noted(Path::new(NETWORKS)))?;
        let add = |subnet: IpNet| input::Subnet { subnet, gateway: None, lease_range: None };
        network.subnets.extend(lacking.0.then(|| add(free.into())));
        network.subnets.extend(lacking.1.then(|| add(free6.into())));
    }
    Network::of(&network)?;
    Ok(Answer { document: Some(completed(document, &network)), warnings: Vec::new() })
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

    #[track_caller]
    fn created(document: Value) -> Result<Value> {
        let host = || panic!("nothing has to be asked of the host");
        run(document, host).map(|answer| answer.document.expect("a document"))
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
        assert_eq!(created(asked).expect("a network"), wanted);
        // Once more changes nothing.
        assert_eq!(created(wanted.clone()).expect("a network"), wanted);
    }

    #[test]
    fn network_of_ipv6_alone_is_refused() {
        let error =
            created(json!({ "name": "web", "subnets": [{ "subnet": "fd00:7::/64" }] })).expect_err("it is refused");
        assert!(error.to_string().contains("IPv4"), "{error}");
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
