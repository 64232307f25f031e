//! `fwd uplink`: what networks leave by is shown, and changed.

use serde_json::{Value, json};

use super::{host, with_uplinks};
use crate::{
    fwd::{Fwd, answers, pings},
    uplinks::ip,
};

const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;

fn shown(fwd: &Fwd, uplink: &str) -> Value {
    let listed = fwd.list(&["uplink", "ls"]);
    listed.into_iter().find(|it| it["uplink"] == uplink).unwrap_or(Value::Null)
}

#[test]
fn uplinks_are_listed_with_who_asked_for_them_and_what_is_missing() {
    let fwd = with_uplinks(3);
    assert!(fwd.ok(&["uplink", "ls"]).contains("no uplinks"));
    let pod = fwd.up("c1", &[]);
    assert_eq!(pod.shown["leaves_by"], json!(["eth0", "eth1"]));
    assert!(fwd.ok(&["ls"]).contains("uplink eth0, eth1 (routes)"));
    assert!(fwd.ok(&["inspect", &pod.name]).contains("eth0, eth1 (routes)"));
    let eth0 = shown(&fwd, "eth0");
    assert_eq!((&eth0["networks"], &eth0["by"]), (&json!(["fwd0"]), &json!(["route"])));
    assert_eq!((&eth0["guarded"], &eth0["state"]), (&json!(true), &json!("up")));
    assert_eq!(eth0["address"], fwd.uplink(0).address.to_string());
    assert_eq!(shown(&fwd, "eth2"), Value::Null, "no route leads by it");
    ip(&fwd, "route add 198.18.2.0/24 dev eth2");
    let eth2 = shown(&fwd, "eth2");
    assert_eq!((&eth2["guarded"], &eth2["by"]), (&json!(false), &json!(["route"])));
    assert!(fwd.ok(&["uplink", "ls"]).contains("uplink add eth2"));
    let planned = fwd.ok(&["uplink", "add", "eth2", "--dry-run"]);
    assert!(planned.contains("to_uplink") && planned.contains("eth2"), "{planned}");
    assert!(fwd.ok(&["uplink", "add", "eth2"]).contains("the uplinks are eth0, eth1, eth2"));
    assert!(pings(&pod, fwd.uplink(2).gateway));
    assert_eq!(shown(&fwd, "eth2")["by"], json!(["route", "command"]));
    assert!(fwd.ok(&["uplink", "add", "eth2"]).starts_with("nothing changed"));
    ip(&fwd, "route flush dev eth2");
    fwd.ok(&["uplink", "rm", "eth2"]);
    assert_eq!(shown(&fwd, "eth2"), Value::Null);
    assert_eq!(fwd.on_host(&["sysctl", "-n", "net.ipv4.conf.eth2.forwarding"]).trim(), "0");
    fwd.expect_error(&["uplink", "rm", "eth2"], NOT_FOUND, &["eth2", "uplink ls"]);
    fwd.expect_error(&["uplink", "rm", "eth0"], CONFLICT, &["network fwd0"]);
    fwd.expect_error(&["uplink", "add", "eth9"], NOT_FOUND, &["eth9"]);
    fwd.ok(&["down", "--all"]);
    fwd.expect_error(&["uplink", "add", "eth1"], NOT_FOUND, &["no network is up", "up --ns"]);
}

/// What is bound leaves by its uplink alone; but replies may come in by another one.
#[test]
fn bound_network_is_not_led_by_an_uplink_that_was_added() {
    let fwd = host();
    let pod = fwd.up("c1", &["--uplink", "eth0"]);
    assert_eq!(pod.shown["leaves_by"], json!(["eth0"]));
    assert_eq!(shown(&fwd, "eth1"), Value::Null);
    fwd.ok(&["uplink", "add", "eth1"]);
    assert_eq!(shown(&fwd, "eth1")["by"], json!(["command"]));
    assert!(!answers(&pod, fwd.uplink(1).gateway), "eth0 leads elsewhere");
}
