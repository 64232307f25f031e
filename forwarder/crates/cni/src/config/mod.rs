//! The configuration: what is to be made, with values instead of words. What is not made is refused here, never passed over.

mod addresses;
mod keys;
mod runtime;

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::keys::Attachment;
use self::{addresses::Ranges, keys::Keys};
use crate::{
    environment::{Environment, is_id},
    failure::{Code, Failure, Result},
    plugin::Plugin,
    version::Version,
};
use fwd_dataplane::Backend;
use fwd_kernel::netns::Name;
use fwd_plan::{Bridging, Datapath, EndpointOptions, Nat, Network, RouteRequest};
use fwd_plugin::{json, one_of};

/// How long another command is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration of one plugin, for one container.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The version that the runtime speaks.
    pub(crate) version: Version,
    /// What the runtime calls the network.
    pub(crate) name: String,
    /// What is called so here; its bridge has the same name.
    pub(crate) network: Name,
    /// Interface to the outside.
    pub(crate) uplink: Option<String>,
    /// Another plugin that chooses addresses.
    pub(crate) delegate: Option<String>,
    /// Nothing leaves the network.
    pub(crate) internal: bool,
    /// What else the network is to be: IPv4 and IPv6 are as the host has them where nothing is said of addresses.
    pub(crate) options: Network,
    /// What the endpoint is to be, but for its addresses, which another plugin may choose.
    pub(crate) endpoint: EndpointOptions,
    /// Addresses that the container is to have.
    pub(crate) addresses: Vec<std::net::IpAddr>,
    /// What its resolv.conf is to say.
    pub(crate) dns: Value,
    /// How long another command is waited for.
    pub(crate) patience: Duration,
    /// Where a line is written for each call.
    pub(crate) log: Option<PathBuf>,
    /// What the plugins before have made, as it came.
    pub(crate) previous: Option<Value>,
    /// What is to stay (GC).
    pub(crate) attachments: Option<Vec<Attachment>>,
    /// All of it, as it came.
    pub(crate) whole: Value,
}

impl Config {
    /// Reads what came on standard input.
    ///
    /// # Errors
    /// It is no configuration, contradicts itself, or asks for what is not made.
    pub(crate) fn of(whole: Value, plugin: Plugin, environment: &Environment) -> Result<Self> {
        let version = Version::of(json::get(&whole, "cniVersion").and_then(Value::as_str).unwrap_or_default())?;
        let keys: Keys = read(&whole)?;
        if !is_id(&keys.name) {
            let why = "the name of a network is letters, digits and any of _.- behind the first";
            return Err(Failure::invalid("name", format!("{:?}", keys.name), why));
        }
        refuse_unsupported(&keys, plugin)?;
        let delegate = keys.ipam.r#type.clone().filter(|it| !it.is_empty() && it != "fwd");
        let ranges = if delegate.is_some() { Ranges::default() } else { Ranges::of(&keys)? };
        let Ranges { subnet, gateway, range, ipv4, ipv6, subnet6 } = ranges;
        let (no_default_route, routes) = routes(&keys, plugin)?;
        let dns = runtime::dns(&keys);
        let options = Network {
            subnet,
            subnet6,
            gateway,
            ipv4,
            ipv6,
            mtu: keys.mtu.filter(|mtu| *mtu != 0),
            datapath: choice("datapath", keys.datapath.as_deref(), &Datapath::ALL, Datapath::name)?,
            nat: choice("nat", keys.nat.as_deref(), &Nat::ALL, Nat::name)?,
            no_icc: keys.icc == Some(false),
            bridging: if is_bridgeless(&keys) { Bridging::None } else { Bridging::default() },
            dns: keys.nameserver,
            ..Network::default()
        };
        let endpoint = EndpointOptions {
            range,
            attach: choice("attach", keys.attach.as_deref(), &Backend::CHOICES, Backend::name)?,
            aliases: runtime::aliases(&keys)?,
            no_default_route,
            routes,
            mac: runtime::mac(&keys, environment)?,
            publish: runtime::published(&keys.runtimeconfig.portmappings)?,
            limits: runtime::limits(keys.runtimeconfig.bandwidth)?,
            ..EndpointOptions::default()
        };
        Ok(Self {
            version,
            network: network(&keys, plugin)?,
            uplink: keys.uplink.clone().filter(|it| !it.is_empty()),
            delegate,
            internal: keys.internal,
            options,
            endpoint,
            addresses: runtime::addresses(&keys, environment)?,
            dns,
            patience: patience(keys.locktimeout.as_ref())?,
            log: keys.logfile.clone().filter(|path| !path.as_os_str().is_empty()),
            previous: json::get(&whole, "prevResult").filter(|it| !it.is_null()).cloned(),
            attachments: keys.valid_attachments.clone().or(keys.attachments.clone()),
            name: keys.name,
            whole,
        })
    }
}

/// Whether containers are to be no ports of a bridge: a word in the place of its name.
fn is_bridgeless(keys: &Keys) -> bool {
    keys.bridge.as_deref() == Some(Bridging::None.name())
}

/// What the network is called here. As `bridge`, networks are told apart by their bridges, as that plugin does.
fn network(keys: &Keys, plugin: Plugin) -> Result<Name> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (network, bridge) = (given(&keys.network), given(&keys.bridge).filter(|_| !is_bridgeless(keys)));
    if let (Some(network), Some(bridge)) = (&network, &bridge)
        && network != bridge
    {
        let why = format!("the bridge of network {network} has its name: leave out one of the two");
        return Err(Failure::invalid("bridge", bridge, why));
    }
    // Without a bridge, lists are told apart by their own names.
    let usual = if plugin == Plugin::Bridge && !is_bridgeless(keys) { "cni0".to_owned() } else { keys.name.clone() };
    Ok(Name::of("a network", &network.or(bridge).unwrap_or(usual))?)
}

/// Refuses what would have to be passed over.
fn refuse_unsupported(keys: &Keys, plugin: Plugin) -> Result<()> {
    let is_set = |value: &&Value| !matches!(value.as_u64(), Some(0)) && !value.as_array().is_some_and(Vec::is_empty);
    if let Some(vlan) = keys.vlan.as_ref().filter(is_set) {
        return Err(Failure::unsupported("vlan", vlan, "leave it out: each network has a bridge of its own"));
    }
    if let Some(trunk) = keys.vlantrunk.as_ref().filter(is_set) {
        return Err(Failure::unsupported("vlanTrunk", trunk, "leave it out: each network has a bridge of its own"));
    }
    if keys.disablecontainerinterface {
        return Err(Failure::unsupported("disableContainerInterface", true, "leave it out"));
    }
    if keys.isolate == Some(false) {
        let remedy = "leave it out: networks are isolated until `fwd network add NAME --allow-network OTHER` lets them";
        return Err(Failure::unsupported("isolate", false, remedy));
    }
    // Under the names of others false is the default, and says nothing.
    if keys.ipmasq == Some(false) && plugin == Plugin::Fwd && !keys.internal {
        let remedy =
            "leave it out: what leaves appears behind the uplink's address; or set internal, and nothing leaves";
        return Err(Failure::unsupported("ipMasq", false, remedy));
    }
    for (key, list) in [("nonMasqueradeCIDRs", &keys.nonmasqueradecidrs), ("kernelCIDRs", &keys.kernelcidrs)] {
        if let Some(first) = list.first() {
            return Err(Failure::unsupported(
                key,
                first,
                "leave it out: all that leaves is translated by the programs",
            ));
        }
    }
    Ok(())
}

/// Whether there is no default route inside, and what other routes there are.
fn routes(keys: &Keys, plugin: Plugin) -> Result<(bool, Vec<RouteRequest>)> {
    let mut routes = Vec::new();
    let mut default = false;
    for route in keys.ipam.routes.iter().flatten() {
        let to: IpNet = parsed("ipam.routes.dst", &route.dst)?;
        if to.prefix_len() == 0 {
            default = true;
            continue;
        }
        let via = route.gw.as_deref().filter(|gw| !gw.is_empty()).map(|gw| parsed("ipam.routes.gw", gw)).transpose()?;
        routes.push(RouteRequest { to, via });
    }
    // The others set one only where they are asked to.
    let wanted = match (plugin, keys.isdefaultgateway) {
        (Plugin::Fwd, wanted) => wanted.unwrap_or(true),
        (_, wanted) => wanted == Some(true) || default,
    };
    Ok((!wanted, routes))
}

/// A word of several.
fn choice<T: Copy, const N: usize>(
    key: &str,
    text: Option<&str>,
    all: &[T; N],
    name: fn(T) -> &'static str,
) -> Result<Option<T>> {
    one_of(text, all, name).map_err(|why| Failure::invalid(key, text.unwrap_or_default(), why))
}

/// Seconds, or text such as `10s`.
fn patience(given: Option<&Value>) -> Result<Duration> {
    let read = match given {
        None => return Ok(PATIENCE),
        Some(Value::Number(number)) => number.as_u64().map(Duration::from_secs),
        Some(Value::String(text)) => humantime::parse_duration(text).ok(),
        Some(_) => None,
    };
    read.ok_or_else(|| {
        Failure::invalid("lockTimeout", given.unwrap_or(&Value::Null), "it is no time, such as 10 or \"10s\"")
    })
}

/// The value of a key.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(key: &str, text: &str) -> Result<T> {
    text.trim().parse().map_err(|error: T::Err| Failure::invalid(key, text, error))
}

/// What is declared of `value` with keys in lower case.
///
/// # Errors
/// [`Code::Decode`].
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T> {
    let read = json::read(json::folded(value));
    read.map_err(|why| Failure::new(Code::Decode, format!("the configuration {why}"), "correct its values"))
}

/// A configuration that was read, if it is one.
///
/// # Errors
/// [`Code::Decode`].
pub(crate) fn document(bytes: &[u8]) -> Result<Value> {
    let refuse = |why: String| {
        Failure::new(Code::Decode, format!("standard input is no configuration: {why}"), "the runtime has to write one")
    };
    let value: Value = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
    if value.is_object() { Ok(value) } else { Err(refuse("it is no object".into())) }
}

#[cfg(test)]
mod tests;
