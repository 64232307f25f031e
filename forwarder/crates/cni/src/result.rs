//! What ADD answers, as each version has it (CNI specification, section "Result Types").

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::version::Version;
use fwd_base::{Result, text};
use fwd_dataplane::{Dataplane, Described, RouteMetadata};
use fwd_engine::execute::gateways;
use fwd_kernel::netlink::{Link, Mac, Netlink};

/// The place of the interface inside in the list of interfaces.
const INSIDE: usize = 2;

/// An endpoint, as results tell it.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    /// Bridge, and its hardware address.
    bridge: (String, Mac),
    /// The same of the host-side veth.
    host: (String, Mac),
    /// The same of the interface inside.
    inside: (String, Mac),
    mtu: u32,
    addresses: Vec<IpNet>,
    gateways: Vec<IpAddr>,
    routes: Vec<RouteMetadata>,
}

impl Attached {
    /// Reads what there is of the endpoint with this host-side veth, in the calling thread's namespace.
    ///
    /// # Errors
    /// The maps or the kernel cannot be read.
    pub(crate) fn read(plane: &Dataplane, ifindex: u32, endpoint: &Described) -> Result<Self> {
        let Described { record, metadata, .. } = endpoint;
        let netlink = Netlink::here()?;
        let named = |link: Option<Link>| link.map(|link| (link.name, link.mac.unwrap_or_default())).unwrap_or_default();
        let network = plane.network(record.network)?;
        let gateways = network.map(|network| gateways(&network).iter().map(IpNet::addr).collect());
        Ok(Self {
            bridge: named(netlink.link_by_index(record.network)?),
            host: named(netlink.link_by_index(ifindex)?),
            inside: (metadata.id.ifname.clone(), record.mac),
            mtu: record.mtu,
            addresses: metadata.addresses.clone(),
            gateways: gateways.unwrap_or_default(),
            routes: metadata.routes.clone(),
        })
    }

    /// The document.
    pub(crate) fn document(&self, version: Version, sandbox: &str, dns: &Value) -> Value {
        let interface = |(name, mac): &(String, Mac)| {
            let mut interface = json!({ "name": name, "mac": text::mac(*mac) });
            if version >= Version::V1_1_0 {
                interface["mtu"] = json!(self.mtu);
            }
            interface
        };
        let mut inside = interface(&self.inside);
        inside["sandbox"] = json!(sandbox);
        json!({
            "cniVersion": version.name(),
            "interfaces": [interface(&self.bridge), interface(&self.host), inside],
            "ips": self.addresses.iter().map(|address| self.ip(version, address)).collect::<Vec<_>>(),
            "routes": self.routes.iter().map(|route| json!({ "dst": route.to, "gw": route.via })).collect::<Vec<_>>(),
            "dns": dns,
        })
    }

    fn ip(&self, version: Version, address: &IpNet) -> Value {
        let mut ip = json!({ "interface": INSIDE, "address": address });
        version.tell_family(&mut ip, address.addr());
        if let Some(gateway) = self.gateways.iter().find(|it| it.is_ipv4() == address.addr().is_ipv4()) {
            ip["gateway"] = json!(gateway);
        }
        ip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached() -> Attached {
        Attached {
            bridge: ("web".into(), [2, 0x66, 0, 0, 0, 1]),
            host: ("fwdv1".into(), [2, 0x68, 0, 0, 0, 1]),
            inside: ("eth0".into(), [2, 0x77, 0, 0, 0, 1]),
            mtu: 1400,
            addresses: vec!["10.77.0.2/24".parse().expect("an address"), "fd00::2/64".parse().expect("an address")],
            gateways: vec!["10.77.0.1".parse().expect("an address"), "fd00::1".parse().expect("an address")],
            routes: vec![RouteMetadata {
                to: "0.0.0.0/0".parse().expect("a route"),
                via: "10.77.0.1".parse().expect("an address"),
                metric: None,
            }],
        }
    }

    #[test]
    fn results_have_what_their_version_has() {
        for version in Version::ALL {
            let result = attached().document(version, "/run/netns/x", &json!({ "nameservers": ["10.77.0.1"] }));
            assert_eq!(result["cniVersion"], version.name());
            assert_eq!(result["interfaces"][2]["sandbox"], "/run/netns/x");
            assert_eq!(result["interfaces"][0]["sandbox"], Value::Null);
            assert_eq!(result["ips"][1]["version"], if version <= Version::V0_4_0 { json!("6") } else { Value::Null });
            assert_eq!(
                result["interfaces"][2]["mtu"],
                if version < Version::V1_1_0 { Value::Null } else { json!(1400) }
            );
            assert_eq!((&result["ips"][0]["interface"], &result["ips"][1]["gateway"]), (&json!(2), &json!("fd00::1")));
            assert_eq!(result["routes"], json!([{ "dst": "0.0.0.0/0", "gw": "10.77.0.1" }]));
            assert_eq!(result["dns"]["nameservers"], json!(["10.77.0.1"]));
        }
    }
}
