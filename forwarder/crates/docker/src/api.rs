//! What dockerd sends and what it is answered, as JSON has it (libnetwork, drivers/remote/api/api.go). Go writes `null` for what is empty.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use crate::refusal::{Answered, Refusal};

/// Options of docker's own, by names such as `com.docker.network.internal`.
pub(crate) type Options = BTreeMap<String, Value>;

/// Options of `-o`, by name.
pub(crate) const GENERIC: &str = "com.docker.network.generic";
/// Nothing is to leave the network (`--internal`).
pub(crate) const INTERNAL: &str = "com.docker.network.internal";
/// Ports of the host that are to lead to an endpoint (`-p`).
pub(crate) const PORT_MAP: &str = "com.docker.network.portmap";

/// A network is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateNetwork {
    /// Docker's id of it.
    #[serde(rename = "NetworkID")]
    pub(crate) network: Id,
    /// What it is to be like.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) options: Options,
    /// Its subnets of IPv4.
    #[serde(rename = "IPv4Data", default, deserialize_with = "nullable")]
    pub(crate) v4: Vec<Pool>,
    /// Its subnets of IPv6.
    #[serde(rename = "IPv6Data", default, deserialize_with = "nullable")]
    pub(crate) v6: Vec<Pool>,
}

/// A subnet, as docker's address management has chosen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Pool {
    /// The subnet.
    pub(crate) pool: IpNet,
    /// The gateway, with the length of the prefix.
    #[serde(default, with = "maybe", skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<IpNet>,
}

/// Something about a network.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OfNetwork {
    #[serde(rename = "NetworkID")]
    pub(crate) network: Id,
}

/// Something about an endpoint.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OfEndpoint {
    #[serde(rename = "NetworkID")]
    pub(crate) network: Id,
    #[serde(rename = "EndpointID")]
    pub(crate) endpoint: Id,
}

/// An endpoint is to be, for which docker may have chosen addresses.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CreateEndpoint {
    #[serde(flatten)]
    pub(crate) of: OfEndpoint,
    #[serde(rename = "Interface", default, deserialize_with = "nullable")]
    pub(crate) interface: Interface,
}

/// The interface inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Interface {
    /// Address with the length of the prefix.
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<IpNet>,
    /// The same of IPv6.
    #[serde(rename = "AddressIPv6", with = "maybe", skip_serializing_if = "Option::is_none")]
    pub(crate) address6: Option<IpNet>,
    /// Hardware address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mac_address: String,
}

/// An endpoint is to be in a container.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Join {
    #[serde(flatten)]
    pub(crate) of: OfEndpoint,
    /// Where the container's namespace is going to be.
    #[serde(rename = "SandboxKey", default)]
    pub(crate) sandbox: String,
}

/// How an endpoint's interface is found and what it is to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Joined {
    pub(crate) interface_name: InterfaceName,
    /// Where the default route leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<IpAddr>,
    /// The same of IPv6.
    #[serde(rename = "GatewayIPv6", skip_serializing_if = "Option::is_none")]
    pub(crate) gateway6: Option<IpAddr>,
    /// Docker is not to give it another way out.
    pub(crate) disable_gateway_service: bool,
}

/// The name that an interface has, and what the name begins with that it gets inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InterfaceName {
    pub(crate) src_name: String,
    pub(crate) dst_prefix: &'static str,
}

/// Ports are to lead to an endpoint.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ProgramExternalConnectivity {
    #[serde(flatten)]
    pub(crate) of: OfEndpoint,
    #[serde(rename = "Options", default, deserialize_with = "nullable")]
    pub(crate) options: Options,
}

/// A port of the host that leads to one of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct PortBinding {
    /// Number of the protocol in IP headers.
    pub(crate) proto: u8,
    /// Address inside, or nothing.
    #[serde(rename = "IP")]
    pub(crate) ip: String,
    /// Port inside.
    pub(crate) port: u16,
    /// Address of the host; none for all of them.
    #[serde(rename = "HostIP")]
    pub(crate) host_ip: String,
    /// The first port of the host that may be taken; 0 for any.
    pub(crate) host_port: u16,
    /// The last one.
    pub(crate) host_port_end: u16,
}

impl Default for PortBinding {
    fn default() -> Self {
        const TCP: u8 = 6;
        let (ip, host_ip) = (String::new(), String::new());
        Self { proto: TCP, ip, port: 0, host_ip, host_port: 0, host_port_end: 0 }
    }
}

/// An id that docker has given: letters and digits, and so a part of a path, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Id(String);

impl Id {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Its beginning, of at most so many characters.
    pub(crate) fn short(&self, length: usize) -> &str {
        self.0.get(..length).unwrap_or(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const LONGEST: usize = 64;
        let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits { Ok(Self(text)) } else { Err(format!("{text:?} is no id of docker's")) }
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

/// A call's body.
///
/// # Errors
/// It is empty, or another document.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Answered<T> {
    serde_json::from_slice(body).map_err(|error| Refusal::Undecodable(error.to_string()))
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Text that may be empty.
mod maybe {
    use super::*;

    pub(super) fn serialize<S: Serializer>(value: &Option<IpNet>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|net| net.to_string()).unwrap_or_default().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpNet>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| text.parse().map_err(|error| D::Error::custom(format!("{text:?}: {error}")))).transpose()
    }
}

#[cfg(test)]
mod tests;
