//! Which namespaces `up` and `down` take, whose they are, and from where the commands are called.

use std::fs;

use forwarder::{
    netns::Netns,
    testbed::{Output, Process, command_in, http, run, wait_until},
};
use serde_json::{Value, json};

use crate::{
    commands::{assert_as_before, assert_reaches_outside, exists, snapshot},
    fwd::{Fwd, LIMIT, binary, inside, open, pings, try_inside},
    peers::{PATIENCE, at},
};

/// `up` of a namespace, called from within `ip netns exec`.
fn up_within_exec(fwd: &Fwd, name: &str) -> Output {
    let (host, pins) = (fwd.host().name().to_string(), fwd.pins());
    let mut command = std::process::Command::new("ip");
    command
        .args(["netns", "exec", &host])
        .arg(binary())
        .arg("--run-dir")
        .arg(pins)
        .args(["--json", "up", "--ns", name]);
    run(command, LIMIT).expect("it ends")
}

#[test]
fn first_up_from_within_ip_netns_exec_is_refused() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let output = up_within_exec(&fwd, &fwd.name("c1"));
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(output.stderr.contains(&format!("--host-netns {}", fwd.host().name())), "the remedy: {output:?}");
    assert_as_before(&fwd, &before);
}

#[test]
fn further_up_from_within_ip_netns_exec_finds_the_bpffs_and_lasts() {
    let fwd = Fwd::new();
    let name = fwd.name("c2");
    fwd.ok(&["ns", "add", &name]);
    fwd.up("c1", &[]);
    let output = up_within_exec(&fwd, &name);
    assert!(output.status.success(), "{output:?}");
    assert!(pings(&open(&name), fwd.uplink(0).outside[0]), "it does not last");
    assert_eq!(fwd.list(&["ls"]).len(), 2);
}

#[test]
fn namespace_of_a_process_is_connected_and_given_back() {
    connected_and_given_back(&["unshare", "-n"]);
}

/// It is owned by a user namespace below the host's, as with `podman --userns` or docker's userns-remap.
#[test]
fn namespace_of_a_process_in_a_user_namespace_is_connected_and_given_back() {
    connected_and_given_back(&["unshare", "-Un"]);
}

/// `up` and `down` of a process that `unshare` starts.
fn connected_and_given_back(unshare: &[&str]) {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let process = Process::spawn(command_in(fwd.host(), &[unshare, &["sleep", "600"]].concat())).expect("it starts");
    let pid = process.id();
    let host = fwd.host().inode().expect("a namespace");
    let unshared = || {
        let ns = Netns::open_pid(pid)?;
        Ok((ns.inode()? != host).then_some(ns))
    };
    let ns = wait_until(PATIENCE, "the process has a namespace of its own", unshared).expect("it has");
    let pid = pid.to_string();
    let shown = fwd.json(&["up", "--pid", &pid]);
    assert_eq!((&shown["ns"], &shown["ns_created"]), (&Value::Null, &json!(false)));
    assert_eq!(shown["pid"].to_string(), pid);
    assert!(pings(&ns, fwd.uplink(0).outside[0]));
    assert_eq!(fwd.json(&["up", "--pid", &pid])["changed"], false);
    let path = format!("/proc/{pid}/ns/net");
    assert_eq!(fwd.json(&["up", "--netns", &path])["changed"], false, "it is the same namespace");
    assert_eq!(fwd.ok(&["exec", "--pid", &pid, "--", "ls", "/sys/class/net"]), "eth0\nlo\n");
    fwd.ok(&["down", "--pid", &pid]);
    assert_eq!(inside(&ns, &["ip", "-br", "link"]).lines().count(), 1, "only lo is left");
    assert!(!try_inside(&ns, &["ping", "-c1", "-W1", "127.0.0.1"]).status.success(), "lo is down as it was");
    assert_as_before(&fwd, &before);
}

#[test]
fn namespace_of_a_process_that_ended_leaves_nothing() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let process = Process::spawn(command_in(fwd.host(), &["unshare", "-n", "sleep", "600"])).expect("it starts");
    let pid = process.id();
    let host = fwd.host().inode().expect("a namespace");
    let unshared = || Ok((Netns::open_pid(pid)?.inode()? != host).then_some(()));
    wait_until(PATIENCE, "the process has a namespace of its own", unshared).expect("it has");
    fwd.json(&["up", "--pid", &pid.to_string()]);
    drop(process);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn namespaces_of_others_stay_unless_told_otherwise() {
    let fwd = Fwd::new();
    let name = fwd.name("mine");
    fwd.ok(&["ns", "add", &name]);
    let before = snapshot(&fwd);
    let pod = fwd.up("mine", &[]);
    assert_eq!(pod.shown["ns_created"], false);
    assert_reaches_outside(&fwd, &pod);
    fwd.down("mine");
    assert!(exists(&name));
    assert_as_before(&fwd, &before);
    assert_eq!(inside(&pod, &["ip", "-br", "link"]).lines().count(), 1, "only lo is left");
    fwd.up("mine", &[]);
    fwd.ok(&["down", "--ns", &name, "--delete-ns"]);
    assert!(!exists(&name));
}

#[test]
fn kernel_data_path_does_the_same() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let (one, two) = (fwd.up("c1", &["--datapath", "kernel"]), fwd.up("c2", &[]));
    assert_eq!((&one.shown["datapath"], &two.shown["datapath"]), (&json!("kernel"), &json!("kernel")));
    let outside = fwd.uplink(0).outside[0];
    let server = http::Server::start(fwd.internet(0), at(outside, 80)).expect("a server");
    let file = fwd.run_dir().join("download");
    let url = format!("http://{outside}/5000000");
    inside(&one, &["curl", "-sSf", "-o", file.to_str().expect("UTF-8"), &url]);
    http::Body::new(5_000_000).verify(fs::File::open(&file).expect("it is there")).expect("it is what was served");
    fs::remove_file(&file).expect("it is removed");
    assert!(server.clients().iter().all(|client| client.ip() == fwd.uplink(0).address));
    assert!(pings(&one, two.address) && pings(&two, one.gateway));
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}
