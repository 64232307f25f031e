//! The last `down` leaves no program and no map behind in the kernel.

use std::fs;

use forwarder::lab::wait_until;
use serde_json::Value;

use crate::fwd::{Fwd, LIMIT, inside, number, try_inside};

#[test]
fn last_down_frees_every_program_and_map() {
    let fwd = Fwd::new();
    fwd.up("c1", &[]);
    let mut pins = fs::read_dir(fwd.pins().join("bpf")).expect("the bpffs").flatten();
    let programs = pins.find_map(|entry| Some(entry.path().join("progs")).filter(|path| path.exists()));
    let mut ids: Vec<(&str, u64)> = Vec::new();
    for pin in fs::read_dir(programs.expect("pinned programs")).expect("programs").flatten() {
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
