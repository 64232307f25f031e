//! What podman and netavark hand over to a plugin, and how they call it.

use std::net::IpAddr;

use forwarder::testbed::{self, Output};
use serde_json::{Value, json};

use crate::{
    fwd::{Fwd, LIMIT, binary, text},
    runtimes::{Container, plugin_command},
};

/// podman on a sandboxed host.
pub(super) struct Podman<'a> {
    fwd: &'a Fwd,
}

/// The same document with other members.
pub(super) fn with(document: &Value, members: Value) -> Value {
    let mut whole = document.clone();
    whole.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    whole
}

impl<'a> Podman<'a> {
    pub(super) fn new(fwd: &'a Fwd) -> Self {
        Self { fwd }
    }

    /// The subnet of a network by its name.
    pub(super) fn subnet(&self, network: &str) -> Value {
        let third = ["front", "back", "vault"].iter().position(|name| *name == network).map_or(9, |place| place + 1);
        json!([{ "subnet": format!("10.7.{third}.0/24"), "gateway": format!("10.7.{third}.1") }])
    }

    /// A network as podman would note it; what is not said is as podman has it.
    pub(super) fn network(&self, members: &Value) -> Value {
        let usual = json!({ "name": "web", "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9", "driver": "fwd",
            "created": "2026-01-01T00:00:00Z", "ipv6_enabled": false, "internal": false, "dns_enabled": false, "options": null,
            "ipam_options": null });
        with(&usual, members.clone())
    }

    /// `podman network create`.
    #[track_caller]
    pub(super) fn create(&self, members: &Value) -> Value {
        let asked = self.network(members);
        let created = self.ok(&["create"], &asked);
        for key in ["name", "id", "driver", "created", "options", "internal", "dns_enabled"] {
            assert_eq!(created[key], asked[key], "{key} is podman's");
        }
        created
    }

    /// A container in a network, with the host `number` of each of its subnets as its addresses.
    pub(super) fn container(&self, container: &Container, network: &Value, number: u8, options: Value) -> Value {
        let subnets = network["subnets"].as_array().expect("a list");
        let address = |subnet: &Value| {
            let subnet = text(&subnet["subnet"]);
            match subnet.split('/').next().and_then(|first| first.parse().ok()).expect("a subnet") {
                IpAddr::V4(first) => IpAddr::V4((first.to_bits() + u32::from(number)).into()),
                IpAddr::V6(first) => IpAddr::V6((first.to_bits() + u128::from(number)).into()),
            }
        };
        let ips: Vec<IpAddr> = subnets.iter().map(address).collect();
        let usual = json!({ "aliases": null, "interface_name": "eth0", "static_ips": ips, "static_mac": null, "options": null });
        json!({ "container_id": container.id, "container_name": "name", "port_mappings": null, "network": network,
            "network_options": with(&usual, options) })
    }

    /// Calls the plugin to its end.
    #[track_caller]
    fn call(&self, words: &[&str], input: &Value) -> Output {
        let binary = binary();
        let argv = [&[binary.to_str().expect("a plain path")], words].concat();
        testbed::run(plugin_command(self.fwd, &argv, &input.to_string()), LIMIT)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The document that a call succeeds with; null if there is none.
    #[track_caller]
    pub(super) fn ok(&self, words: &[&str], input: &Value) -> Value {
        let output = self.call(words, input);
        assert!(output.status.success(), "{words:?} {input}: {}{}", output.stdout, output.stderr);
        if output.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error} in {}", output.stdout))
    }

    /// The call must fail with all words in the one member of one document.
    #[track_caller]
    pub(super) fn fails(&self, words: &[&str], input: &Value, said: &[&str]) {
        let output = self.call(words, input);
        let shown = format!("{words:?} {input}: {}\n{}{}", output.status, output.stdout, output.stderr);
        assert_eq!(output.status.code(), Some(1), "{shown}");
        let error: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!(error.as_object().map(serde_json::Map::len), Some(1), "{shown}");
        let text = error["error"].as_str().unwrap_or_else(|| panic!("no error: {shown}"));
        assert!(said.iter().all(|word| text.contains(word)) && !text.contains('\n'), "{said:?}: {shown}");
    }

    /// Starts a container; the status block.
    #[track_caller]
    pub(super) fn setup(&self, container: &Container, asked: &Value) -> Value {
        self.ok(&["setup", &container.path()], asked)
    }

    /// Stops it.
    #[track_caller]
    pub(super) fn teardown(&self, container: &Container, asked: &Value) {
        assert_eq!(self.ok(&["teardown", &container.path()], asked), Value::Null, "teardown answers nothing");
    }
}
