//! The outside is asked of whom the host asks.

use std::fs;

use forwarder::{
    netns::Netns,
    testbed::{Process, command_in, wait_until},
};

use super::{dig, host_asks, musl, run_in, short};
use crate::fwd::{Fwd, LIMIT, says};

/// A name server in a namespace: it tells what it is asked.
#[track_caller]
fn upstream(fwd: &Fwd, ns: &Netns, address: &str) -> Process {
    let script = fwd.run_dir().join("upstream.py");
    fs::write(&script, include_str!("upstream.py")).expect("a file");
    let process = Process::spawn(command_in(ns, &["python3", script.to_str().expect("UTF-8"), address]));
    let process = process.expect("it starts");
    wait_until(LIMIT, "the server is ready", || Ok(process.stdout().contains("ready").then_some(())))
        .unwrap_or_else(|error| panic!("{error}: {}", process.stderr()));
    process
}

#[test]
fn outside_is_asked_of_the_hosts_servers() {
    let fwd = Fwd::new();
    let outside = &fwd.uplink(0).outside;
    // Nobody answers at the second: whether it is asked first or not.
    let (server, silent) = (outside[0].to_string(), outside[1].to_string());
    let files =
        host_asks(&fwd, &format!("nameserver {silent}\nnameserver {server}\nsearch office.example\noptions edns0\n"));
    let upstream = upstream(&fwd, fwd.internet(0), &server);
    let a = fwd.up("a", &["--dns"]);
    let own = fs::read_to_string(format!("/etc/netns/{}/resolv.conf", a.name)).expect("it is written");
    assert!(own.ends_with("nameserver 10.77.0.1\nsearch fwd0 office.example\noptions edns0\n"), "{own}");
    assert_eq!(short(&fwd, &a, &["www.example"]), ["192.0.2.80"]);
    // By the host's search list, and by both libraries.
    assert!(run_in(&fwd, &a, &["getent", "ahostsv4", "x"]).stdout.starts_with("192.0.2.80"));
    let program = musl(&fwd);
    assert!(run_in(&fwd, &a, &[program.to_str().expect("UTF-8"), "www.example"]).stdout.contains("192.0.2.80"));
    // What is too long for UDP is asked for once more, by TCP all the way.
    assert_eq!(short(&fwd, &a, &["big.example", "TXT"])[0].matches('x').count(), 4_000);
    says(&upstream, "tcp big.example");
    for size in [&["+noedns"][..], &["+bufsize=512"], &["+bufsize=4096"]] {
        let cut = dig(&fwd, &a, &[size, &["+ignore", "big.example", "TXT"]].concat());
        assert!(cut.contains("flags: qr tc") && cut.contains("ANSWER: 0"), "{size:?}: {cut}");
    }
    // Letters as they were asked for, so that who mixes them can compare.
    assert!(dig(&fwd, &a, &["wWw.ExAmple"]).contains("wWw.ExAmple."));
    says(&upstream, "udp wWw.ExAmple");
    // Who guesses neither number nor question is not believed.
    assert_eq!(short(&fwd, &a, &["forged.example"]), ["192.0.2.80"]);
    for (name, status) in [("nobody.org", "NXDOMAIN"), ("broken.example", "SERVFAIL"), ("silent.example", "SERVFAIL")] {
        assert!(dig(&fwd, &a, &[name]).contains(&format!("status: {status}")), "{name}");
    }
    // Another file, another server, without a command.
    files.put("resolv.conf", &format!("nameserver {silent}\n"));
    let failed = || Ok(dig(&fwd, &a, &["www.example"]).contains("status: SERVFAIL").then_some(()));
    wait_until(LIMIT, "the other server is asked", failed).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn hosts_stub_on_loopback_is_asked_and_nobody_asks_in_a_circle() {
    let fwd = Fwd::new();
    // A stub, and, as if somebody had written it there, the name server itself.
    let _files = host_asks(&fwd, "nameserver 10.77.0.1\nnameserver 127.0.0.53\n");
    fwd.on_host(&["ip", "link", "set", "lo", "up"]);
    let stub = upstream(&fwd, fwd.host(), "127.0.0.53");
    let a = fwd.up("a", &["--dns"]);
    assert_eq!(short(&fwd, &a, &["split.example"]), ["192.0.2.80"]);
    assert_eq!(stub.stdout().matches("udp split.example").count(), 1, "it is asked once");
    // Only the stub itself could ask here for the outside.
    assert!(fwd.on_host(&["dig", "+tries=1", "@10.77.0.1", "split.example"]).contains("status: REFUSED"));
}
