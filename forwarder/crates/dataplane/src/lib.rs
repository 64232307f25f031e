//! The data path seen from userspace: loads the programs, pins them with their maps, attaches them, and reads and writes the
//! records. The only place that knows aya.
//!
//! Everything follows the calling thread's network namespace, which is the host's (see `--host-netns`).

mod attach;
mod baseline;
mod batch;
mod bpffs;
mod clock;
mod create;
mod devices;
mod examine;
mod features;
mod filter;
mod flows;
mod hook;
mod hosts;
mod kernel_fields;
mod kernel_types;
mod latency;
mod load;
mod lock;
mod maps;
mod microbench;
mod object;
mod occupancy;
mod open;
mod orphans;
mod parallel;
mod programs;
mod records;
mod reload;
mod route_mtus;
mod rundir;
mod sizes;
mod slots;
mod stats;
mod stores;
mod testrun;
mod trace;
mod version;
mod view;
mod xdp;

pub use attach::PinnedHooks;
pub use baseline::RedirectBaseline;
pub use clock::{Clock, hz_of};
pub use examine::Contents;
pub use features::{FEATURES, Feature, Part, Probe, Support, TCX, Without, probe};
pub use flows::{Flow, state_name};
pub use hook::{Backend, Hook, XdpHook};
pub use hosts::HostPins;
pub use kernel_fields::{asks_conntrack, sees_offloads};
pub use latency::{Cost, Passed, Point, Probes};
pub use lock::Lock;
pub use maps::record_pins;
pub use microbench::{EmptyProgram, ProgramSize};
pub use occupancy::{Occupancy, PortUse, Usage};
pub use orphans::{OrphanedProgram, orphans};
pub use records::{INTERFACE_BLOCKS, address, name, name_of};
pub use reload::{Programs, Reloaded};
pub use rundir::RunDir;
pub use sizes::{MEMORY_PER_CPU, Sizes};
pub use stats::{HOOK_NAMES, Stat, Traffic, VERDICTS};
pub use stores::{StoreFigure, measure as measure_stores};
pub use testrun::{Runner, TestRun};
pub use trace::{TraceFilter, TracedBy, Tracer, flow_state};

use std::path::PathBuf;

/// The data path of one host namespace: maps and programs that are pinned.
#[derive(Debug)]
pub struct Dataplane {
    /// `RUNDIR/bpf/<cookie>/v<version>`.
    dir: PathBuf,
    /// What a reader has opened, so that it can be read whatever becomes of the pins.
    held: Option<view::Held>,
}
