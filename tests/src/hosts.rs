//! Several hosts of one run directory, and what is left of one that is gone.

use std::{fs, path::PathBuf};

use forwarder::{
    dataplane::RunDir,
    execute::{self, HostContext, Unobserved},
    netns::{Name, Netns},
    query::{HostNetns, State},
    reconcile::{TargetRef, UpRequest},
    testbed::wait_until,
};
use serde_json::Value;

use crate::{
    commands::{assert_as_before, exists, snapshot},
    fwd::{Fwd, LIMIT, inside, open},
    run_dir::{beside, succeeds},
};

/// What `fwd ls --all-hosts` says of the host with a cookie.
fn host(fwd: &Fwd, cookie: u64) -> Value {
    let hosts = fwd.list(&["ls", "--all-hosts"]);
    hosts.into_iter().find(|host| host["cookie"] == cookie).unwrap_or(Value::Null)
}

/// A namespace that is called after the testbed of `fwd`, on another host of the same run directory. Its host is held by the handle alone.
fn on_another_host(fwd: &Fwd, datapath: &str, names: &[&str]) -> (Netns, u64) {
    let other = Fwd::new();
    for name in names {
        let up = ["--json", "up", "--ns", &fwd.name(name), "--datapath", datapath];
        succeeds(&beside(&other, &fwd.pins(), &up));
    }
    let cookie = other.host().cookie().expect("a cookie");
    let shown = host(fwd, cookie);
    assert_eq!((&shown["exists"], &shown["endpoints"]), (&true.into(), &names.len().into()), "{shown}");
    assert_eq!(shown["names"][0].as_str(), Some(other.host().name().as_str()));
    (other.host().try_clone().expect("a handle"), cookie)
}

fn pins(fwd: &Fwd, cookie: u64) -> PathBuf {
    RunDir::new(fwd.pins()).host(cookie)
}

#[track_caller]
fn await_gone(fwd: &Fwd, cookie: u64) {
    // The kernel takes a namespace apart in its own time.
    let gone = || Ok((host(fwd, cookie)["exists"] == false).then_some(()));
    wait_until(LIMIT, "the host is gone", gone).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn pins_of_a_host_that_is_gone_go_with_the_next_command_and_the_rest_with_gc() {
    for datapath in ["tc", "kernel"] {
        let fwd = Fwd::new();
        let before = snapshot(&fwd);
        fwd.up("own", &[]);
        let (held, cookie) = on_another_host(&fwd, datapath, &["empty", "used"]);
        inside(&open(&fwd.name("used")), &["ip", "link", "add", "br0", "type", "bridge"]);
        // Nobody is inside, it has no name any more: only we hold it.
        for command in [&["gc"][..], &["up", "--ns", &fwd.name("own")], &["down", &fwd.name("nobody")]] {
            fwd.ok(command);
            assert_eq!(host(&fwd, cookie)["exists"], true, "{command:?} took a host for gone that lives");
            assert!(pins(&fwd, cookie).exists(), "{command:?} collected a host that lives");
        }
        drop(held);
        await_gone(&fwd, cookie);
        assert!(fwd.ok(&["ls", "--all-hosts"]).contains(" gc"), "no way out is shown");
        fwd.up("own", &[]);
        assert!(!pins(&fwd, cookie).exists(), "its pins are still there");
        // Nobody's namespace disappears because of a command that is about another.
        assert!(exists(&fwd.name("empty")) && exists(&fwd.name("used")));
        let collected = fwd.json(&["gc"]);
        let text = collected.to_string();
        assert!(text.contains(&format!("namespace {}", fwd.name("empty"))), "{text}");
        assert!(!exists(&fwd.name("empty")) && exists(&fwd.name("used")));
        assert_eq!(fwd.json(&["gc"])["changed"], false);
        Netns::delete_named(&Name::try_from(fwd.name("used").as_str()).expect("a name")).expect("deleted");
        assert_eq!(fwd.list(&["ls", "--all-hosts"]).len(), 1);
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
    }
}

#[test]
fn gc_alone_collects_everything_of_a_host_that_is_gone() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let (held, cookie) = on_another_host(&fwd, "tc", &["c1"]);
    drop(held);
    await_gone(&fwd, cookie);
    assert!(fwd.ok(&["doctor"]).contains("left of 1 host whose namespace is gone: `fwd gc`"));
    let collected = fwd.json(&["gc"]);
    assert_eq!(collected["hosts"][0]["cookie"], cookie, "{collected}");
    assert_as_before(&fwd, &before);
}

#[test]
fn pins_that_do_not_tell_are_left_to_gc() {
    let fwd = Fwd::new();
    fwd.up("own", &[]);
    // What a command leaves that is killed before it has made a map.
    let cookie = u64::MAX;
    fs::create_dir_all(RunDir::new(fwd.pins()).of(cookie)).expect("directories");
    fwd.up("own", &[]);
    assert!(pins(&fwd, cookie).exists());
    assert_eq!(host(&fwd, cookie)["exists"], Value::Null);
    fwd.ok(&["gc"]);
    assert!(!pins(&fwd, cookie).exists());
    fwd.ok(&["down", "--all"]);
}

#[test]
fn host_is_asked_and_changed_from_elsewhere() {
    let fwd = Fwd::new();
    let own = || Netns::current().and_then(|ns| ns.cookie()).expect("a cookie");
    let before = own();
    let at = HostNetns::open(Some(fwd.host().name().as_str()), &fwd.pins()).expect("a host");
    let request = UpRequest::new(TargetRef::Named(Name::try_from(fwd.name("c1").as_str()).expect("a name")));
    let up = |at: &HostNetns| execute::up(&HostContext::new(at.run_dir.clone()), &request, &mut Unobserved);
    assert!(at.run(up).expect("it is up").changed);
    let shown = at.run(|at| State::read(at)?.map(|state| state.views()).transpose());
    assert_eq!(shown.expect("it is read").map(|views| views.len()), Some(1));
    assert_eq!(own(), before, "the caller has stayed where he was");
    fwd.ok(&["down", "--all"]);
}
