//! What is loaded and pinned: the maps that hold records, and on top of them the programs and the flow table.

use std::fmt;

use forwarder_common::abi::Timeout;

use super::{Acts, Handling, Managed};
use crate::{Actual, IdleTime, range, seconds};
use fwd_dataplane::{MEMORY_PER_CPU, Sizes};

/// The maps that hold the records of this host namespace, pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMaps;

impl Managed for RecordMaps {
    fn handling(&self) -> Handling {
        Handling::new("create", "remove", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.records.loaded
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![match make {
            true => format!("# bpftool map create {pins}/maps/NETWORKS … and so for the others that hold records"),
            false => format!("rm -r {pins}"),
        }]
    }
}

impl fmt::Display for RecordMaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the maps for records")
    }
}

/// The programs and the flow table.
impl Managed for Sizes {
    fn handling(&self) -> Handling {
        Handling::new("load", "unload", Acts::OnPins).in_steps().notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.records.table.is_some()
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        if !make {
            return vec![format!("rm -r {pins}/links {pins}/progs {pins}/maps/FLOW_*")];
        }
        let mut lines =
            vec![format!("bpftool prog loadall fwd-datapath {pins}/progs type classifier pinmaps {pins}/maps")];
        lines.extend(notes(self));
        lines
    }
}

/// What is written into the map CONFIG, for which no other tool has a command.
fn notes(sizes: &Sizes) -> [String; 2] {
    let Sizes { max_flows, max_flows_per_endpoint, nat_ports, .. } = sizes;
    let time = |(which, time): &(Timeout, u32)| {
        IdleTime::of(*which).map(|idle| format!("{} {}", idle.name, seconds(*time).replace(' ', "")))
    };
    let times: Vec<String> = sizes.timeouts.iter().filter_map(time).collect();
    let (megabytes, per_cpu) = (sizes.memory().div_ceil(1_000_000), MEMORY_PER_CPU.div_ceil(1_000));
    [
        format!(
            "# flow table: {max_flows} flows, {max_flows_per_endpoint} of a namespace, ports {}, {megabytes} MB and {per_cpu} kB for each CPU",
            range(*nat_ports)
        ),
        format!("# idle times: {}", times.join(", ")),
    ]
}

/// What another version has pinned: programs, links, maps. It is only ever removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherVersion {
    /// The name of its directory.
    pub name: String,
}

impl Managed for OtherVersion {
    fn handling(&self) -> Handling {
        Handling::new("load", "unload", Acts::OnPins).notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.records.others.contains(&self.name)
    }

    fn equivalent(&self, _: bool, pins: &str) -> Vec<String> {
        vec![format!("# {pins}/../{}: links, programs and maps are removed", self.name)]
    }
}

impl fmt::Display for OtherVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the data path of version {} of fwd", self.name)
    }
}
