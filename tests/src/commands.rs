//! `up`, `down` and their company as users type them, in every order and against what others do meanwhile.

use std::thread;

use forwarder::{
    dataplane::RunDir,
    netns::{Name, named},
    testbed::{self, Snapshot},
};
use serde_json::{Value, json};

use crate::fwd::{Fwd, LIMIT, Pod, inside, open, pings};

pub(crate) fn snapshot(fwd: &Fwd) -> Snapshot {
    fwd.snapshot().expect("a snapshot")
}

/// The host looks as it did.
#[track_caller]
pub(crate) fn assert_as_before(fwd: &Fwd, before: &Snapshot) {
    assert_eq!(before.diff(&snapshot(fwd)), [""; 0]);
}

#[track_caller]
pub(crate) fn assert_reaches_outside(fwd: &Fwd, pod: &Pod) {
    assert!(pings(pod, fwd.uplink(0).outside[0]), "{} does not reach the outside", pod.name);
}

pub(crate) fn exists(name: &str) -> bool {
    named().expect("a list").contains(&Name::try_from(name).expect("a name"))
}

#[test]
fn second_up_changes_nothing() {
    let fwd = Fwd::new();
    let first = fwd.up("c1", &["--uplink", "eth0"]);
    assert_eq!(first.shown["changed"], true);
    let between = snapshot(&fwd);
    for options in [&[][..], &["--uplink", "eth0", "--network", "fwd0", "--ip", "10.77.0.2"]] {
        let second = fwd.up("c1", options);
        assert_eq!(second.shown["changed"], false);
        assert_eq!((second.address, &second.host_if), (first.address, &first.host_if));
        assert_as_before(&fwd, &between);
    }
    assert_reaches_outside(&fwd, &first);
}

/// Runs `fwd ARGS…`: whether it read everything there is on the host.
#[track_caller]
fn reads_everything(fwd: &Fwd, args: &[&str]) -> bool {
    let mut command = fwd.command(args);
    command.env("FWD_LOG", "debug");
    let output = testbed::run(command, LIMIT).expect("it runs");
    assert!(output.status.success(), "fwd {args:?}: {}", output.stderr);
    output.stderr.contains("reading everything")
}

#[test]
fn commands_about_one_namespace_look_at_nothing_else() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let pod = fwd.up("c1", &[]);
    let between = snapshot(&fwd);
    let (c2, c3) = (fwd.name("c2"), fwd.name("c3"));
    for args in [&["up", &c2][..], &["up", &c2], &["up", &c2, "--dry-run"], &["down", &c2]] {
        assert!(!reads_everything(&fwd, args), "fwd {args:?}");
    }
    // Of what is not up there may be remains.
    assert!(reads_everything(&fwd, &["down", &c2]));
    assert_as_before(&fwd, &between);
    // Where anything is unusual, all is read, and all is found.
    for args in [&["up", &c3, "--network", "web"][..], &["up", &c2, "--ip", "10.77.0.9"], &["down", "--all"]] {
        let unusual = args.contains(&"web") || args.contains(&"--all");
        assert_eq!(reads_everything(&fwd, args), unusual, "fwd {args:?}");
    }
    drop(pod);
    assert_as_before(&fwd, &before);
    for (words, unusual, mended) in [
        // A former host-side veth, a bridge that somebody deleted, and one that nobody recorded.
        (&["ip", "link", "del", "HOST_VETH"][..], true, false),
        (&["ip", "link", "del", "fwd0"], true, true),
        (&["ip", "link", "add", "fwdx", "type", "bridge"], false, true),
    ] {
        let pod = fwd.up("c1", &[]);
        let words: Vec<&str> =
            words.iter().map(|word| if *word == "HOST_VETH" { pod.host_if.as_str() } else { word }).collect();
        fwd.on_host(&words);
        if words.contains(&"add") {
            let owner = RunDir::new(fwd.pins()).owner().expect("a directory of ours");
            fwd.on_host(&["ip", "link", "set", "fwdx", "alias", &format!("fwd1:{owner:08x}:net:x")]);
        }
        assert_eq!(reads_everything(&fwd, &["up", &c2]), unusual, "{words:?}");
        let other = Pod { ns: open(&c2), name: c2.clone(), ..fwd.up("c2", &[]) };
        assert_reaches_outside(&fwd, &other);
        if mended {
            assert_reaches_outside(&fwd, &pod);
        }
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
    }
}

#[test]
fn name_of_a_host_veth_that_somebody_took_is_noticed() {
    let fwd = Fwd::new();
    fwd.up("c1", &[]);
    let taken = fwd.up("c2", &[]).host_if;
    fwd.down("c2");
    fwd.on_host(&["ip", "link", "add", &taken, "type", "bridge"]);
    let name = fwd.name("c2");
    fwd.expect_error(&["up", "--ns", &name, "--ip", "10.77.0.3"], 4, &[&taken, "--ip"]);
    fwd.up("c2", &[]);
}

#[test]
fn down_all_leaves_the_host_as_it_was() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let pods = [fwd.up("c1", &[]), fwd.up("c2", &[]), fwd.up("c3", &["--network", "web", "--subnet", "10.9.0.0/29"])];
    for pod in &pods {
        assert_reaches_outside(&fwd, pod);
    }
    assert_eq!(pods[2].address.to_string(), "10.9.0.2");
    fwd.ok(&["down", "--all"]);
    assert!(pods.iter().all(|pod| !exists(&pod.name)));
    assert_as_before(&fwd, &before);
    assert_eq!(fwd.list(&["ls"]), [Value::Null; 0]);
}

#[test]
fn second_down_has_nothing_to_do_and_suggests_what_was_meant() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let (one, _two) = (fwd.up("web", &[]), fwd.up("db", &[]));
    fwd.down("db");
    let text = fwd.ok(&["down", "--ns", &fwd.name("db")]);
    assert!(text.contains("nothing to do"), "{text}");
    let text = fwd.ok(&["down", "--ns", &fwd.name("wep")]);
    assert!(text.contains("nothing to do") && text.contains(&one.name), "{text}");
    assert_reaches_outside(&fwd, &one);
    fwd.down("web");
    fwd.down("web");
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn down_after_the_namespace_was_deleted_by_hand() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    drop(one.ns);
    fwd.on_host(&["ip", "netns", "del", &one.name]);
    assert_reaches_outside(&fwd, &two);
    fwd.down("c1");
    assert_reaches_outside(&fwd, &two);
    fwd.down("c2");
    assert_as_before(&fwd, &before);
}

#[test]
fn down_after_the_interface_was_deleted_by_hand() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    fwd.on_host(&["ip", "link", "del", &one.host_if]);
    inside(&two, &["ip", "link", "del", "eth0"]);
    fwd.down("c1");
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn down_after_the_bridge_was_deleted_by_hand() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    fwd.up("c1", &[]);
    fwd.on_host(&["ip", "link", "del", "fwd0"]);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn network_goes_on_without_a_namespace_that_was_deleted_and_takes_it_back() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    assert_reaches_outside(&fwd, &one);
    drop(one.ns);
    fwd.on_host(&["ip", "netns", "del", &one.name]);
    assert_reaches_outside(&fwd, &two);
    let again = fwd.up("c1", &[]);
    assert_eq!(again.shown["changed"], true);
    assert_reaches_outside(&fwd, &again);
    assert!(pings(&two, again.address));
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn twenty_at_once() {
    const NUMBER: usize = 20;
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let names: Vec<String> = (0..NUMBER).map(|number| fwd.name(&format!("c{number}"))).collect();
    let all = |command: &str| {
        thread::scope(|scope| {
            for name in &names {
                let fwd = &fwd;
                scope.spawn(move || fwd.ok(&[command, "--ns", name]));
            }
        });
    };
    all("up");
    let listed = fwd.list(&["ls"]);
    let mut addresses: Vec<_> = listed.iter().map(|item| item["addresses"][0].to_string()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!((listed.len(), addresses.len()), (NUMBER, NUMBER), "each has an address of its own");
    for name in &names {
        assert!(pings(&open(name), fwd.uplink(0).outside[0]), "{name} reaches the outside");
    }
    all("down");
    assert_as_before(&fwd, &before);
}

#[test]
fn ups_and_downs_of_one_namespace_at_once_end_in_one_of_both() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let name = fwd.name("c1");
    thread::scope(|scope| {
        for number in 0..10 {
            let command = if number % 2 == 0 { "up" } else { "down" };
            let (fwd, name) = (&fwd, &name);
            scope.spawn(move || fwd.ok(&[command, "--ns", name]));
        }
    });
    let pod = fwd.up("c1", &[]);
    assert_reaches_outside(&fwd, &pod);
    fwd.down("c1");
    assert_as_before(&fwd, &before);
}

#[test]
fn dry_run_shows_the_plan_and_changes_nothing() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let name = fwd.name("c1");
    let steps = fwd.list(&["up", "--ns", &name, "--dry-run"]);
    let commands = json!(steps).to_string();
    for words in ["ip netns add", "type veth", "10.77.0.1/24", "default via 10.77.0.1", "net.ipv4.conf"] {
        assert!(commands.contains(words), "{words} is missing in {steps:#?}");
    }
    assert_as_before(&fwd, &before);
    assert!(!exists(&name));
    let pod = fwd.up("c1", &[]);
    let between = snapshot(&fwd);
    assert!(fwd.ok(&["up", "--ns", &name, "--dry-run"]).contains("nothing to do"));
    assert!(!fwd.list(&["down", "--all", "--dry-run"]).is_empty());
    assert_as_before(&fwd, &between);
    assert_reaches_outside(&fwd, &pod);
}
