//! Ways out: by which interface a network leaves, and from which address.

mod announced;
mod bound;
mod command;
mod published;
mod routes;
mod source;
mod transit;

use std::net::Ipv4Addr;

use forwarder::testbed::TestbedSpec;

use crate::{
    fwd::{Fwd, Pod, inside, text},
    uplinks::ip,
};

/// A host with two uplinks and its default route by `eth0`, both internets of which have `remote()`: whoever answers there tells by
/// which the packet came.
fn host() -> Fwd {
    with_uplinks(2)
}

/// The same with so many uplinks, of which `eth2` is not routed to yet.
fn with_uplinks(uplinks: usize) -> Fwd {
    let fwd = Fwd::with(&TestbedSpec { uplinks, ..TestbedSpec::default() });
    if uplinks > 2 {
        ip(&fwd, "route flush dev eth2");
    }
    let block = "203.0.113.64/26";
    ip(&fwd, &format!("route del {block}"));
    inside(fwd.internet(1), &["ip", "addr", "add", &format!("{}/32", remote(&fwd)), "dev", "lo"]);
    fwd
}

/// An address that both internets have.
fn remote(fwd: &Fwd) -> Ipv4Addr {
    fwd.uplink(0).outside[0]
}

#[track_caller]
fn warnings(fwd: &Fwd, pod: &Pod) -> Vec<String> {
    let shown = fwd.json(&["inspect", &pod.name]);
    shown["warnings"].as_array().expect("a list").iter().map(text).collect()
}
