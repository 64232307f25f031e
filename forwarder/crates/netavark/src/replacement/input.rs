//! What podman hands over for a container: the container, its networks, and what is said of it in each.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    net::IpAddr,
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;

use super::{
    failure::{Failure, Result},
    inside,
};
use crate::input::{Container, Network, NetworkOptions, PortMapping};
use fwd_plugin::json;

/// What was the task of reading it, as netavark says it.
pub(super) const LOADING: &str = "failed to load network options";

/// A container, and the networks that it is to be in.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Its id.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// Ports of the host that lead to it.
    pub(super) ports: Vec<PortMapping>,
    /// Whom its names are asked of that nobody here has.
    pub(super) dns_servers: Vec<IpAddr>,
    /// Its networks, in the order of its interfaces.
    pub(super) attachments: Vec<Attachment>,
    /// The document as it came.
    pub(super) whole: Value,
}

/// A container in one of its networks.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    /// By what the document calls the network.
    pub(super) key: String,
    /// The network.
    pub(super) network: Network,
    /// What is said of the container there.
    pub(super) options: NetworkOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    container_id: String,
    container_name: String,
    port_mappings: Vec<PortMapping>,
    dns_servers: Vec<IpAddr>,
    networks: Value,
    network_info: BTreeMap<String, Network>,
}

/// An entry of a list of networks.
#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    options: NetworkOptions,
}

impl Asked {
    /// Reads it: of a file, if one is named.
    ///
    /// # Errors
    /// There is none, or it says what cannot be.
    pub(super) fn load(file: Option<&Path>, input: &mut dyn Read) -> Result<Self> {
        let whole = document(file, input).map_err(|error| Failure::io(LOADING, &error))?;
        Self::of(whole).map_err(|failure| failure.while_doing(LOADING))
    }

    fn of(whole: Value) -> Result<Self> {
        let Document { container_id, container_name, port_mappings, dns_servers, networks, network_info } =
            read(whole.clone())?;
        let named = match networks {
            Value::Null => Vec::new(),
            Value::Array(items) => items.into_iter().map(read::<Named>).collect::<Result<_>>()?,
            Value::Object(members) => {
                let named = members.into_iter().map(|(name, options)| Ok(Named { name, options: read(options)? }));
                named.collect::<Result<_>>()?
            }
            _ => return Err(Failure::new("networks is neither a map nor a list")),
        };
        let attachment = |Named { name: key, options }: Named| {
            let network = network_info.get(&key).cloned();
            let network = network.ok_or_else(|| Failure::new(format!("network info for network {key} not found")))?;
            Ok(Attachment { key, network, options })
        };
        Ok(Self {
            id: container_id,
            name: container_name,
            ports: port_mappings,
            dns_servers,
            attachments: named.into_iter().map(attachment).collect::<Result<_>>()?,
            whole,
        })
    }

    /// What a plugin would be told of the container in one of its networks, whose names are another program's business.
    pub(super) fn container(&self, attachment: &Attachment) -> Container {
        let mut network = Network { dns_enabled: false, network_dns_servers: Vec::new(), ..attachment.network.clone() };
        // That the bridge is ours is how it always is.
        network.options.remove("mode");
        inside::taken(&mut network);
        Container {
            container_id: self.id.clone(),
            container_name: self.name.clone(),
            port_mappings: self.ports.clone(),
            network,
            network_options: attachment.options.clone(),
        }
    }
}

/// The document in a file, or on standard input.
///
/// # Errors
/// It cannot be read, or is no JSON.
pub(super) fn document(file: Option<&Path>, input: &mut dyn Read) -> io::Result<Value> {
    let bytes = match file {
        Some(file) => fs::read(file)?,
        None => {
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes)?;
            bytes
        }
    };
    Ok(serde_json::from_slice(&bytes)?)
}

/// What is declared of a document.
///
/// # Errors
/// It has values of other types.
pub(super) fn read<T: serde::de::DeserializeOwned>(document: Value) -> Result<T> {
    json::read(json::without_null(&document)).map_err(Failure)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(networks: Value) -> Result<Asked> {
        Asked::of(json!({ "container_id": "0a", "container_name": "web", "port_mappings": null, "networks": networks,
            "network_info": { "one": { "name": "one", "driver": "bridge" }, "two": { "name": "two", "driver": "macvlan" } } }))
    }

    #[test]
    fn networks_are_a_map_or_a_list_in_the_order_of_interfaces() {
        let order = |asked: Asked| -> Vec<(String, String)> {
            let of = |it: Attachment| (it.network.driver, it.options.interface_name);
            asked.attachments.into_iter().map(of).collect()
        };
        let (eth0, eth1) =
            (json!({ "interface_name": "eth0" }), json!({ "interface_name": "eth1", "static_ips": null }));
        let map = asked(json!({ "one": eth1, "two": eth0 })).expect("a map");
        assert_eq!(order(map), [("bridge".into(), "eth1".into()), ("macvlan".into(), "eth0".into())]);
        let list = json!([{ "name": "two", "interface_name": "eth0" }, { "name": "one", "interface_name": "eth1" }]);
        let list = asked(list).expect("a list");
        assert_eq!(order(list), [("macvlan".into(), "eth0".into()), ("bridge".into(), "eth1".into())]);
        assert_eq!(
            asked(json!({ "three": {} })).expect_err("it is not told").0,
            "network info for network three not found"
        );
        assert!(asked(json!("all")).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_told_as_netavark_tells_it() {
        let failed = |file: Option<&Path>, input: &str| {
            Asked::load(file, &mut input.as_bytes()).expect_err("it cannot be read").0
        };
        let none = failed(Some(Path::new("/nowhere")), "");
        assert_eq!(none, "failed to load network options: IO error: No such file or directory (os error 2)");
        assert!(failed(None, "{").starts_with("failed to load network options: IO error: EOF while parsing"));
        let wrong = failed(None, r#"{ "dns_servers": ["x"] }"#);
        assert!(wrong.contains("dns_servers") && wrong.contains("invalid IP address syntax"), "{wrong}");
    }
}
