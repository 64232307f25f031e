//! `fwd features`, `fwd completions` and `fwd man`.

use std::{collections::BTreeSet, fs, process::Command};

use forwarder::testbed;
use serde_json::{Value, json};

use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, LIMIT, binary},
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

#[test]
fn bash_completes_options_and_their_values() {
    let script = "source <($0 completions bash)\n\
                  COMP_WORDS=(fwd up --dat) COMP_CWORD=2; _fwd fwd --dat up; echo \"${COMPREPLY[*]}\"\n\
                  COMP_WORDS=(fwd up --datapath x) COMP_CWORD=3; _fwd fwd x --datapath; echo \"${COMPREPLY[*]}\"\n\
                  COMP_WORDS=(fwd inspe) COMP_CWORD=1; _fwd fwd inspe fwd; echo \"${COMPREPLY[*]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script]).arg(binary());
    let output = testbed::run(bash, LIMIT).expect("bash");
    assert_eq!(output.stdout, "--datapath\nxdp\ninspect\n", "{}", output.stderr);
}

#[test]
fn manual_pages_are_written_where_one_says() {
    let fwd = Fwd::new();
    let directory = fwd.run_dir().join("man");
    fs::create_dir(&directory).expect("a directory");
    let written = fwd.ok(&["man", &directory.display().to_string()]);
    assert_eq!(written.lines().count(), fs::read_dir(&directory).expect("pages").count());
    let page = fs::read_to_string(directory.join("fwd-up.1")).expect("a page");
    assert!(page.contains(r"\-\-datapath") && page.contains("1024"), "{page}");
    fwd.expect_error(&["man", "/nonexistent"], 3, &["no such directory", "mkdir -p /nonexistent"]);
}
