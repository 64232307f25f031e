//! Programs and maps in the kernel: only those that something needs, and none after the last `down`.

use std::{collections::BTreeSet, fs, path::PathBuf};

use forwarder::{
    dataplane::{RunDir, record_pins},
    testbed::wait_until,
};
use serde_json::Value;

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, LIMIT, inside, number, try_inside},
};

#[test]
fn last_down_frees_every_program_and_map() {
    let fwd = Fwd::new();
    fwd.up("c1", &[]);
    let mut ids: Vec<(&str, u64)> = Vec::new();
    for pin in fs::read_dir(pin_directory(&fwd, "progs")).expect("programs").flatten() {
        let path = pin.path().display().to_string();
        let shown = inside(fwd.host(), &["bpftool", "-j", "prog", "show", "pinned", &path]);
        let shown: Value = serde_json::from_str(&shown).expect("JSON of bpftool");
        ids.push(("prog", number(&shown["id"])));
        ids.extend(shown["map_ids"].as_array().into_iter().flatten().map(|id| ("map", number(id))));
    }
    assert!(ids.iter().any(|(what, _)| *what == "map") && ids.len() > 10, "{ids:?}");
    fwd.ok(&["down", "--all"]);
    // The kernel frees them a moment after their last user is gone.
    wait_until(LIMIT, "programs and maps are freed", || {
        let there = |(what, id): &(&str, u64)| {
            try_inside(fwd.host(), &["bpftool", what, "show", "id", &id.to_string()]).status.success()
        };
        Ok((!ids.iter().any(there)).then_some(()))
    })
    .unwrap();
}

/// A directory of the host's own pins.
pub(crate) fn pin_directory(fwd: &Fwd, directory: &str) -> PathBuf {
    RunDir::new(fwd.pins()).of(fwd.host().cookie().expect("a cookie")).join(directory)
}

/// The names of the pins in a directory of the host's own.
fn pins(fwd: &Fwd, directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(pin_directory(fwd, directory)).expect("pins").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn kernel_datapath_loads_no_program_and_no_flow_table_until_a_network_needs_them() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let one = fwd.up("c1", &["--datapath", "kernel"]);
    let records = pins(&fwd, "maps");
    assert_eq!(records, record_pins().map(str::to_owned).collect());
    let none = BTreeSet::new();
    assert_eq!((&pins(&fwd, "progs"), &pins(&fwd, "links")), (&none, &none));
    assert_reaches_outside(&fwd, &one);
    let inspected = fwd.json(&["inspect", &one.name]);
    assert!(inspected["table"].is_null() && inspected["flows"].is_null(), "{inspected}");
    assert_eq!(fwd.list(&["flows"]), [Value::Null; 0]);
    fwd.expect_error(&["stats", "--nat"], 3, &["flow table"]);
    let between = snapshot(&fwd);
    // In place: what is up goes on.
    let two = fwd.up("c2", &["--network", "fast", "--datapath", "tc", "--max-flows", "1000"]);
    assert!(pins(&fwd, "progs").contains("from_ns") && pins(&fwd, "maps").contains("FLOW_SLOTS"));
    assert_reaches_outside(&fwd, &one);
    assert_reaches_outside(&fwd, &two);
    assert!(fwd.counted("from_ns", "forwarded", None) > 0);
    assert_eq!(number(&fwd.json(&["inspect", &one.name])["table"]["max_flows"]), 1000);
    fwd.down("c2");
    assert_eq!(pins(&fwd, "maps"), records);
    assert_as_before(&fwd, &between);
    assert_reaches_outside(&fwd, &one);
    fwd.down("c1");
    assert_as_before(&fwd, &before);
}
