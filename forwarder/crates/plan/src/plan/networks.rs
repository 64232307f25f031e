//! Networks by themselves: whoever is in them.

use super::{Plan, clearing, mend, up};
use crate::{Actual, Desired, NetworkRequest, Op, refuse::refuse_others};
use fwd_base::Result;

/// Decides what has to be done so that a network is there, and stays when its last endpoint goes.
///
/// # Errors
/// Everything that can be refused: above all, it is there already and is another than is asked for.
pub fn plan_network(request: &NetworkRequest, actual: &Actual) -> Result<Plan> {
    let NetworkRequest { name, network, table } = request;
    refuse_others(&actual.records.others, "add to")?;
    let name = name.to_string();
    let mut asked = network.asked(&name)?;
    asked.kept = true;
    let desired = Desired { networks: [(name.clone(), network.clone())].into(), ..Desired::default() };
    let mend::Mended { mut ops, actual, notes } = mend::uplinks(actual, &desired);
    let mends = ops.len();
    let mut cleared: Vec<Op> = clearing::forgotten(&actual);
    cleared.extend(clearing::remove_orphans(&actual, &name));
    let rest = actual.after(&cleared);
    let coming = up::network_alone(&asked, table, &rest)?;
    ops.extend(cleared);
    ops.extend(coming);
    Ok(Plan { ops, mends, warnings: notes, ..Plan::default() })
}
