//! Options of a network by name: which there are for a driver, and what they may be.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use crate::replacement::failure::{Failure, Result};

/// Largest number of a VLAN (IEEE 802.1Q; 4095 is reserved).
const VLAN_MAX: u16 = 4094;

/// Refuses others than `known`, which are those of networks of `driver`.
pub(super) fn known(given: &BTreeMap<String, String>, driver: &str, known: &[&str]) -> Result<()> {
    match given.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Failure::new(format!("unsupported {driver} network option: {key}"))),
        None => Ok(()),
    }
}

/// The value of one, if it is given.
pub(super) fn parsed<T: FromStr<Err: Display>>(given: &BTreeMap<String, String>, key: &str) -> Result<Option<T>> {
    let parse = |value: &String| {
        value.parse().map_err(|error: T::Err| Failure::new(format!("unable to parse \"{key}\": {error}")))
    };
    given.get(key).map(parse).transpose()
}

/// Those of a bridge that are numbers or words.
pub(super) fn of_bridge(given: &BTreeMap<String, String>) -> Result<()> {
    const KNOWN: [&str; 9] =
        ["mode", "mtu", "isolate", "metric", "no_default_route", "vrf", "vlan", "outbound_addr4", "outbound_addr6"];
    known(given, "bridge", &KNOWN)?;
    of_link(given)?;
    match given.get("isolate").map(String::as_str) {
        None | Some("true" | "false" | "strict") => {}
        Some(other) => return Err(Failure::new(format!("unable to parse \"isolate\": {other} is no such value"))),
    }
    match parsed::<u16>(given, "vlan")? {
        Some(vlan) if vlan > VLAN_MAX => Err(Failure::new(format!("vlan must be between 0 and {VLAN_MAX}"))),
        _ => Ok(()),
    }
}

/// Those that networks of every driver have.
pub(super) fn of_link(given: &BTreeMap<String, String>) -> Result<()> {
    parsed::<u32>(given, "mtu")?;
    parsed::<u32>(given, "metric")?;
    parsed::<bool>(given, "no_default_route")?;
    Ok(())
}
