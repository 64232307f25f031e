//! create: completes a network that podman is about to note, and refuses what cannot be, in the order and the words of netavark 2.1
//! (its network/create_config). Nothing is made: the first container does.

mod bridge;
mod checks;
mod options;
mod subnets;
mod vlan;

use std::{collections::BTreeMap, io::Read, path::Path, time::SystemTime};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    failure::{Failure, Result},
    input,
};
use crate::input::Network;

/// What podman asks for.
#[derive(Debug, Deserialize)]
struct Asked {
    network: Value,
    #[serde(default)]
    used: Used,
    #[serde(default)]
    options: Options,
}

/// What networks have that are noted already.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Used {
    interfaces: Vec<String>,
    /// Ids by name.
    names: BTreeMap<String, String>,
    subnets: Vec<IpNet>,
}

/// How addresses and names are chosen.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    subnet_pools: Vec<Pool>,
    default_interface_name: Option<String>,
    check_used_subnets: bool,
}

/// A range that is cut into subnets.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Pool {
    base: IpNet,
    /// Length of their prefixes, bits.
    size: u8,
}

/// A network while it is completed: what podman noted of it, and what is read of that.
struct Draft {
    written: Value,
    network: Network,
}

/// Who makes a network of this driver.
enum Driver {
    Bridge,
    Vlan,
    /// A plugin of netavark.
    Other,
}

/// What other parts of the host are asked, where it matters.
pub(super) struct Host<'a> {
    /// Names of the host's interfaces.
    pub(super) interfaces: &'a dyn Fn() -> Result<Vec<String>>,
    /// The whole document, completed by whoever makes networks of its driver.
    pub(super) others: &'a dyn Fn(&Value) -> Result<Value>,
}

/// The network, completed.
///
/// # Errors
/// It cannot be read, or cannot be.
pub(super) fn run(file: Option<&Path>, input: &mut dyn Read, host: &Host<'_>) -> Result<Value> {
    const LOADING: &str = "failed to load network create";
    let document = input::document(file, input).map_err(|error| Failure::io(LOADING, &error))?;
    let Asked { network: written, used, options } =
        input::read(document.clone()).map_err(|failure| failure.while_doing(LOADING))?;
    let network = input::read(written.clone()).map_err(|failure: Failure| failure.while_doing(LOADING))?;
    completed(Draft { written, network }, &document, &used, &options, host)
}

fn completed(mut draft: Draft, document: &Value, used: &Used, options: &Options, host: &Host<'_>) -> Result<Value> {
    let network = &draft.network;
    checks::name_and_id(network, &used.names)?;
    if let Some(name) = &network.network_interface {
        checks::interface_name(name)?;
    }
    checks::ipam_driver(network)?;
    let driver = match network.driver.as_str() {
        "bridge" => Driver::Bridge,
        "macvlan" | "ipvlan" => Driver::Vlan,
        _ => Driver::Other,
    };
    let check_used = match driver {
        Driver::Bridge => bridge::complete(&mut draft, used, options, host)?,
        Driver::Vlan => {
            vlan::complete(&mut draft, host)?;
            false
        }
        Driver::Other => return (host.others)(document),
    };
    draft.dns()?;
    let add_gateway = !draft.network.internal || draft.network.dns_enabled;
    subnets::check_all(&mut draft, add_gateway, if check_used { &used.subnets } else { &[] })?;
    draft.network.routes.iter().try_for_each(checks::route)?;
    draft.written["created"] = json!(humantime::format_rfc3339_nanos(SystemTime::now()).to_string());
    Ok(draft.written)
}

impl Draft {
    /// Whatever chooses addresses.
    fn ipam(&self) -> &str {
        self.network.ipam_options.get("driver").map_or("", String::as_str)
    }

    fn set_ipam(&mut self, driver: &str) {
        self.network.ipam_options.insert("driver".into(), driver.into());
        self.written["ipam_options"] = json!(self.network.ipam_options);
    }

    fn set_interface(&mut self, name: String) {
        self.written["network_interface"] = json!(name);
        self.network.network_interface = Some(name);
    }

    fn set_dns(&mut self, on: bool) {
        self.network.dns_enabled = on;
        self.written["dns_enabled"] = json!(on);
    }

    /// Names need addresses that are known.
    fn dns(&mut self) -> Result<()> {
        if self.ipam() == "none" {
            self.set_dns(false);
        }
        if self.written.get("network_dns_servers").is_some_and(|it| !it.is_null()) && !self.network.dns_enabled {
            return Err(Failure::new("cannot set NetworkDNSServers if DNS is not enabled for the network"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
