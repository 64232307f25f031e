//! Files of which a part cannot be: the rest is made all the same.

use serde_json::Value;

use super::{Files, kinds};
use crate::{
    commands::{assert_as_before, exists, snapshot},
    fwd::{Fwd, inside, open, pings, text},
};

const FILE: &str = r#"
    [networks.web]
    [[endpoints]]
    ns = "@a"
    network = "web"
    [[endpoints]]
    ns = "@b"
    network = "web"
"#;

/// What of `fwd apply` and `plan` is shown although a part cannot be; with the error.
#[track_caller]
fn partly(output: &forwarder::testbed::Output) -> (Value, String) {
    let said = format!("{}\n{}{}", output.status, output.stdout, output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    let error: Value = serde_json::from_str(&output.stderr).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(error["error"]["code"], "partly", "{said}");
    (
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")),
        text(&error["error"]["message"]),
    )
}

#[test]
fn no_namespace_keeps_the_others_from_what_they_are_to_be() {
    let fwd = Fwd::new();
    let files = Files::of(&fwd);
    let before = snapshot(&fwd);
    files.apply(FILE);
    let [a, b] = ["a", "b"].map(|role| open(&fwd.name(role)));
    // Root inside of a makes room for an interface of that name; and a process has ended.
    for line in [["set", "eth0", "down"].as_slice(), &["set", "eth0", "name", "x0"], &["add", "eth0", "type", "bridge"]]
    {
        inside(&a, &[&["ip", "link"], line].concat());
    }
    inside(&a, &["ip", "link", "set", "x0", "up"]);
    let changed = FILE.replace(
        "ns = \"@b\"",
        "ns = \"@b\"\ndeny-out = [\"any:53/udp\"]\nnetwork = \"web\"\n[[endpoints]]\npid = 4194304\nnetwork = \"web\"\n[[endpoints]]\nns = \"@c\"",
    );
    let path = files.write("network.toml", &changed);
    for command in ["plan", "apply"] {
        let (shown, message) = partly(&fwd.call(&["--json", command, "-f", &path]));
        assert_eq!(kinds(&fwd, &shown), ["change b", "make c", "refuse a", "refuse pid 4194304"], "{shown}");
        let why = text(&shown["changes"][2]["why"]);
        assert!(why.starts_with(&format!("{path}:3:5: ")) && why.contains("interface eth0 of its own"), "{why}");
        assert!(message.contains(&why) && message.contains("4194304"), "{message}");
    }
    let c = open(&fwd.name("c"));
    assert!(pings(&b, fwd.uplink(0).outside[0]) && pings(&c, fwd.uplink(0).outside[0]));
    let rules = &fwd.json(&["inspect", &fwd.name("b")])["rules"];
    assert!(rules.to_string().contains("deny-out any:53/udp"), "{rules}");
    let shown = fwd.call(&["apply", "-f", &path]);
    assert!(
        shown.stdout.contains("! ") && shown.stderr.contains("cannot apply 2 parts"),
        "{}{}",
        shown.stdout,
        shown.stderr
    );
    // Once it is as it was, the same file is made whole.
    inside(&a, &["ip", "link", "delete", "eth0"]);
    let (shown, _) = partly(&fwd.call(&["--json", "apply", "-f", &path]));
    assert_eq!(kinds(&fwd, &shown), ["replace a", "refuse pid 4194304"]);
    assert!(pings(&a, fwd.uplink(0).outside[0]));
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn endpoint_of_which_something_fails_is_as_it_was_and_the_others_are_made() {
    let fwd = Fwd::new();
    let files = Files::of(&fwd);
    let before = snapshot(&fwd);
    files.apply(FILE);
    let a = open(&fwd.name("a"));
    let former = inside(&a, &["ip", "-brief", "addr", "show", "eth0"]);
    let changed = FILE.replacen("ns = \"@a\"", "ns = \"@a\"\nallow-spoof = true\ndeny-out = [\"any:53\"]", 1)
        + "    [[endpoints]]\n    ns = \"@c\"\n    network = \"web\"\n";
    let path = files.write("network.toml", &changed);
    // Whoever is root inside of a is quicker than the next operation.
    let name = fwd.name("a");
    let (operation, meddle) = (format!("set up eth0 in namespace {name}"), format!("ip -n {name} link del eth0"));
    let (shown, message) =
        partly(&fwd.observed(&["meanwhile", &operation, &meddle], &["--json", "apply", "-f", &path]));
    assert_eq!(kinds(&fwd, &shown), ["make c", "fail a"], "{shown}");
    assert!(message.contains(&name) && shown["changes"][1]["what"].to_string().contains("as it was before"), "{shown}");
    assert_eq!(
        inside(&a, &["ip", "-brief", "addr", "show", "eth0"]).split_whitespace().nth(2),
        former.split_whitespace().nth(2)
    );
    let shown = fwd.json(&["inspect", &name]);
    assert_eq!(shown["allow_spoof"], false);
    assert!(shown["rules"].to_string().contains("deny-out any:53"), "its rules are the new ones all the same: {shown}");
    for role in ["a", "b", "c"] {
        assert!(pings(&open(&fwd.name(role)), fwd.uplink(0).outside[0]), "{role}");
    }
    // One that was not there leaves nothing, and the interface of the other is in nobody's way.
    let name = fwd.name("d");
    let path =
        files.write("network.toml", &format!("{changed}    [[endpoints]]\n    ns = \"@d\"\n    network = \"web\"\n"));
    let (operation, meddle) = (format!("set up eth0 in namespace {name}"), format!("ip -n {name} link del eth0"));
    let (shown, _) = partly(&fwd.observed(&["meanwhile", &operation, &meddle], &["--json", "apply", "-f", &path]));
    assert_eq!(kinds(&fwd, &shown), ["replace a", "fail d"], "{shown}");
    assert!(!exists(&name));
    fwd.ok(&["apply", "-f", &path]);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}
