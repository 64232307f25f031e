//! Networks of the drivers macvlan and ipvlan, which another netavark makes.

use super::{Draft, Host, options};
use crate::replacement::failure::{Failure, Result};

/// Completes it: who chooses addresses. Nobody serves names there.
pub(super) fn complete(draft: &mut Draft, host: &Host<'_>) -> Result<()> {
    if let Some(parent) = &draft.network.network_interface
        && !(host.interfaces)()?.contains(parent)
    {
        return Err(Failure::new(format!("parent interface {parent} does not exist")));
    }
    draft.set_dns(false);
    let is_macvlan = draft.network.driver == "macvlan";
    let without_subnets = draft.network.subnets.is_empty();
    match draft.ipam() {
        "" if !without_subnets => draft.set_ipam("host-local"),
        "" | "dhcp" if !is_macvlan => {
            return Err(Failure::new("ipam driver dhcp is not supported with ipvlan"));
        }
        "" => draft.set_ipam("dhcp"),
        "dhcp" if !without_subnets => return Err(Failure::new("ipam driver dhcp set but subnets are set")),
        "host-local" if without_subnets => {
            return Err(Failure::new(format!(
                "{} driver needs at least one subnet specified when the host-local ipam driver is set",
                draft.network.driver
            )));
        }
        _ => {}
    }
    check_options(draft, is_macvlan)
}

fn check_options(draft: &Draft, is_macvlan: bool) -> Result<()> {
    let given = &draft.network.options;
    options::known(given, "vlan", &["mode", "mtu", "metric", "no_default_route", "bclim"])?;
    options::of_link(given)?;
    let (driver, modes): (_, &[&str]) = if is_macvlan {
        ("macvlan", &["", "bridge", "private", "vepa", "passthru", "source"])
    } else {
        ("ipvlan", &["", "l2", "l3", "l3s"])
    };
    if let Some(mode) = given.get("mode").filter(|mode| !modes.contains(&mode.as_str())) {
        return Err(Failure::new(format!("invalid {driver} mode \"{mode}\"")));
    }
    match options::parsed::<i32>(given, "bclim")? {
        Some(_) if !is_macvlan => Err(Failure::new("unsupported ipvlan network option bclim")),
        _ => Ok(()),
    }
}
