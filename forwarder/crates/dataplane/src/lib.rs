//! The data path seen from userspace: loads the programs, pins them with their maps, attaches them, and reads and writes the
//! records. The only place that knows aya.
//!
//! Everything follows the calling thread's network namespace, which is the host's (see `--host-netns`).

mod attach;
mod bpf;
mod features;
mod host;
mod load;
mod measure;
mod metadata;
mod migrate;
mod object;
mod policy;
mod publish;
mod read;

pub use attach::PinnedHooks;
pub use attach::attached::{AttachPoint, AttachedProgram, ProgramNames, programs_at};
pub use attach::filter::PRIORITY as FILTER_PRIORITY;
pub use attach::hook::{Backend, Hook, TcxOrder, XdpHook};
pub use attach::orphans::{OrphanedProgram, orphans};
pub use features::{FEATURES, Feature, NETKIT, Part, Probe, SOCKET_ADDRESSES, Support, TBF, TCX, Without, probe};
pub use host::hosts::HostPins;
pub use host::lock::Lock;
pub use host::rundir::RunDir;
pub use load::reload::{Programs, Reloaded};
pub use load::sizes::{MEMORY_PER_CPU, Sizes};
pub use load::trace::{TraceFilter, TracedBy, Tracer, flow_state};
pub use measure::baseline::RedirectBaseline;
pub use measure::latency::{Cost, Passed, Point, Probes};
pub use measure::microbench::{EmptyProgram, ProgramSize};
pub use measure::run_statistics::{RunStatistics, RunTime};
pub use measure::stores::{StoreFigure, measure as measure_stores};
pub use measure::testrun::{Runner, TestRun};
pub use metadata::identity::{EndpointId, EndpointOwner};
pub use metadata::network::NetworkMetadata;
pub use metadata::{Described, Metadata, NetnsMetadata, RouteMetadata};
pub use object::kernel_fields::{asks_conntrack, sees_offloads};
pub use object::maps::record_pins;
pub use policy::{CountedRule, Match, Policies, Refusals, Rule, Verb};
pub use publish::{Publication, PublishedPorts, Senders, Transport};
pub use read::examine::Contents;
pub use read::flow_table::clock::{Clock, hz_of};
pub use read::flow_table::flows::{Flow, state_name};
pub use read::flow_table::occupancy::{Occupancy, PortUse, Usage};
pub use read::stats::{HOOK_NAMES, Stat, Traffic, VERDICTS};
pub use read::{
    field::{address, name, name_of},
    records::INTERFACE_BLOCKS,
};

use std::path::PathBuf;

/// The data path of one host namespace: maps and programs that are pinned.
#[derive(Debug)]
pub struct Dataplane {
    /// `RUNDIR/bpf/<cookie>/v<version>`.
    dir: PathBuf,
    /// What a reader has opened, so that it can be read whatever becomes of the pins.
    held: Option<read::view::Held>,
}
