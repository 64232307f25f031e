//! The process: who it is, when it ends, and what its death breaks.

use std::fs;

use forwarder::testbed::{Process, command_in, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{server, short};
use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, LIMIT, pings},
};

#[test]
fn server_is_one_process_without_privileges_and_ends_with_the_last_network() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let a = fwd.up("a", &["--dns"]);
    let pid = server(&fwd).expect("it runs");
    let b = fwd.up("b", &["--network", "web", "--dns"]);
    let c = fwd.up("c", &["--network", "plain"]);
    assert_eq!(c.shown["name_server"], serde_json::Value::Null);
    assert_eq!(server(&fwd), Some(pid), "one for all networks");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert_eq!(field("Uid:"), "65534\t65534\t65534\t65534", "{status}");
    assert_eq!(
        (field("CapPrm:"), field("CapEff:"), field("NoNewPrivs:")),
        ("0000000000000000", "0000000000000000", "1")
    );
    assert_eq!((field("Groups:"), field("Threads:")), ("", "1"));
    // No handle of a command: a lock would be held for ever.
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    let files: Vec<_> = files.filter_map(|file| fs::read_link(file.path()).ok()).collect();
    assert!(files.iter().all(|file| !file.to_string_lossy().contains("lock")), "{files:?}");
    // The port is free for others once its network has gone.
    fwd.down("b");
    fwd.on_host(&["ip", "addr", "add", "10.77.1.1/32", "dev", "lo"]);
    let taken = Process::spawn(command_in(fwd.host(), &["socat", "UDP4-RECVFROM:53,bind=10.77.1.1", "STDOUT"]));
    let taken = taken.expect("it starts");
    let bound = || Ok(fwd.on_host(&["ss", "-lnu"]).contains("10.77.1.1:53").then_some(()));
    wait_until(LIMIT, "another program has the port", bound)
        .unwrap_or_else(|error| panic!("{error}: {}", taken.stderr()));
    drop(taken);
    fwd.on_host(&["ip", "addr", "del", "10.77.1.1/32", "dev", "lo"]);
    assert_eq!((server(&fwd), short(&fwd, &a, &[&a.name])), (Some(pid), vec![a.address.to_string()]));
    assert!(fwd.ok(&["down", "--ns", &a.name, "--dry-run"]).contains("name server"));
    fwd.down("a");
    assert_eq!(server(&fwd), None, "nobody needs it");
    assert_reaches_outside(&fwd, &c);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
    drop(b);
}

#[test]
fn its_death_is_seen_breaks_no_connection_and_is_mended_by_the_next_up() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let (a, b) = (fwd.up("a", &["--dns"]), fwd.up("b", &[]));
    let dead = |fwd: &Fwd| {
        let pid = server(fwd).expect("it runs");
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("it is there");
        wait_until(LIMIT, "it has ended", || Ok(server(fwd).is_none().then_some(()))).expect("it ends");
    };
    dead(&fwd);
    assert!(pings(&a, b.address));
    assert_reaches_outside(&fwd, &a);
    for words in [&["ls"][..], &["inspect", &a.name]] {
        let output = fwd.call(words);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains("name server of network fwd0 has ended"), "{words:?}: {said}");
    }
    assert_eq!(fwd.up("b", &[]).shown["changed"], true);
    assert_eq!(short(&fwd, &a, &[&b.name]), [b.address.to_string()]);
    assert!(!fwd.call(&["ls"]).stderr.contains("has ended"));
    // A command about something else mends it, too.
    dead(&fwd);
    fwd.up("c", &["--network", "plain"]);
    assert_eq!(short(&fwd, &a, &[&b.name]), [b.address.to_string()]);
    dead(&fwd);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn port_of_another_server_is_left_to_it() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let listener = Process::spawn(command_in(fwd.host(), &["socat", "UDP4-RECVFROM:53", "STDOUT"])).expect("it starts");
    let bound = || Ok(fwd.on_host(&["ss", "-lnu"]).contains("0.0.0.0:53").then_some(()));
    wait_until(LIMIT, "it listens", bound).unwrap_or_else(|error| panic!("{error}: {}", listener.stderr()));
    let name = fwd.name("a");
    let words = ["10.77.0.1:53", "socat (pid ", "0.0.0.0:53/udp", "--bind-dynamic"];
    fwd.expect_error(&["up", "--ns", &name, "--dns"], 4, &words);
    assert_as_before(&fwd, &before);
    // Names of outside are not its business: what others publish there is.
    drop(listener);
    let a = fwd.up("a", &["--dns"]);
    fwd.up("b", &["-p", "53:53/udp"]);
    assert_eq!(short(&fwd, &a, &[&fwd.name("b")]).len(), 1);
}
