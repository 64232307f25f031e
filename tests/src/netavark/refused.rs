//! What is refused, in words that podman shows, and before anything is changed.

use forwarder::testbed;
use serde_json::{Value, json};

use super::podman::{Podman, with};
use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, LIMIT, binary},
    runtimes::{Container, plugin_command},
};

#[test]
fn version_is_told_to_anybody() {
    let fwd = Fwd::new();
    let binary = binary();
    // By whom may do nothing.
    let words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", binary.to_str().expect("a plain path"), "info"];
    let output =
        testbed::run(plugin_command(&fwd, &words, ""), LIMIT).expect("it runs").success().expect("it succeeds");
    let shown: Value = serde_json::from_str(&output.stdout).expect("one document");
    assert_eq!((&shown["api_version"], shown["version"].is_string()), (&json!("1.0.0"), true));
    assert_eq!(output.stderr, "");
}

#[test]
fn what_cannot_be_is_refused_in_words_and_changes_nothing() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let without = snapshot(&fwd);
    let container = Container::new(&fwd, "c1");
    let before = snapshot(&fwd);
    let create = |members: Value, words: &[&str]| podman.fails(&["create"], &podman.network(&members), words);
    create(json!({ "options": { "vlan": "7" } }), &["vlan=7", "no such option"]);
    create(json!({ "ipam_options": { "driver": "dhcp" } }), &["dhcp"]);
    // And what the first container would be refused.
    create(json!({ "subnets": [{ "subnet": "198.51.100.0/24" }] }), &["198.51.100.0/24"]);
    create(json!({ "subnets": [{ "subnet": "10.7.1.0/31" }] }), &["10.7.1.0/31"]);
    create(json!({ "subnets": [{ "subnet": "fd00:7::/32" }] }), &["fd00:7::/32"]);
    create(json!({ "options": { "uplink": "eth9" } }), &["eth9"]);
    create(json!({ "options": { "outbound_addr4": "192.0.2.7" } }), &["192.0.2.7"]);
    create(json!({ "network_interface": "all" }), &["all"]);
    let route = json!({ "destination": "203.0.113.0/24", "gateway": "10.7.1.9" });
    create(json!({ "subnets": podman.subnet("front"), "routes": [route] }), &["203.0.113.0/24", "--datapath kernel"]);
    create(json!({ "subnets": 7 }), &["subnets"]);
    podman.fails(&["create"], &json!([]), &["no object"]);
    let path = container.path();
    let network = |members: Value| with(&podman.network(&json!({ "subnets": podman.subnet("front") })), members);
    let setup = |asked: &Value, words: &[&str]| podman.fails(&["setup", &path], asked, words);
    let asked = |members: Value, options: Value| podman.container(&container, &network(members), 9, options);
    setup(&asked(json!({ "options": { "uplink": "eth9" } }), json!({})), &["eth9"]);
    setup(&asked(json!({ "subnets": [{ "subnet": "198.51.100.0/24" }] }), json!({})), &["198.51.100.0/24"]);
    setup(&asked(json!({}), json!({ "static_ips": ["10.9.9.9"] })), &["10.9.9.9", "10.7.1.0/24"]);
    setup(&asked(json!({}), json!({ "static_ips": ["10.7.1.8", "10.7.1.9"] })), &["10.7.1.9", "each family"]);
    setup(&asked(json!({}), json!({ "static_mac": "02:00" })), &["02:00", "six bytes"]);
    setup(&asked(json!({}), json!({ "interface_name": "" })), &["interface_name"]);
    setup(&asked(json!({}), json!({ "options": { "host_interface_name": "a/b" } })), &["a/b"]);
    setup(&asked(json!({}), json!({ "options": { "host_interface_name": "eth0" } })), &["eth0", "exists"]);
    let sctp = json!({ "port_mappings": [{ "host_port": 80, "container_port": 80, "protocol": "sctp", "range": 1 }] });
    setup(&with(&asked(json!({}), json!({})), sctp), &["80:80/sctp"]);
    podman.fails(&["setup", "/run/netns/none"], &asked(json!({}), json!({})), &["/run/netns/none"]);
    let own = format!("/run/netns/{}", fwd.host().name());
    podman.fails(&["setup", &own], &asked(json!({}), json!({})), &["host"]);
    // Teardown is not kept from its work by any of it.
    podman.teardown(&container, &asked(json!({ "options": { "vlan": "7" } }), json!({ "static_mac": "02:00" })));
    assert_as_before(&fwd, &before);
    // What is there already.
    podman.setup(&container, &asked(json!({}), json!({})));
    setup(&asked(json!({}), json!({})), &["eth0"]);
    let other = Container::new(&fwd, "c2");
    let other_path = other.path();
    let taken = podman.container(&other, &network(json!({})), 9, json!({}));
    podman.fails(&["setup", &other_path], &taken, &["10.7.1.9"]);
    let differs = podman.container(&other, &network(json!({ "options": { "mtu": "1300" } })), 10, json!({}));
    podman.fails(&["setup", &other_path], &differs, &["1300", "1500"]);
    podman.teardown(&container, &asked(json!({}), json!({})));
    drop((container, other));
    assert_as_before(&fwd, &without);
}
