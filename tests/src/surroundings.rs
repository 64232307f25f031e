//! A host as others leave it: VPNs, firewalls, policies, settings that change behind `fwd`.

use crate::fwd::{Fwd, address, inside, pings};

#[test]
fn routes_of_vpns_leave_subnets_free() {
    let fwd = Fwd::new();
    let route = |destination: &str| fwd.on_host(&["ip", "route", "add", destination, "dev", "eth0"]);
    route("10.0.0.0/8");
    let first = fwd.up("c1", &[]);
    assert_eq!(first.gateway.to_string(), "172.30.0.1");
    assert!(pings(&first, fwd.uplink(0).outside[0]));
    for destination in ["172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"] {
        route(destination);
    }
    // All of the pool is routed somewhere: a part of what a route leads to is taken.
    let output = fwd.call(&["up", "--ns", &fwd.name("c2"), "--network", "other"]);
    assert!(output.status.success(), "{}", output.stderr);
    assert!(output.stderr.contains("a part of 10.0.0.0/8"), "{}", output.stderr);
    let shown = fwd.json(&["inspect", "--ns", &fwd.name("c2")]);
    assert_eq!(address(&shown["gateways"][0]).to_string(), "10.77.0.1");
    assert!(pings(&crate::fwd::open(&fwd.name("c2")), fwd.uplink(0).outside[0]));
    // What is asked for may be a part of it too; what is in use may not.
    fwd.up("c3", &["--network", "third", "--subnet", "192.168.7.0/24"]);
    fwd.on_host(&["ip", "route", "add", "192.168.9.0/25", "dev", "eth0"]);
    let name = fwd.name("c4");
    let asked = ["up", "--ns", &name, "--network", "fourth", "--subnet", "192.168.9.0/24"];
    fwd.expect_error(&asked, 4, &["192.168.9.0/25", "eth0", "leave out --subnet"]);
    let pod = fwd.up("c4", &asked[3..5]);
    assert!(inside(&pod, &["ip", "-4", "-br", "addr"]).contains("10.77.1.2/24"));
}
