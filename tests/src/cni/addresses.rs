//! Where addresses come from: of both families, and by other plugins.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use forwarder::testbed::TestbedSpec;
use serde_json::json;

use super::runner::{Container, Runtime};
use crate::fwd::{Fwd, inside, pings, pings6, text};

#[test]
fn container_has_an_address_of_each_range() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let ranges = json!([[{ "subnet": "10.7.0.0/24", "gateway": "10.7.0.254" }], [{ "subnet": "fd00:7::/64" }]]);
    let runtime = Runtime::new(&fwd, "0.4.0", json!({ "ipam": { "ranges": ranges } }));
    let [container, other] = ["c1", "c2"].map(|role| Container::new(&fwd, role));
    let result = runtime.add(&container, &json!({}));
    let ip = |place: usize| ["version", "address", "gateway"].map(|key| text(&result["ips"][place][key]));
    assert_eq!((ip(0), ip(1)[0].as_str()), (["4", "10.7.0.1/24", "10.7.0.254"].map(String::from), "6"));
    assert!(ip(1)[1].starts_with("fd00:7::") && ip(1)[2] == "fd00:7::1", "{result}");
    let outside = fwd.uplink(0).ipv6.expect("it has IPv6").outside;
    assert!(pings(&container, fwd.uplink(0).outside[0]) && pings6(&container, outside));
    runtime.check(&container, &json!({}), &result);
    // What a runtime asks for of either family.
    let asked = json!({ "ips": ["10.7.0.9/24", "fd00:7::99/64"] });
    let result = runtime.add(&other, &asked);
    assert_eq!([0, 1].map(|ip| text(&result["ips"][ip]["address"])), ["10.7.0.9/24", "fd00:7::99/64"]);
    runtime.del(&container.id, "");
    runtime.del(&other.id, "");
    // One of IPv4 alone has none, whatever the uplink leads to.
    let alone = Runtime::new(&fwd, "1.0.0", json!({ "network": "alone", "ipam": { "subnet": "10.8.0.0/24" } }));
    let result = alone.add(&container, &json!({}));
    assert_eq!(result["ips"].as_array().map(Vec::len), Some(1), "{result}");
    assert!(!inside(&container, &["ip", "-6", "route"]).contains("default"));
    alone.del(&container.id, "");
    // Nor has one of IPv6 alone any IPv4.
    let alone = Runtime::new(&fwd, "1.0.0", json!({ "network": "six", "ipam": { "subnet": "fd00:8::/64" } }));
    let result = alone.add(&container, &json!({}));
    assert_eq!(result["ips"].as_array().map(Vec::len), Some(1), "{result}");
    assert_eq!(["address", "gateway"].map(|key| text(&result["ips"][0][key])), ["fd00:8::2/64", "fd00:8::1"]);
    assert!(pings6(&container, outside));
    alone.check(&container, &json!({}), &result);
    alone.ok(&[("CNI_COMMAND", "STATUS")], &alone.config(0, &json!({})));
}

/// A plugin that gives what it is told to by its own configuration, and notes each call.
fn plugin(dir: &Path) {
    let script = r#"#!/usr/bin/env python3
import json, os, sys
config = json.load(sys.stdin)
command = os.environ["CNI_COMMAND"]
with open(config["ipam"]["log"], "a") as log:
    log.write(command + " " + os.environ.get("CNI_CONTAINERID", "-") + " " + config["name"] + "\n")
if config["ipam"].get("full"):
    print(json.dumps({"cniVersion": config["cniVersion"], "code": 117, "msg": "no more", "details": "of these"}))
    sys.exit(1)
if command == "ADD":
    print(json.dumps({"cniVersion": config["cniVersion"], "ips": config["ipam"]["ips"]}))
"#;
    let path = dir.join("ipam-of-a-test");
    fs::write(&path, script).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it may run");
}

#[test]
fn another_plugin_chooses_addresses_and_gets_them_back() {
    let fwd = Fwd::new();
    let log = fwd.run_dir().join("ipam.log");
    let ipam = |address: &str| json!({ "type": "ipam-of-a-test", "log": log, "ips": [{ "address": address, "gateway": "10.9.0.254" }] });
    let runtime = Runtime::new(&fwd, "1.1.0", json!({ "ipam": ipam("10.9.0.7/24") }));
    plugin(&runtime.plugins());
    let noted = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        fs::write(&log, "").expect("it is emptied");
        text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let container = Container::new(&fwd, "c1");
    let result = runtime.add(&container, &json!({}));
    assert_eq!(
        (&result["ips"][0]["address"], &result["ips"][0]["gateway"]),
        (&json!("10.9.0.7/24"), &json!("10.9.0.254"))
    );
    assert!(pings(&container, fwd.uplink(0).outside[0]));
    runtime.check(&container, &json!({}), &result);
    runtime.ok(&[("CNI_COMMAND", "STATUS")], &runtime.config(0, &json!({})));
    runtime.ok(&[("CNI_COMMAND", "GC")], &runtime.config(0, &json!({ "cni.dev/valid-attachments": [] })));
    assert_eq!(fwd.list(&["ls"]).len(), 0);
    runtime.del(&container.id, "");
    assert_eq!(noted(), ["ADD", "CHECK", "STATUS", "GC", "DEL"]);
    // What it gives cannot be: it gets it back, and the runtime is told why.
    let path = container.path();
    let add = Runtime::variables("ADD", &container.id, &path);
    let taken = json!({ "name": "other", "ipam": ipam("198.51.100.9/24") });
    runtime.fails(&add, &runtime.config(0, &taken), 103, &["198.51.100.0/24"]);
    assert_eq!(noted(), ["ADD", "DEL"]);
    // It fails itself, by a number of its own.
    let mut full = ipam("10.9.0.7/24");
    full["full"] = json!(true);
    runtime.fails(&add, &runtime.config(0, &json!({ "ipam": full })), 117, &["ipam-of-a-test", "no more", "of these"]);
    assert_eq!(noted(), ["ADD"], "it has given nothing that could be given back");
    runtime.fails(&add, &runtime.config(0, &json!({ "ipam": { "type": "none-such" } })), 7, &["none-such"]);
    assert_eq!(fwd.list(&["ls"]).len(), 0);
}
