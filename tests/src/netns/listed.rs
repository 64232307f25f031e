//! Which namespaces there are, and who is inside.

use std::{env, fs, process::Command};

use forwarder::netns::{Listed, Netns, list_all, list_named, of_pid};

use super::{Running, Scratch, ip, output, wait_for};

fn listed(inode: u64) -> Option<Listed> {
    let host = Netns::current().expect("open");
    list_all(&host, &host).expect("readable").into_iter().find(|listed| listed.inode == inode)
}

#[test]
fn named_namespaces_are_listed_with_what_is_inside() {
    let (scratch, netns) = Scratch::created("list");
    ip(&["-n", scratch.0.as_str(), "link", "add", "one", "type", "veth", "peer", "two"]);
    let inode = netns.inode().expect("open");
    let empty = listed(inode).expect("it is listed");
    assert_eq!(empty.names, [scratch.0.as_str()]);
    assert_eq!((empty.processes, empty.example), (Some(0), None));
    let interfaces = empty.interfaces.expect("root can read them");
    assert_eq!(interfaces[0], "lo");
    assert_eq!(interfaces.len(), 3);
    assert!(["one", "two"].iter().all(|name| interfaces.iter().any(|interface| interface == name)), "{interfaces:?}");
    assert!(!empty.is_host && !empty.is_caller);

    let process = Running::start(Command::new("ip").args(["netns", "exec", scratch.0.as_str(), "sleep", "60"]));
    wait_for("sleep runs inside", || {
        let example = listed(inode).and_then(|listed| listed.example);
        example.is_some_and(|example| example.pid == process.pid() && example.comm == "sleep")
    });
    assert_eq!(listed(inode).expect("it is listed").processes, Some(1));
    let host = Netns::current().expect("open");
    let named = list_named(&host, &host).expect("readable");
    assert!(named.iter().any(|listed| listed.inode == inode));
    assert!(named.iter().all(Listed::is_named));
}

#[test]
fn nameless_namespaces_are_listed_by_their_processes() {
    let process = Running::start(Command::new("unshare").args(["-n", "sleep", "60"]));
    let host = Netns::current().expect("open");
    let member = || of_pid(process.pid(), &host).expect("it runs");
    wait_for("sleep runs in a namespace of its own", || !member().is_host && member().process.comm == "sleep");
    let found = member();
    assert_eq!(found.names, [""; 0]);
    assert_eq!((found.shared_with.len(), found.complete), (0, true));
    let listed = listed(found.inode).expect("it is listed");
    assert_eq!(listed.example.expect("there is a process"), found.process);
    assert_eq!(listed.interfaces.expect("root can read them"), ["lo"]);
    assert!(!listed.names.iter().any(|name| !name.starts_with('/')));
}

#[test]
fn a_namespace_bound_elsewhere_is_listed_by_its_path() {
    let (scratch, netns) = Scratch::created("bound");
    let file = env::temp_dir().join(scratch.0.as_str());
    fs::write(&file, "").expect("writable");
    output(Command::new("mount").arg("--bind").arg(scratch.path()).arg(&file));
    Netns::delete_named(&scratch.0).expect("deleted");
    let found = listed(netns.inode().expect("open"));
    // Another test may be looking at it.
    output(Command::new("umount").arg("--lazy").arg(&file));
    fs::remove_file(&file).expect("removable");
    assert_eq!(found.expect("it is listed").names, [file.to_str().expect("UTF-8")]);
}

#[test]
fn processes_of_one_namespace_know_each_other() {
    let (scratch, netns) = Scratch::created("of");
    let inside = ["netns", "exec", scratch.0.as_str(), "sleep", "60"];
    let (one, two) = (Running::start(Command::new("ip").args(inside)), Running::start(Command::new("ip").args(inside)));
    let host = Netns::current().expect("open");
    wait_for("both are inside", || {
        let member = of_pid(one.pid(), &host).expect("it runs");
        member.shared_with.iter().map(|process| process.pid).eq([two.pid()])
            && member.names == [scratch.0.as_str()]
            && member.inode == netns.inode().expect("open")
    });
}
