//! What is refused, by its number, and before anything is changed.

use forwarder::{
    dataplane::{Lock, RunDir},
    testbed,
};
use serde_json::{Value, json};

use super::runner::{Container, Runtime};
use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, LIMIT, binary, inside},
};

#[test]
fn versions_are_told_to_anybody() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "1.0.0", json!({}));
    for (config, version) in
        [(r#"{"cniVersion":"0.4.0"}"#, "0.4.0"), ("", "1.1.0"), (r#"{"cniVersion":"9.9.9"}"#, "1.1.0")]
    {
        let binary = binary();
        // By whom may do nothing.
        let words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", binary.to_str().expect("a plain path")];
        let command = runtime.command(&words, &[("CNI_COMMAND", "VERSION")], config);
        let output = testbed::run(command, LIMIT).expect("it runs").success().expect("it succeeds");
        let shown: Value = serde_json::from_str(&output.stdout).expect("one document");
        assert_eq!(shown["cniVersion"], version);
        assert_eq!(shown["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
        assert_eq!(output.stderr, "");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_number_and_changes_nothing() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "1.1.0", json!({}));
    let container = Container::new(&fwd, "c1");
    let before = snapshot(&fwd);
    let (id, path) = (container.id.as_str(), container.path());
    let add = Runtime::variables("ADD", id, &path);
    let own = format!("/run/netns/{}", fwd.host().name());
    let refused = |variables: &[(&str, &str)], extra: Value, code, words: &[&str]| {
        runtime.fails(variables, &runtime.config(0, &extra), code, words);
    };
    refused(&add, json!({ "cniVersion": "0.2.0" }), 1, &["0.2.0", "1.1.0"]);
    refused(&add, json!({ "vlan": 7 }), 2, &["vlan", "7"]);
    refused(&Runtime::variables("ADD", id, "/run/netns/none"), json!({}), 3, &["/run/netns/none"]);
    refused(&Runtime::variables("ADD", id, ""), json!({}), 4, &["CNI_NETNS"]);
    refused(&Runtime::variables("ADD", "-x", &path), json!({}), 4, &["CNI_CONTAINERID"]);
    refused(&Runtime::variables("ADDX", id, &path), json!({}), 4, &["ADDX"]);
    refused(&add, json!({ "mtu": "big" }), 6, &["mtu"]);
    refused(&add, json!({ "uplink": "eth9" }), 7, &["eth9"]);
    refused(&add, json!({ "runtimeConfig": { "ips": ["10.1.1.1"] }, "subnet": "10.7.0.0/24" }), 7, &["10.1.1.1"]);
    refused(&Runtime::variables("ADD", id, &own), json!({}), 8, &["host"]);
    refused(&add, json!({ "subnet": "198.51.100.0/24" }), 103, &["198.51.100.0/24"]);
    refused(&[("CNI_COMMAND", "STATUS")], json!({ "uplink": "eth9" }), 50, &["eth9"]);
    runtime.ok(&[("CNI_COMMAND", "STATUS")], &runtime.config(0, &json!({})));
    assert_as_before(&fwd, &before);
    // What is there already.
    let asked = json!({ "runtimeConfig": { "ips": ["10.7.0.9"] }, "subnet": "10.7.0.0/24" });
    runtime.ok(&add, &runtime.config(0, &asked));
    refused(&add, json!({}), 100, &["eth0", id]);
    refused(&add, json!({ "name": "other" }), 100, &["eth0"]);
    let other = Container::new(&fwd, "c2");
    let other_path = other.path();
    let add = Runtime::variables("ADD", &other.id, &other_path);
    // Who has it is told, although nothing of others is read as long as nothing is in the way.
    refused(&add, asked, 101, &["10.7.0.9", &fwd.name("c1")]);
    refused(&add, json!({ "subnet": "10.8.0.0/24" }), 7, &["10.8.0.0/24", "10.7.0.0/24"]);
    refused(&add, json!({ "mtu": 1400 }), 7, &["1400", "1500"]);
    inside(&other, &["ip", "link", "add", "eth0", "type", "bridge"]);
    refused(&add, json!({}), 100, &["eth0"]);
    fwd.ok(&["down", "--all"]);
    drop(other);
    assert_as_before(&fwd, &before);
}

/// One that waits for another command in vain may be called again.
#[test]
fn host_that_is_busy_is_told_from_one_that_refuses() {
    let fwd = Fwd::new();
    let container = Container::new(&fwd, "c1");
    let runtime = Runtime::new(&fwd, "1.0.0", json!({ "lockTimeout": 0 }));
    fwd.up("c2", &[]);
    let cookie = fwd.host().cookie().expect("a cookie");
    let lock = Lock::acquire(&RunDir::new(fwd.pins()), cookie, LIMIT);
    let lock = lock.expect("the lock");
    let path = container.path();
    let variables = Runtime::variables("ADD", &container.id, &path);
    runtime.fails(&variables, &runtime.config(0, &json!({})), 11, &["held"]);
    drop(lock);
    runtime.add(&container, &json!({}));
}
