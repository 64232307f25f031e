//! `fwd features`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    commands::{assert_as_before, snapshot},
    fwd::Fwd,
};

/// The features that have this value for `support`.
fn with_support<'a>(features: &'a [Value], support: &str) -> Vec<&'a Value> {
    features.iter().filter(|feature| feature["support"] == support).collect()
}

#[test]
fn features_are_asked_for_without_a_change() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let features = fwd.list(&["features"]);
    assert_as_before(&fwd, &before);
    assert_eq!(with_support(&features, "unknown"), [&Value::Null; 0], "root may ask for everything");
    let names: BTreeSet<&str> = features.iter().filter_map(|feature| feature["feature"].as_str()).collect();
    assert_eq!(names.len(), features.len());
    assert!(fwd.ok(&["features"]).contains("bpf_loop"));
}

#[test]
fn what_features_say_is_what_up_does() {
    let fwd = Fwd::new();
    let features = fwd.list(&["features"]);
    let is_of_tc = |feature: &&Value| feature["parts"].as_array().is_some_and(|parts| parts.contains(&json!("tc")));
    let needed = features.iter().filter(|feature| feature["without"] == "refused").filter(is_of_tc);
    let missing: Vec<_> = needed.filter(|feature| feature["support"] != "supported").collect();
    let up = fwd.call(&["up", "--ns", &fwd.name("c1"), "--datapath", "tc"]);
    assert_eq!(up.status.success(), missing.is_empty(), "{missing:?}: {}", up.stderr);
}
