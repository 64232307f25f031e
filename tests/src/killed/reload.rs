//! `reload` and `--rollback` ended in the middle, before every kind of system call by which they change something: whatever comes next goes on
//! from there, with programs of one build, and `down --all` leaves nothing.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use forwarder::{
    dataplane::{ProgramNames, programs_at},
    testbed,
};
use serde_json::Value;

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, LIMIT, Pod, binary, helper},
    reload::{by, kept, linked, other_build, pinned, pins},
    take_over::{OTHER, become_another_version, other},
};

/// How the helper ends where it has ended the program.
const ENDED: i32 = 99;

/// Where a command is ended: at one place in five, or in as many as `FWD_TEST_PLACES` says: 1 tries all, which takes minutes.
fn places() -> impl Iterator<Item = usize> {
    let step = env::var("FWD_TEST_PLACES").ok().and_then(|step| step.parse().ok()).unwrap_or(5);
    (0..).step_by(step)
}

/// Runs `PROGRAM ARGS…` on this host and ends it at its `place`. What it was about to do; none if it came to its end.
#[track_caller]
pub(crate) fn ended_at(fwd: &Fwd, program: &Path, args: &[&str], place: usize) -> Option<String> {
    let mut command = Command::new(helper());
    command.args(["die-at", &place.to_string()]).arg(program).args(fwd.command(args).get_args()).stdin(Stdio::null());
    let output = testbed::run(command, LIMIT).expect("it runs");
    match output.status.code() {
        Some(ENDED) => Some(output.stderr),
        _ => {
            assert!(output.status.success(), "{args:?} at place {place}: {}", output.stderr);
            None
        }
    }
}

/// Every hook runs a program that is pinned, which the next reload will replace.
#[track_caller]
fn assert_whole(fwd: &Fwd, at: &str) {
    let (pinned, linked) = (pinned(fwd), linked(fwd));
    assert!(linked.is_subset(&pinned), "{at}: {linked:?} run, {pinned:?} are pinned");
    assert!(!pins(fwd).join("progs-new").exists(), "{at}: it says that it was interrupted");
}

fn programs_of(fwd: &Fwd, pod: &Pod) -> Value {
    fwd.json(&["inspect", &pod.name])["programs"].clone()
}

#[test]
fn reload_that_is_ended_anywhere_is_completed_or_undone() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let mut pod = fwd.up("c1", &[]);
    let (this, build) = (binary(), other_build(&fwd, &pod));
    let mut ended = 0;
    for place in places() {
        let at = format!("place {place}");
        let first = pinned(&fwd);
        let Some(what) = ended_at(&fwd, &build, &["reload"], place) else { break };
        let at = format!("{at}, {what}");
        ended += 1;
        assert_eq!(by(&this, &fwd, &["up", "--ns", &pod.name]).0["changed"], false, "{at}");
        match ended % 3 {
            0 => assert_eq!(by(&build, &fwd, &["reload"]).0["after"]["current"], true, "{at}"),
            1 => assert_eq!(by(&this, &fwd, &["reload"]).0["after"]["current"], true, "{at}"),
            // What ran before is brought back, if anything was replaced.
            _ if programs_of(&fwd, &pod)["former"].is_null() => {
                fwd.expect_error(&["reload", "--rollback"], 3, &["none are kept"]);
                assert_eq!(by(&this, &fwd, &["reload"]).0["after"]["current"], true, "{at}");
            }
            _ => {
                by(&this, &fwd, &["reload", "--rollback"]);
                assert_eq!(pinned(&fwd), first, "{at}");
            }
        }
        assert_whole(&fwd, &at);
        assert_reaches_outside(&fwd, &pod);
        // The next one begins with the programs of this build, and with none that are kept.
        fwd.ok(&["down", "--all"]);
        pod = fwd.up("c1", &[]);
    }
    assert!(ended > 3, "{ended} places are not all");
    fwd.ok(&["down", "--all"]);
    fs::remove_file(build).expect("it is there");
    assert_as_before(&fwd, &before);
}

#[test]
fn rollback_that_is_ended_anywhere_is_completed_by_another() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let pod = fwd.up("c1", &[]);
    let (this, build) = (binary(), other_build(&fwd, &pod));
    let mut ended = 0;
    for place in places() {
        if programs_of(&fwd, &pod)["current"] == true {
            by(&build, &fwd, &["reload"]);
        }
        let (new, old) = (pinned(&fwd), kept(&fwd));
        let Some(what) = ended_at(&fwd, &build, &["reload", "--rollback"], place) else { break };
        let at = format!("place {place}, {what}");
        ended += 1;
        let shown = programs_of(&fwd, &pod);
        let is_done = shown["current"] == true;
        let done = by(&build, &fwd, &["reload", "--rollback"]).0;
        assert_eq!(done["after"]["object"], shown["former"], "{at}");
        assert_eq!(pinned(&fwd), if is_done { new.clone() } else { old.clone() }, "{at}");
        assert_eq!(kept(&fwd), if is_done { old } else { new }, "{at}");
        assert_whole(&fwd, &at);
        assert_reaches_outside(&fwd, &pod);
        // Both go on from there.
        for program in [&this, &build] {
            let shown = by(program, &fwd, &["reload"]).0;
            assert_eq!(shown["after"]["current"], true, "{at}");
        }
        assert_whole(&fwd, &at);
    }
    assert!(ended > 3, "{ended} places are not all");
    fwd.ok(&["down", "--all"]);
    fs::remove_file(build).expect("it is there");
    assert_as_before(&fwd, &before);
}

/// What runs is of one version, which is this one or the other.
#[track_caller]
fn assert_one_version(fwd: &Fwd, at: &str) {
    assert_ne!(pins(fwd).join("ready").exists(), other(fwd).join("ready").exists(), "{at}");
    let netlink = fwd.host().netlink().expect("a connection");
    let uplink = netlink.link(&fwd.uplink(0).name).expect("links").expect("it is there");
    let there = fwd.host().run(|| programs_at(&netlink, &uplink, &ProgramNames::read())).expect("programs");
    let names: Vec<_> = there.iter().filter(|it| it.ours).map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["from_uplink", "to_uplink"], "{at}");
}

/// With links at the uplink and a filter at the namespace.
#[test]
fn change_of_versions_that_is_ended_anywhere_leaves_one_at_work() {
    let (fwd, options) = (Fwd::new(), &["--attach", "clsact"][..]);
    let before = snapshot(&fwd);
    let mut ended = [0, 0];
    for (which, args) in [&["reload"][..], &["reload", "--rollback"]].into_iter().enumerate() {
        let mut pod = fwd.up("c1", options);
        become_another_version(&fwd);
        for place in places() {
            if which == 1 {
                fwd.ok(&["reload"]);
            }
            let Some(what) = ended_at(&fwd, &binary(), args, place) else { break };
            let at = format!("{args:?}, place {place}, {what}");
            ended[which] += 1;
            if ended[which] % 4 == 3 {
                fwd.ok(&["down", "--all"]);
                assert_as_before(&fwd, &before);
                pod = fwd.up("c1", options);
                become_another_version(&fwd);
                continue;
            }
            // By whichever version runs, or not at all.
            let up = fwd.call(&["up", "--ns", &pod.name]);
            assert!(up.status.success() || up.stderr.contains(OTHER), "{at}: {}", up.stderr);
            assert_one_version(&fwd, &at);
            let done = fwd.json(&["reload"]);
            assert_eq!(done["after"]["current"], true, "{at}");
            assert_one_version(&fwd, &at);
            assert_whole(&fwd, &at);
            assert_eq!(fwd.json(&["inspect", &pod.name])["attached"], true, "{at}");
            assert_reaches_outside(&fwd, &pod);
            fwd.ok(&["reload", "--rollback"]);
            assert_one_version(&fwd, &at);
        }
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
    }
    assert!(ended.iter().all(|ended| *ended > 3), "{ended:?} places are not all");
}
