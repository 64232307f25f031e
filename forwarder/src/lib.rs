//! `fwd`: connects Linux network namespaces to each other and to an uplink with eBPF.
//!
//! What it is made of are crates below `crates/`, each of which knows those below it only (ARCHITECTURE.md). The command line is
//! here, and so is one name for each of their rooms.

pub mod cli;
pub mod docs;

pub use fwd_base::{Context, Error, Kind, Result, cpu, text};
pub use fwd_bench::{self as bench, measuring};
pub use fwd_cni as cni;
pub use fwd_config as config;
pub use fwd_container as container;
pub use fwd_dataplane as dataplane;
pub use fwd_dns as dns;
pub use fwd_docker as docker;
pub use fwd_engine::{doctor, execute, query};
pub use fwd_kernel::{netlink, netns, sysctl};
pub use fwd_netavark as netavark;
pub use fwd_observe::{latency, trace};
pub use fwd_plan as reconcile;
pub use fwd_plugin as plugin;
pub use fwd_render as render;
pub use fwd_testbed as testbed;
