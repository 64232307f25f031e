//! A sandboxed host: the only place of the project that builds network topologies.
//!
//! Tests, demo and benchmarks run on a host made of network namespaces, never on the machine's own: a namespace that plays the
//! host, with uplinks called `eth0`, `eth1`, …, and one behind each that plays the internet. All of it ends with the [`Testbed`].

mod bpf;
mod cgroup;
mod cleanup;
mod delay;
mod namespace;
mod process;
mod snapshot;
mod stale;
mod topology;
mod wait;

pub mod http;
pub mod tun;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

pub use self::{
    bpf::tcx_programs,
    cgroup::command_in_cgroup,
    cleanup::{Cleanup, Interrupt, on_exit},
    delay::Delay,
    namespace::Namespace,
    process::{Output, Process, command_in, run},
    snapshot::Snapshot,
    stale::remove_stale,
    topology::{INTERNET_IF, Ipv6Link, Testbed, TestbedSpec, Uplink},
    wait::{patience, wait_until},
};

/// What the names of all testbeds begin with.
pub const FAMILY: &str = "fwdt";

/// A prefix for names that no other testbed of this machine uses: it carries the process id, by which leftovers are told.
#[must_use]
pub fn unique_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{FAMILY}{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Where the pins of a testbed go.
fn run_dir(prefix: &str) -> PathBuf {
    Path::new("/run").join(format!("fwd-{prefix}"))
}
