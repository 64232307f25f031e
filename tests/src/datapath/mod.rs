//! The loaded programs over packets of our own (`BPF_PROG_TEST_RUN`): both halves agree, and no flow gets another's packets.

mod address_only;
mod clsact;
mod conversations;
mod expiry;
mod fairness;
mod fixture;
mod flow_cache;
mod fragments;
mod fragments_ipv6;
mod frame;
mod halves;
mod icmp_error;
mod icmpv6_error;
mod ipv6;
mod ipv6_flows;
mod lifetime;
mod mapping;
mod ports;
mod published;
mod published_ipv6;
mod random;
mod records;
mod recycling;
mod speed;
mod unfinished;
mod validate;
mod vlan;
mod xdp;

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

/// The calling thread runs on this CPU from now on.
fn pin_to(cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu).unwrap();
    sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
}
