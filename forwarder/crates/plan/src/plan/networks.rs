//! Networks by themselves: whoever is in them.

use super::{Plan, clearing, mend, others::Others, up};
use crate::{Actual, Desired, NetworkRequest, Op, allowed, desired::AskedNetwork, refuse::refuse_others};
use fwd_base::{Error, Kind, Result};

/// Decides what has to be done so that a network is there, and stays when its last endpoint goes.
///
/// # Errors
/// Everything that can be refused: above all, it is there already and is another than is asked for.
pub fn plan_network(request: &NetworkRequest, actual: &Actual) -> Result<Plan> {
    let NetworkRequest { name, network, forbid, table } = request;
    refuse_others(&actual.records.others, "add to")?;
    let name = name.to_string();
    let mut asked = AskedNetwork::new(&name, network);
    asked.forbid.clone_from(forbid);
    asked.options.kept = forbid.is_empty();
    if !forbid.is_empty() && actual.records.networks.iter().all(|known| known.name != name) {
        let error = Error::new(Kind::NotFound, "change", format!("network {name}"), "there is no such network");
        return Err(error.remedy("`fwd network ls` lists those that there are"));
    }
    let desired = Desired { networks: [(name.clone(), network.clone())].into(), ..Desired::default() };
    let mend::Mended { mut ops, actual, notes } = mend::uplinks(actual, &desired);
    let mends = ops.len();
    let mut cleared: Vec<Op> = clearing::forgotten(&actual, &Others::of(&actual));
    cleared.extend(clearing::remove_orphans(&actual, &name));
    let rest = actual.after(&cleared);
    let coming = up::network_alone(&asked, table, &rest)?;
    ops.extend(cleared);
    ops.extend(coming);
    let warnings = notes.into_iter().chain(allowed::one_sided(&name, &network.allow_networks, &rest)).collect();
    Ok(Plan { ops, mends, warnings, ..Plan::default() })
}
