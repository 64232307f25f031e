//! Integration tests of `fwd`: real traffic and real kernels over sandboxed hosts, which `forwarder::testbed` makes.
//!
//! They need root. Each makes its own host, so they run side by side.

#![allow(clippy::duplicate_mod, reason = "the black-box suite runs over both data paths: see `xdp`")]

#[cfg(test)]
mod address_only;
#[cfg(test)]
mod attach;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod bench_agreement;
#[cfg(test)]
mod bench_load;
#[cfg(test)]
mod bench_tools;
#[cfg(test)]
mod bpf_ids;
#[cfg(test)]
mod bridged;
#[cfg(test)]
mod bridgeless;
#[cfg(test)]
mod capture;
#[cfg(test)]
mod chance;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod cni;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod datapath;
#[cfg(test)]
mod declared;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod dns;
#[cfg(test)]
mod docker;
mod doctor;
#[cfg(test)]
mod dry_run;
#[cfg(test)]
mod fast_path;
#[cfg(test)]
mod features;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod flows;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod fragments;
#[cfg(test)]
mod fwd;
#[cfg(test)]
mod graph;
mod host_access;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod icmp;
#[cfg(test)]
mod interfaces;
#[cfg(test)]
mod ipv6;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod large;
#[cfg(test)]
mod latency;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod lost_pins;
#[cfg(test)]
mod masquerade;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod nat;
#[cfg(test)]
mod netavark;
#[cfg(test)]
mod netkit;
#[cfg(test)]
mod netlink;
#[cfg(test)]
mod netns;
#[cfg(test)]
mod networks;
#[cfg(test)]
mod next_hop;
#[cfg(test)]
mod nft;
#[cfg(test)]
mod occupancy;
#[cfg(test)]
mod offload;
#[cfg(test)]
mod options;
#[cfg(test)]
mod own_traffic;
#[cfg(test)]
mod ownership;
#[cfg(test)]
mod packet;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod pressure;
#[cfg(test)]
mod privileges;
#[cfg(test)]
mod published;
#[cfg(test)]
mod publishing;
#[cfg(test)]
mod punts;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod resolver;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod run_dir;
#[cfg(test)]
mod runtimes;
#[cfg(test)]
mod shown;
#[cfg(test)]
mod stun;
#[cfg(test)]
mod surroundings;
#[cfg(test)]
mod take_over;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod tcx_order;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod testbed;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod traffic;
#[cfg(test)]
mod tun;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod uplinks;
#[cfg(test)]
mod vlan;
#[cfg(test)]
mod ways;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod xdp;
