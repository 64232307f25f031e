//! What a network cannot be, whoever makes it.

use std::collections::BTreeMap;

use crate::{
    input::{Network, Route},
    replacement::failure::{Failure, Result},
};

/// Longest name of an interface, bytes (IFNAMSIZ less the zero at its end).
const INTERFACE_NAME_MAX: usize = 15;

fn refuse<T>(why: impl Into<String>) -> Result<T> {
    Err(Failure::new(why))
}

/// Whether a text is `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
pub(super) fn is_name(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

pub(super) fn name_and_id(network: &Network, used: &BTreeMap<String, String>) -> Result<()> {
    let Network { name, id, .. } = network;
    if name.is_empty() {
        return refuse("Network name must be supplied");
    }
    if !is_name(name) {
        return refuse(format!("Invalid characters in network name {name:?}: must match [a-zA-Z0-9][a-zA-Z0-9_.-]*"));
    }
    if used.contains_key(name) {
        return refuse(format!("network already exists {name}"));
    }
    match id.as_str() {
        "" => refuse("Network id must be supplied"),
        id if id.len() != 64 || !id.chars().all(|c| c.is_ascii_hexdigit()) => {
            refuse(format!("Network id must be a hexadecimal string {id:?}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn interface_name(name: &str) -> Result<()> {
    if name.len() > INTERFACE_NAME_MAX {
        return refuse(format!(
            "Interface name is too long: interface names must be {INTERFACE_NAME_MAX} characters or less: {name}"
        ));
    }
    if matches!(name, "" | "." | "..") {
        return refuse("Interface name cannot be . or ..");
    }
    match name.chars().find(|c| matches!(c, '/' | ':') || c.is_whitespace()) {
        Some(bad) => refuse(format!("Interface name cannot contain \"{bad}\"")),
        None => Ok(()),
    }
}

pub(super) fn ipam_driver(network: &Network) -> Result<()> {
    match network.ipam_options.get("driver").map(String::as_str) {
        None | Some("" | "host-local" | "dhcp") => Ok(()),
        Some("none") if network.subnets.is_empty() => Ok(()),
        Some("none") => refuse("None ipam driver is set but subnets are given"),
        Some(driver) => refuse(format!("Unsupported ipam driver: {driver}")),
    }
}

pub(super) fn route(route: &Route) -> Result<()> {
    let Route { destination, gateway, route_type, metric: _ } = route;
    if destination.trunc() != *destination {
        return refuse("route destination invalid");
    }
    match (route_type.as_deref().unwrap_or_default(), gateway) {
        ("" | "unicast", Some(_)) | ("blackhole" | "unreachable" | "prohibit", None) => Ok(()),
        ("" | "unicast", None) => refuse(format!("route {destination} requires a gateway for type unicast")),
        (kind @ ("blackhole" | "unreachable" | "prohibit"), Some(_)) => {
            refuse(format!("route {destination} must not have a gateway for type {kind}"))
        }
        (kind, _) => refuse(format!("invalid route type \"{kind}\"")),
    }
}
