//! Networks of the driver bridge.

use serde_json::json;

use super::{Draft, Host, Options, Used, checks, options, subnets};
use crate::replacement::failure::{Failure, Result};

/// So many names are tried for a bridge.
const NAMES: u32 = 1_000_000;

/// Completes it: name of the bridge, subnets. Whether its subnets may be nobody else's.
pub(super) fn complete(draft: &mut Draft, used: &Used, asked: &Options, host: &Host<'_>) -> Result<bool> {
    translate(draft);
    let given = &draft.network.options;
    options::of_bridge(given)?;
    // Others look after a bridge that is not podman's, and several networks share one where VLANs tell them apart.
    let is_alone = !given.contains_key("vlan") && given.get("mode").is_none_or(|mode| mode == "managed");
    let check_used = is_alone && asked.check_used_subnets;
    match &draft.network.network_interface {
        Some(name) if is_alone && used.interfaces.contains(name) => {
            return Err(Failure::new(format!("bridge name {name} already in use")));
        }
        Some(name) if !checks::is_name(name) => return Err(Failure::new(format!("bridge name {name} is invalid"))),
        Some(_) => {}
        None => {
            let name = free_name(used, asked, host)?;
            draft.set_interface(name);
        }
    }
    if matches!(draft.ipam(), "" | "host-local") {
        subnets::choose(draft, used, asked, check_used)?;
        draft.set_ipam("host-local");
    }
    Ok(check_used)
}

/// Options by docker's names.
fn translate(draft: &mut Draft) {
    let given = &mut draft.network.options;
    let (mtu, name) = (given.remove("com.docker.network.driver.mtu"), given.remove("com.docker.network.bridge.name"));
    if mtu.is_none() && name.is_none() {
        return;
    }
    given.extend(mtu.map(|mtu| ("mtu".to_owned(), mtu)));
    draft.written["options"] = json!(given);
    if let Some(name) = name {
        draft.set_interface(name);
    }
}

/// A name for the bridge that nobody has.
fn free_name(used: &Used, asked: &Options, host: &Host<'_>) -> Result<String> {
    let Some(prefix) = &asked.default_interface_name else {
        return Err(Failure::new("default interface name is not set"));
    };
    let interfaces = (host.interfaces)()?;
    let is_free =
        |name: &String| !interfaces.contains(name) && !used.interfaces.contains(name) && !used.names.contains_key(name);
    let name = (1..NAMES).map(|number| format!("{prefix}{number}")).find(is_free);
    name.ok_or_else(|| Failure::new("Could not find a free device name after 1,000,000 attempts"))
}
