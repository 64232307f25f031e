//! How full the flow table and the range of ports are, as views.

use forwarder_common::{
    abi::RETRY_CLASSES,
    decide::ports::{EXHAUSTED, retry_class},
};

use super::state::flow_counts;
use crate::execute;
use fwd_base::Result;
use fwd_dataplane::{Dataplane, Occupancy, PortUse};
use fwd_observe::protocol;
use fwd_plan::{IdleTime, TableRecord};
use fwd_render::{NatView, PortsView, RetriesView, TableView};

/// Everything about the flow table, if one is loaded.
///
/// # Errors
/// The maps or the kernel cannot be read.
pub fn view(plane: &Dataplane, occupancy: &Occupancy) -> Result<Option<NatView>> {
    let Some(table) = loaded_table(plane)? else { return Ok(None) };
    let (classes, expiry) = (plane.port_retries()?, plane.expiry()?);
    let ports = |it: &PortUse| PortsView {
        address: it.address,
        proto: protocol::name(it.proto),
        dst_addr: it.towards.map(|towards| towards.ip()),
        dst_port: it.towards.map(|towards| towards.port()).filter(|port| *port != 0),
        taken: it.taken,
    };
    Ok(Some(NatView {
        flows: flow_counts(occupancy.total, table.max_flows),
        table,
        ports: occupancy.ports.iter().map(ports).collect(),
        port_retries: (0..EXHAUSTED).zip(classes).map(|(class, searches)| retries(class, searches)).collect(),
        ports_exhausted: classes[RETRY_CLASSES - 1],
        idle_ended: expiry.ended,
        sweep_longest_us: expiry.longest_ns.div_ceil(1000),
    }))
}

/// The numbers of retries that fall into a class: none, 1, 2–3, 4–7, …
fn retries(class: u32, searches: u64) -> RetriesView {
    let first = |class: u32| if class == 0 { 0 } else { 1 << (class - 1) };
    debug_assert_eq!(retry_class(first(class)), class);
    RetriesView { least: first(class), most: first(class + 1) - 1, searches }
}

/// The settings of the flow table, if one is loaded.
///
/// # Errors
/// The maps or the kernel cannot be read.
pub fn loaded_table(plane: &Dataplane) -> Result<Option<TableView>> {
    if plane.is_loaded() { table(plane).map(Some) } else { Ok(None) }
}

fn table(plane: &Dataplane) -> Result<TableView> {
    let TableRecord { nat_ports, max_flows, max_flows_per_ns, timeouts } = execute::table(&plane.config()?);
    let timeout = |(which, seconds)| IdleTime::of(which).map(|idle| (idle.name, u64::from(seconds) * 1000));
    Ok(TableView {
        max_flows,
        max_flows_per_ns,
        nat_ports,
        timeouts: timeouts.into_iter().filter_map(timeout).collect(),
        memory_bytes: plane.memory()?,
    })
}

#[cfg(test)]
mod tests {
    use forwarder_common::decide::ports::{EXHAUSTED, retry_class};

    use super::retries;

    #[test]
    fn classes_of_retries_follow_each_other() {
        let mut next = 0;
        for class in 0..EXHAUSTED {
            let view = retries(class, 0);
            assert_eq!((view.least, retry_class(view.most)), (next, class));
            next = view.most + 1;
        }
    }
}
