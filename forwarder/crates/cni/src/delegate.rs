//! Another plugin that chooses addresses (IPAM): found by `CNI_PATH`, run as the runtime would run it, outside of any lock.

use std::{net::IpAddr, path::PathBuf, process::Command as Process};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    config::{self, Config},
    environment::{COMMAND, Command, Environment},
    failure::{Code, Failure, Result},
};
use fwd_plan::{Ipv4, Ipv6};
use fwd_plugin::program::{self, Ended};

/// A plugin that chooses addresses.
pub(crate) struct Delegate<'a> {
    name: &'a str,
    program: PathBuf,
    config: &'a Config,
}

/// What of its result is used.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Addresses {
    ips: Vec<Ip>,
}

#[derive(Debug, Deserialize)]
struct Ip {
    address: IpNet,
    #[serde(default)]
    gateway: Option<IpAddr>,
}

/// What it says when it fails.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    code: u32,
    msg: String,
    details: String,
}

impl<'a> Delegate<'a> {
    /// The plugin that the configuration names, if it names one.
    ///
    /// # Errors
    /// It is in none of the directories of `CNI_PATH`.
    pub(crate) fn of(config: &'a Config, environment: &Environment) -> Result<Option<Self>> {
        let Some(name) = config.delegate.as_deref() else { return Ok(None) };
        if name.contains('/') {
            return Err(Failure::invalid("ipam.type", name, "it is the name of a plugin, not a path"));
        }
        let found = environment.path.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
        let Some(program) = found else {
            let dirs: Vec<String> = environment.path.iter().map(|dir| dir.display().to_string()).collect();
            let why = format!("there is no plugin of that name in {}", dirs.join(", "));
            return Err(Failure::invalid("ipam.type", name, why));
        };
        Ok(Some(Self { name, program, config }))
    }

    /// The configuration with what it has `given`, the result of its ADD.
    ///
    /// # Errors
    /// It is no such result, or says what a network here cannot have.
    pub(crate) fn chosen(&self, given: &Value) -> Result<Config> {
        let result: Addresses = config::read(given)?;
        let mut chosen = Config { addresses: Vec::new(), ..self.config.clone() };
        let network = &mut chosen.options;
        (network.ipv4, network.ipv6) = (Some(Ipv4::Off), Some(Ipv6::Off));
        for Ip { address, gateway } in result.ips {
            chosen.addresses.push(address.addr());
            match (address, gateway) {
                (IpNet::V4(net), gateway) => {
                    (network.subnet, network.ipv4) = (Some(net.trunc()), Some(Ipv4::On));
                    network.gateway = gateway.and_then(|gateway| match gateway {
                        IpAddr::V4(gateway) => Some(gateway),
                        IpAddr::V6(_) => None,
                    });
                }
                (IpNet::V6(net), _) => (network.subnet6, network.ipv6) = (Some(net.trunc()), Some(Ipv6::Masquerade)),
            }
        }
        if chosen.addresses.is_empty() {
            let why = "it gave no address";
            return Err(Failure::invalid("ipam.type", self.name, why));
        }
        Ok(chosen)
    }

    /// Runs it with the whole configuration; its document, or null.
    ///
    /// # Errors
    /// What it says.
    pub(crate) fn run(&self, command: Command) -> Result<Value> {
        let failed =
            |why: String| Failure::new(Code::Other, format!("ipam plugin {}: {why}", self.name), "see its own log");
        // Everything else it is told by the environment that we have.
        let ended = program::run(Process::new(&self.program).env(COMMAND, command.name()), &self.config.whole);
        let Ended { status, document } = ended.map_err(|error| failed(error.to_string()))?;
        if status.success() {
            return Ok(document.unwrap_or(Value::Null));
        }
        let said = document.as_ref().and_then(|document| config::read::<Said>(document).ok()).unwrap_or_default();
        if said.msg.is_empty() {
            return Err(failed(status.to_string()));
        }
        let failure = failed(said.msg);
        Err(Failure { code: if said.code == 0 { failure.code } else { said.code }, details: said.details, ..failure })
    }
}
