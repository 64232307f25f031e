//! Where the programs at an uplink stand among those of others (`fwd uplink add --tcx-order`).

use forwarder::dataplane::{Backend, EmptyProgram, ProgramNames, programs_at};
use serde_json::Value;

use crate::{
    commands::assert_reaches_outside,
    fwd::{Fwd, binary, text},
    killed::reload::ended_at,
    reload::{by, linked, other_build, pinned, under_traffic},
    uplinks::{await_way_out, make_anew},
};

/// The names of the programs at the uplink, as packets meet them: of what comes in, and of what goes out.
fn in_order(fwd: &Fwd) -> [Vec<String>; 2] {
    let netlink = fwd.host().netlink().expect("a connection");
    let uplink = netlink.link("eth0").expect("links").expect("it is there");
    let there = fwd.host().run(|| programs_at(&netlink, &uplink, &ProgramNames::read())).expect("programs");
    [true, false]
        .map(|inbound| there.iter().filter(|it| it.point.is_inbound() == inbound).map(|it| it.name.clone()).collect())
}

/// Another program at both sides, which lets everything pass, before all that are there.
fn another(fwd: &Fwd) -> EmptyProgram {
    let uplink = fwd.host().netlink().and_then(|netlink| netlink.link("eth0")).expect("the kernel tells");
    let mut program = EmptyProgram::load().expect("it loads");
    fwd.host().run(|| program.attach(uplink.expect("it is there").index)).expect("it attaches");
    program
}

const LAST: [&str; 5] = ["uplink", "add", "eth0", "--tcx-order", "last"];
const BEHIND: [[&str; 2]; 2] = [["empty", "from_uplink"], ["empty", "to_uplink"]];
const BEFORE: [[&str; 2]; 2] = [["from_uplink", "empty"], ["to_uplink", "empty"]];

/// What `doctor` complains of at the uplink; nothing if it shows both programs and is content.
fn complaint(fwd: &Fwd) -> Option<String> {
    let shown: Value = serde_json::from_str(&fwd.call(&["doctor", "--json"]).stdout).expect("JSON");
    let checks = shown["checks"].as_array().expect("checks");
    let findings = checks.iter().find(|check| check["check"] == "hooks").and_then(|check| check["findings"].as_array());
    let finding = findings.and_then(|findings| findings.iter().find(|it| text(&it["what"]).starts_with("eth0: ")));
    let finding = finding.expect("it tells who is there");
    (finding["verdict"] != "ok").then(|| text(&finding["what"]))
}

/// They stand like this, which is what was asked for last.
#[track_caller]
fn assert_stand(fwd: &Fwd, expected: [[&str; 2]; 2], order: &str) {
    assert_eq!(in_order(fwd), expected);
    assert_eq!(fwd.list(&["uplink", "ls"])[0]["tcx_order"], order);
}

/// Whether the kernel lets one choose; otherwise that it is refused.
fn has_tcx(fwd: &Fwd) -> bool {
    let has_tcx = fwd.host().run(Backend::of_kernel).expect("it can be asked") == Backend::Tcx;
    if !has_tcx {
        fwd.expect_error(&LAST, 5, &["TCX", "priorities", "leave it out"]);
    }
    has_tcx
}

fn put(fwd: &Fwd, order: &str) -> Value {
    fwd.json(&["uplink", "add", "eth0", "--tcx-order", order])["changed"].clone()
}

#[test]
fn programs_at_an_uplink_stand_where_they_are_asked_to_and_lose_nothing_when_they_move() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    if !has_tcx(&fwd) {
        return;
    }
    let ours = pinned(&fwd);
    let other = another(&fwd);
    // It has come since.
    assert_stand(&fwd, BEHIND, "first");
    assert!(complaint(&fwd).expect("a complaint").contains("`fwd uplink add eth0 --tcx-order first`"));
    under_traffic(&fwd, &pod, |talk| {
        for (asked, expected) in [("first", BEFORE), ("last", BEHIND), ("first", BEFORE), ("last", BEHIND)] {
            talk();
            assert_eq!(put(&fwd, asked), true);
            assert_stand(&fwd, expected, asked);
            assert_eq!(complaint(&fwd), None);
            assert_eq!(put(&fwd, asked), false);
            assert!(linked(&fwd).is_subset(&ours), "those that are pinned run");
        }
        talk();
    });
    // It stays so for other programs of ours, without the option, and where the uplink is made anew.
    let build = other_build(&fwd, &pod);
    assert_eq!(by(&build, &fwd, &["reload"]).0["after"]["current"], true);
    assert_stand(&fwd, BEHIND, "last");
    fwd.ok(&["reload"]);
    fwd.ok(&["uplink", "add", "eth0"]);
    fwd.up("c1", &[]);
    assert_stand(&fwd, BEHIND, "last");
    drop(other);
    make_anew(&fwd);
    let _other = another(&fwd);
    fwd.up("c1", &[]);
    assert_stand(&fwd, BEHIND, "last");
    await_way_out(&fwd, &pod);
    assert_reaches_outside(&fwd, &pod);
    fwd.ok(&["down", "--all"]);
    assert_eq!(in_order(&fwd), [["empty"], ["empty"]]);
}

#[test]
fn move_that_is_ended_anywhere_lets_no_packet_pass_and_is_completed_or_undone() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    if !has_tcx(&fwd) {
        return;
    }
    let (ours, _other) = (pinned(&fwd), another(&fwd));
    let mut ended = 0;
    // One place in two: each takes a while.
    for place in (0..).step_by(2) {
        assert_eq!(put(&fwd, "first"), true);
        let Some(what) = ended_at(&fwd, &binary(), &LAST, place) else { break };
        let at = format!("place {place}, {what}");
        ended += 1;
        for (names, program) in in_order(&fwd).iter().zip(["from_uplink", "to_uplink"]) {
            assert!(names.iter().any(|name| name == program), "{at}: {names:?}");
        }
        fwd.up("c1", &[]);
        for names in in_order(&fwd) {
            assert_eq!(names.len(), 2, "{at}: {names:?}");
        }
        fwd.ok(&LAST);
        assert_stand(&fwd, BEHIND, "last");
        assert!(linked(&fwd).is_subset(&ours), "{at}: those that are pinned run");
        assert_reaches_outside(&fwd, &pod);
    }
    assert!(ended > 3, "{ended} places are not all");
    fwd.ok(&["down", "--all"]);
    assert_eq!(in_order(&fwd), [["empty"], ["empty"]]);
}
