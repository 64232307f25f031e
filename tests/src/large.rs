//! Hosts with more of everything than a process may hold.

use std::process::Command;

use forwarder::testbed;
use serde_json::Value;

use crate::fwd::{Fwd, LIMIT};

#[test]
fn other_ends_are_found_with_few_descriptors() {
    let fwd = Fwd::new();
    let script = "ip link add br0 type bridge; for n in $(seq 60); do ip netns add $0-n$n; \
        ip link add v$n type veth peer name e0 netns $0-n$n; ip link set v$n master br0; done";
    fwd.on_host(&["sh", "-ec", script, fwd.prefix()]);
    let inspect = fwd.command(&["inspect", "--if", "br0", "--json"]);
    let mut limited = Command::new("prlimit");
    limited.arg("--nofile=32:32").arg(inspect.get_program()).args(inspect.get_args());
    let output = testbed::run(limited, LIMIT).expect("it runs");
    assert!(output.status.success(), "{}", output.stderr);
    let shown: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let ports = shown["ports"].as_array().expect("a list");
    let known = ports.iter().filter(|port| {
        let ns = port["ifname"].as_str().map(|name| format!("{}-n{}", fwd.prefix(), name.trim_start_matches('v')));
        port["peer"]["ns"].as_str() == ns.as_deref()
    });
    assert_eq!((ports.len(), known.count()), (60, 60), "{}", output.stdout);
}
