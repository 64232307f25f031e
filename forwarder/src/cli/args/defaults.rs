//! Defaults as help and docs tell them: from where they are declared.

use std::time::Duration;

use crate::{
    bench::load::{Limits, PORT},
    dataplane::{Backend, RunDir, Sizes},
    reconcile::{DEFAULT_NETWORK, Datapath, Nat, range},
};

/// `text [default: default]`.
pub(crate) fn told(text: &str, default: impl std::fmt::Display) -> String {
    format!("{text} [default: {default}]")
}

/// What `--datapath auto` takes.
pub(crate) const BEST: Datapath = Datapath::BEST;

/// `--nat-ports`.
pub(crate) fn nat_ports() -> String {
    range(Sizes::default().nat_ports)
}

/// `--max-flows`.
pub(crate) fn max_flows() -> u32 {
    Sizes::default().max_flows
}

/// `--nat`.
pub(crate) fn nat() -> &'static str {
    Nat::default().name()
}

/// `--attach`.
pub(crate) fn attach() -> &'static str {
    Backend::default().name()
}

/// `--network`.
pub(crate) const NETWORK: &str = DEFAULT_NETWORK;
/// `--run-dir`.
pub(crate) const RUN_DIR: &str = RunDir::DEFAULT;

/// `--cgroup`.
pub(crate) const CGROUP: &str = "the root";

/// `--rounds` of `fwd bench`, and with `--quick`.
///
/// Many short rounds rather than few long ones: what disturbs a machine comes in bursts, which the median leaves out.
pub(crate) const ROUNDS: [usize; 2] = [13, 5];
/// `--duration` of `fwd bench`, and with `--quick`.
pub(crate) const DURATION: [Duration; 2] = [Duration::from_millis(120), Duration::from_millis(60)];

/// `--duration` of `fwd bench`.
pub(crate) fn bench_duration() -> String {
    time(DURATION[0])
}

/// That of `--quick`.
pub(crate) fn quick_duration() -> String {
    time(DURATION[1])
}

/// `--serve`.
pub(crate) fn serve() -> String {
    format!("{}:{PORT}; the next port too", std::net::Ipv4Addr::UNSPECIFIED)
}

/// `--max-time`.
pub(crate) fn max_time() -> String {
    time(Limits::default().time)
}

fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}
