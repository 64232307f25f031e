//! Namespaces that are prepared, and taken by the next `up`: `fwd pool`.

use std::{fs, path::Path, process::Stdio};

use forwarder::{
    netns::{DIRECTORY, Name, Netns, named},
    testbed::{Process, command_in},
};
use serde_json::{Value, json};

use crate::{
    commands::{assert_as_before, assert_reaches_outside, exists, snapshot},
    fwd::{Fwd, inside, open, text},
};

/// Prepares so many, and returns what is in the pool then.
#[track_caller]
fn prepare(fwd: &Fwd, size: usize, options: &[&str]) -> Vec<Value> {
    let filled = fwd.json(&[&["pool", &size.to_string()], options].concat());
    assert_eq!(filled["size"], size, "{filled}");
    fwd.list(&["pool", "ls"])
}

/// Names of this host's namespaces that are in a pool, or were left by one.
fn pooled(fwd: &Fwd) -> Vec<String> {
    let prefix = format!("{}-pool-", fwd.host().name());
    let names = named().expect("a list").into_iter().map(|name| name.to_string());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

#[test]
fn up_takes_what_was_prepared() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    assert_eq!(fwd.json(&["pool", "3", "--refill"])["up"], false, "there is no network to prepare for");
    assert_as_before(&fwd, &before);
    let ready = prepare(&fwd, 2, &[]);
    assert_eq!(ready.iter().map(|it| text(&it["ns"])).collect::<Vec<_>>(), pooled(&fwd));
    assert!(ready.iter().all(|it| it["changed"].is_null() && it["attach"] == "tcx"), "{ready:?}");
    assert_eq!((fwd.list(&["ls"]).len(), &fwd.list(&["network", "ls"])[0]["pooled"]), (0, &json!(2)));
    let shown = fwd.ok(&["ls"]);
    assert!(shown.contains("pool of 2"), "{shown}");
    let planned = fwd.ok(&["up", "--ns", &fwd.name("c1"), "--dry-run"]);
    assert!(planned.contains(&format!("take namespace {} of the pool", text(&ready[0]["ns"]))), "{planned}");
    let (one, other) = (fwd.up("c1", &["-p", "8080:80", "--rate-out", "100M"]), fwd.up("c2", &[]));
    for (pod, from) in [(&one, &ready[0]), (&other, &ready[1])] {
        assert_eq!((&pod.shown["from_pool"], &pod.shown["host_if"]), (&from["ns"], &from["host_if"]));
        assert_eq!((&pod.shown["ns_created"], &pod.shown["changed"]), (&json!(true), &json!(true)));
        assert_reaches_outside(&fwd, pod);
    }
    assert_eq!(one.shown["published"], json!(["8080:80/tcp"]));
    assert_eq!(one.shown["rate_out"]["rate"], 100_000_000);
    assert_eq!((pooled(&fwd), fwd.list(&["pool", "ls"]).len()), (Vec::new(), 0));
    assert_eq!(fwd.up("c1", &[]).shown["changed"], false);
    let third = fwd.up("c3", &[]);
    assert_eq!(third.shown["from_pool"], Value::Null, "the pool is empty");
    assert_eq!(fwd.json(&["pool", "2", "--refill"])["made"], 2);
    fwd.down("c1");
    assert!(!exists(&one.name), "what was taken goes as what was made");
    // Commands about everything know what nobody was given.
    fwd.ok(&["reload"]);
    fwd.ok(&["graph"]);
    fwd.down("c2");
    fwd.down("c3");
    assert_reaches_outside(&fwd, &fwd.up("c1", &[]));
    assert_eq!(fwd.json(&["pool", "rm"])["changed"], true);
    assert_eq!(pooled(&fwd), [""; 0]);
    prepare(&fwd, 3, &[]);
    assert_eq!(fwd.json(&["pool", "1"])["removed"], 2);
    fwd.ok(&["down", "--all"]);
    assert_eq!(pooled(&fwd), [""; 0]);
    assert_as_before(&fwd, &before);
}

#[test]
fn what_does_not_fit_or_was_meddled_with_is_left_alone() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let ready = prepare(&fwd, 1, &["--network", "web"]);
    let name = text(&ready[0]["ns"]);
    let made = |role: &str, options: &[&str]| fwd.up(role, options).shown["from_pool"].is_null();
    for options in
        [&["--attach", "clsact"][..], &["--mac", "02:00:00:00:00:07"], &["--ip", "10.77.0.77"], &["--allow-spoof"]]
    {
        assert!(made("c1", &[&["--network", "web"], options].concat()), "{options:?}");
        fwd.down("c1");
    }
    assert!(made("c2", &[]), "another network");
    // Somebody is in it; somebody has been.
    let ns = open(&name);
    let sleeper = Process::spawn(command_in(&ns, &["sleep", "600"])).expect("it starts");
    assert_eq!(fwd.list(&["pool", "ls"])[0]["changed"], "a process is in it");
    drop(sleeper);
    inside(&ns, &["ip", "address", "add", "192.0.2.1/24", "dev", "eth0"]);
    let output = fwd.call(&["up", "--ns", &fwd.name("c1"), "--network", "web"]);
    assert!(output.status.success() && output.stderr.contains("192.0.2.1"), "{}", output.stderr);
    assert!(text(&fwd.list(&["pool", "ls"])[0]["changed"]).contains("192.0.2.1"));
    fwd.down("c1");
    let refilled = fwd.json(&["pool", "1", "--refill", "--network", "web"]);
    assert_eq!((&refilled["removed"], &refilled["made"]), (&json!(1), &json!(1)), "{refilled}");
    let ready = fwd.list(&["pool", "ls"]);
    let taken = fwd.up("c1", &["--network", "web", "--ip", &text(&ready[0]["addresses"][0])]);
    assert_eq!(taken.shown["from_pool"], ready[0]["ns"]);
    assert_reaches_outside(&fwd, &taken);
    fwd.expect_error(&["pool", "1001"], 2, &["1001"]);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

/// Runs `fwd ARGS…` and kills it after operation `after`. Whether it came to its end before.
#[track_caller]
fn killed(fwd: &Fwd, args: &[&str], after: usize) -> bool {
    let output = fwd.observed(&["die-after", &after.to_string()], args);
    assert!(output.status.code().is_none_or(|code| code == 0), "{:?}: {}", output.status, output.stderr);
    output.status.success()
}

#[test]
fn preparing_and_taking_are_completed_wherever_they_were_killed() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    // It keeps the network.
    fwd.up("c0", &[]);
    let name = fwd.name("c1");
    for after in 0.. {
        let ended = killed(&fwd, &["pool", "1"], after);
        assert_eq!(prepare(&fwd, 1, &[]).len(), 1, "killed after operation {after}");
        assert_reaches_outside(&fwd, &fwd.up("c1", &[]));
        fwd.down("c1");
        assert!(pooled(&fwd).is_empty() && !exists(&name), "killed after operation {after}");
        if ended {
            break;
        }
    }
    let up = ["up", "--ns", &name, "-p", "8080:80"];
    for (after, completes) in (0..).flat_map(|after| [(after, true), (after, false)]) {
        prepare(&fwd, 1, &[]);
        let ended = killed(&fwd, &up, after);
        if completes {
            assert_reaches_outside(&fwd, &fwd.up("c1", &["-p", "8080:80"]));
            assert_eq!(pooled(&fwd), [""; 0], "killed after operation {after}");
        }
        fwd.down("c1");
        fwd.ok(&["pool", "rm"]);
        assert!(pooled(&fwd).is_empty() && !exists(&name), "killed after operation {after}");
        if ended && !completes {
            break;
        }
    }
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn what_is_somebodys_stays_his() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let (one, other) = (fwd.name("c1"), fwd.name("c2"));
    fwd.up("c1", &[]);
    let second = Name::try_from(other.as_str()).expect("a name");
    open(&one).publish(&second).expect("a second name");
    assert_eq!(fwd.json(&["up", "--ns", &other])["changed"], false);
    assert!(exists(&one) && fwd.list(&["ls"])[0]["ns"] == one.as_str(), "{:?}", fwd.list(&["ls"]));
    Netns::delete_named(&second).expect("it goes");
    // Nobody joins what is nobody's, whoever refills would take it away.
    let ready = prepare(&fwd, 1, &[]);
    let pooled = text(&ready[0]["ns"]);
    let joins = ["up", "--ns", &pooled, "--network", "other", "--ifname", "eth1"];
    fwd.expect_error(&joins, 4, &["of the pool", &format!(" up --ns {pooled}")]);
    let address = text(&ready[0]["addresses"][0]);
    fwd.json(&["up", "--ns", &other, "--mac", "02:00:00:00:00:07"]);
    fwd.down("c2");
    fwd.expect_error(
        &["up", "--ns", &other, "--mac", "02:00:00:00:00:07", "--ip", &address],
        4,
        &[&format!(" down --ns {pooled}")],
    );
    // An interface of somebody else that is gone is no reason to pass over what is ready.
    inside(&open(&one), &["ip", "link", "del", "eth0"]);
    assert_eq!(fwd.up("c2", &[]).shown["from_pool"], pooled.as_str());
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn pools_are_filled_at_once_and_as_they_are_asked_for() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let fill = |network| {
        let mut command = fwd.command(&["--json", "pool", "4", "--network", network]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    for filled in ["n2", "n3"].map(fill) {
        let output = filled.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(fwd.list(&["pool", "ls"]).len(), 8);
    let filled = fwd.json(&["pool", "2", "--network", "n3", "--attach", "clsact"]);
    assert_eq!((&filled["size"], &filled["made"], &filled["removed"]), (&json!(2), &json!(2), &json!(4)), "{filled}");
    let of_n3 = fwd.list(&["pool", "ls"]).into_iter().filter(|it| it["network"] == "n3");
    assert!(of_n3.map(|it| it["attach"].clone()).all(|attach| attach == "clsact"));
    fwd.expect_error(&["pool", "2", "--network", "n3", "--mtu", "1400"], 4, &["1400"]);
    // There is room for no other before one that is not as it was left goes.
    fwd.ok(&["network", "add", "small", "--subnet", "10.9.0.0/29"]);
    let ready = prepare(&fwd, 5, &["--network", "small"]);
    let ready = ready.iter().find(|it| it["network"] == "small").expect("it is there");
    inside(&open(&text(&ready["ns"])), &["ip", "address", "add", "192.0.2.1/24", "dev", "eth0"]);
    let filled = fwd.json(&["pool", "5", "--network", "small", "--refill"]);
    assert_eq!((&filled["made"], &filled["removed"]), (&json!(1), &json!(1)), "{filled}");
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn apply_completes_a_namespace_that_has_but_the_file_of_its_name() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    fwd.up("c0", &[]);
    let name = fwd.name("c1");
    let declared = tempfile::NamedTempFile::new().expect("a file");
    let said = format!("[networks.fwd0]\n\n[[endpoints]]\nns = {:?}\n\n[[endpoints]]\nns = {name:?}\n", fwd.name("c0"));
    fs::write(declared.path(), said).expect("it is written");
    let apply = ["apply", "-f", declared.path().to_str().expect("UTF-8")];
    // The first notes the namespace; what follows touches the file and mounts on it.
    assert!(!killed(&fwd, &apply, 0));
    assert!(!exists(&name));
    fs::write(Path::new(DIRECTORY).join(&name), "").expect("it is written");
    fwd.ok(&apply);
    assert_reaches_outside(&fwd, &fwd.up("c1", &[]));
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}
