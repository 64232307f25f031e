//! The keys of a configuration as they are written, in lower case ([`fwd_plugin::json`]).

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A configuration of one plugin, as the runtime hands it over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Keys {
    pub(super) name: String,
    pub(super) network: Option<String>,
    pub(super) bridge: Option<String>,
    pub(super) uplink: Option<String>,
    pub(super) subnet: Option<String>,
    pub(super) gateway: Option<String>,
    pub(super) mtu: Option<u32>,
    pub(super) datapath: Option<String>,
    pub(super) attach: Option<String>,
    pub(super) nat: Option<String>,
    pub(super) internal: bool,
    pub(super) icc: Option<bool>,
    pub(super) isolate: Option<bool>,
    pub(super) nameserver: bool,
    pub(super) ipmasq: Option<bool>,
    pub(super) isdefaultgateway: Option<bool>,
    pub(super) nonmasqueradecidrs: Vec<String>,
    pub(super) kernelcidrs: Vec<String>,
    pub(super) vlan: Option<Value>,
    pub(super) vlantrunk: Option<Value>,
    pub(super) disablecontainerinterface: bool,
    pub(super) locktimeout: Option<Value>,
    pub(super) logfile: Option<PathBuf>,
    pub(super) ipam: Ipam,
    pub(super) dns: Dns,
    pub(super) runtimeconfig: RuntimeConfig,
    pub(super) args: Args,
    #[serde(rename = "cni.dev/valid-attachments")]
    pub(super) valid_attachments: Option<Vec<Attachment>>,
    #[serde(rename = "cni.dev/attachments")]
    pub(super) attachments: Option<Vec<Attachment>>,
}

/// How addresses are chosen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ipam {
    pub(super) r#type: Option<String>,
    /// One range, as `host-local` had it at first.
    #[serde(flatten)]
    pub(super) range: Range,
    pub(super) ranges: Option<Ranges>,
    pub(super) routes: Option<Vec<Route>>,
}

/// Addresses of a subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Range {
    pub(super) subnet: Option<String>,
    pub(super) rangestart: Option<String>,
    pub(super) rangeend: Option<String>,
    pub(super) gateway: Option<String>,
}

/// Sets of ranges, one address of each; or, as go-cni has it, ranges of which each is a set.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Ranges {
    Sets(Vec<Vec<Range>>),
    Flat(Vec<Range>),
}

/// A route inside.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Route {
    pub(super) dst: String,
    #[serde(default)]
    pub(super) gw: Option<String>,
}

/// What the container's resolv.conf is to say. The runtime writes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Dns {
    #[serde(alias = "servers")]
    pub(super) nameservers: Vec<String>,
    pub(super) domain: Option<String>,
    #[serde(alias = "searches")]
    pub(super) search: Vec<String>,
    pub(super) options: Vec<String>,
}

/// What is said of one container (CNI conventions, "capability args").
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RuntimeConfig {
    pub(super) portmappings: Vec<PortMapping>,
    pub(super) bandwidth: Option<Bandwidth>,
    pub(super) ips: Vec<String>,
    pub(super) mac: Option<String>,
    pub(super) ipranges: Option<Ranges>,
    pub(super) dns: Option<Dns>,
    /// By network.
    pub(super) aliases: BTreeMap<String, Vec<String>>,
}

/// A port of the host, and one inside.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PortMapping {
    pub(super) hostport: i64,
    pub(super) containerport: i64,
    pub(super) protocol: String,
    pub(super) hostip: String,
}

/// Bits a second, and bits at once; ingress is what comes into the container.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bandwidth {
    pub(super) ingressrate: u64,
    pub(super) ingressburst: u64,
    pub(super) egressrate: u64,
    pub(super) egressburst: u64,
}

/// What was said before there were capabilities.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Args {
    pub(super) cni: CniArgs,
}

/// Of it, what is about addresses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CniArgs {
    pub(super) ips: Vec<String>,
    pub(super) mac: Option<String>,
}

/// An attachment that is to stay.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Attachment {
    /// Id of the container.
    #[serde(rename = "containerid")]
    pub(crate) container: String,
    /// Interface inside.
    pub(crate) ifname: String,
}
