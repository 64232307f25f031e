//! What setup answers: the status block of netavark's types.rs.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use fwd_base::{Result, text};
use fwd_dataplane::{Dataplane, Described};
use fwd_engine::execute::gateways;

/// A container in a network, as it is told.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// The interface inside.
    ifname: String,
    mac: [u8; 6],
    addresses: Vec<IpNet>,
    gateways: Vec<IpAddr>,
    /// Whether anything leaves by them.
    internal: bool,
    /// The domain of the network, whose names the gateways know; none where no name server answers there.
    domain: Option<String>,
}

impl Status {
    /// Reads what there is of an endpoint.
    ///
    /// # Errors
    /// The maps cannot be read.
    pub(crate) fn read(plane: &Dataplane, endpoint: &Described, internal: bool, dns: bool) -> Result<Self> {
        let Described { record, metadata, .. } = endpoint;
        let gateways = plane.network(record.network)?.map(|network| gateways(&network)).unwrap_or_default();
        Ok(Self {
            ifname: metadata.id.ifname.clone(),
            mac: record.mac,
            addresses: metadata.addresses.clone(),
            gateways: gateways.iter().map(IpNet::addr).collect(),
            internal,
            domain: dns.then(|| metadata.network.clone()),
        })
    }

    /// The document.
    pub(crate) fn document(&self) -> Value {
        let subnet = |address: &IpNet| {
            let gateway = self.gateways.iter().find(|it| it.is_ipv4() == address.addr().is_ipv4());
            let mut subnet = json!({ "ipnet": address });
            if let Some(gateway) = gateway.filter(|_| !self.internal) {
                subnet["gateway"] = json!(gateway);
            }
            subnet
        };
        let subnets: Vec<Value> = self.addresses.iter().map(subnet).collect();
        let interface = json!({ "mac_address": text::mac(self.mac), "subnets": subnets });
        let servers: &[IpAddr] = if self.domain.is_some() { &self.gateways } else { &[] };
        json!({
            "dns_search_domains": self.domain.iter().collect::<Vec<_>>(),
            "dns_server_ips": servers,
            "interfaces": Map::from_iter([(self.ifname.clone(), interface)]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_tells_addresses_gateways_and_name_servers() {
        let status = Status {
            ifname: "eth0".into(),
            mac: [2, 0x77, 0, 0, 0, 1],
            addresses: vec!["10.7.0.2/24".parse().expect("an address"), "fd00::2/64".parse().expect("an address")],
            gateways: vec!["10.7.0.1".parse().expect("an address"), "fd00::1".parse().expect("an address")],
            internal: false,
            domain: Some("web".into()),
        };
        let interface = json!({ "mac_address": "02:77:00:00:00:01", "subnets": [
            { "ipnet": "10.7.0.2/24", "gateway": "10.7.0.1" }, { "ipnet": "fd00::2/64", "gateway": "fd00::1" }] });
        let servers = json!(["10.7.0.1", "fd00::1"]);
        assert_eq!(
            status.document(),
            json!({ "dns_search_domains": ["web"], "dns_server_ips": servers, "interfaces": { "eth0": interface } })
        );
        let alone = Status { internal: true, domain: None, ..status }.document();
        assert_eq!((&alone["dns_search_domains"], &alone["dns_server_ips"]), (&json!([]), &json!([])));
        assert_eq!(alone["interfaces"]["eth0"]["subnets"][0], json!({ "ipnet": "10.7.0.2/24" }));
    }
}
