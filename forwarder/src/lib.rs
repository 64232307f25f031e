//! `fwd`: connects Linux network namespaces to each other and to an uplink with eBPF.

pub mod bench;
pub mod cli;
pub mod cpu;
pub mod dataplane;
pub mod docs;
pub mod error;
pub mod execute;
mod hash;
pub mod latency;
pub mod measuring;
pub mod netlink;
pub mod netns;
pub mod query;
pub mod reconcile;
pub mod render;
pub mod sysctl;
pub mod testbed;
pub mod text;
pub mod trace;

pub use error::{Context, Error, Kind, Result};
