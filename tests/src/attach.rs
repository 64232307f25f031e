//! `--attach`: the program of a host-side veth as a TCX link or as a filter of clsact, and the change from one to the other.

use std::{
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use forwarder::dataplane::RunDir;
use serde_json::json;

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, Pod, number, try_inside},
    peers::{ANY, at, connect, echo_tcp, echoed, listen, udp},
};

/// What `tc` shows of filters where packets of the namespace come in.
fn filters(fwd: &Fwd, pod: &Pod) -> String {
    fwd.on_host(&["tc", "filter", "show", "dev", &pod.host_if, "ingress"])
}

fn has_clsact(fwd: &Fwd, pod: &Pod) -> bool {
    fwd.on_host(&["tc", "qdisc", "show", "dev", &pod.host_if]).contains("clsact")
}

/// Whether the program of this name is attached to an interface of the host by a link.
fn has_link(fwd: &Fwd, program: &str, ifindex: u64) -> bool {
    let cookie = fwd.host().cookie().expect("a cookie");
    let pin = RunDir::new(fwd.pins()).of(cookie).join(format!("links/{program}-{ifindex}"));
    let shown = try_inside(fwd.host(), &["bpftool", "link", "show", "pinned", pin.to_str().expect("a plain path")]);
    shown.status.success() && shown.stdout.contains("prog")
}

/// The program is attached in the one way and not in the other, and `fwd` says so.
#[track_caller]
fn assert_attached(fwd: &Fwd, pod: &Pod, attach: &str) {
    let shown = fwd.json(&["inspect", &pod.name]);
    assert_eq!((&shown["attach"], &shown["attached"]), (&json!(attach), &json!(true)));
    assert_eq!(fwd.list(&["ls"])[0]["attach"], attach);
    let link = has_link(fwd, "from_ns", number(&shown["host_ifindex"]));
    let filter = filters(fwd, pod).contains("from_ns");
    assert_eq!((link, filter), (attach == "tcx", attach == "clsact"));
    assert_reaches_outside(fwd, pod);
}

#[test]
fn filters_carry_traffic_and_go_with_the_endpoint() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let pod = fwd.up("c1", &["--attach", "clsact"]);
    assert_attached(&fwd, &pod, "clsact");
    let uplink = fwd.json(&["inspect", "--if", "eth0"])["ifindex"].clone();
    assert!(has_link(&fwd, "to_uplink", number(&uplink)), "the uplink keeps TCX");
    for options in [&["--attach", "clsact"][..], &[]] {
        assert_eq!(fwd.up("c1", options).shown["changed"], false);
    }
    // Each endpoint has a way of its own.
    let other = fwd.up("c2", &[]);
    assert_eq!(other.shown["attach"], "tcx");
    fwd.down("c1");
    assert_reaches_outside(&fwd, &other);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
    // With everything at once, too.
    fwd.up("c1", &["--attach", "clsact"]);
    fwd.up("c2", &["--attach", "clsact"]);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

/// Stops those who ask, also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks until it is told to stop: how many questions were asked, and how many had no answer.
fn ask(socket: &UdpSocket, stop: &AtomicBool) -> (u32, u32) {
    let (mut asked, mut lost) = (0, 0);
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket");
    while !stop.load(Ordering::Relaxed) {
        asked += 1;
        let question = u32::to_be_bytes(asked);
        let mut answer = [0; 4];
        socket.send(&question).expect("it is sent");
        if socket.recv(&mut answer).is_err() || answer != question {
            lost += 1;
        }
    }
    (asked, lost)
}

#[test]
fn changing_over_loses_neither_packets_nor_flows() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let pod = fwd.up("c1", &[]);
    let remote = at(fwd.uplink(0).outside[0], 9000);
    let server = echo_tcp(listen(fwd.internet(0), remote), 1);
    let tcp = connect(&pod, ANY, remote).expect("it connects");
    let echo = udp(fwd.internet(0), remote);
    echo.set_read_timeout(None).expect("a socket");
    thread::spawn(move || {
        let mut buffer = [0; 4];
        while let Ok((length, from)) = echo.recv_from(&mut buffer) {
            echo.send_to(&buffer[..length], from).ok();
        }
    });
    let asking = udp(&pod, ANY);
    asking.connect(remote).expect("a socket");
    let stop = AtomicBool::new(false);
    let (asked, lost) = thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&asking, &stop));
        let until = Stop(&stop);
        for attach in ["clsact", "tcx", "clsact", "tcx", "clsact"] {
            let changed = fwd.up("c1", &["--attach", attach]);
            assert_eq!((&changed.shown["changed"], &changed.shown["attach"]), (&json!(true), &json!(attach)));
            echoed(&tcp, attach.as_bytes());
            assert_attached(&fwd, &pod, attach);
            assert_eq!(fwd.up("c1", &[]).shown["changed"], false);
        }
        drop(until);
        asking.join().expect("it ends")
    });
    assert!(asked > 100 && lost == 0, "{lost} of {asked} questions had no answer");
    drop(tcp);
    assert_eq!(server.join().expect("a server").len(), 1);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn filters_of_others_stay() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let theirs = |side| {
        // It matches nothing.
        fwd.on_host(&["tc", "filter", "add", "dev", &pod.host_if, side, "pref", "7", "bpf", "bytecode", "1,6 0 0 0"]);
    };
    let is_there = || filters(&fwd, &pod).contains("pref 7");
    // The queueing discipline is theirs.
    fwd.on_host(&["tc", "qdisc", "add", "dev", &pod.host_if, "clsact"]);
    for filter in [false, true] {
        if filter {
            theirs("ingress");
        }
        for attach in ["clsact", "tcx"] {
            fwd.up("c1", &["--attach", attach]);
            assert_attached(&fwd, &pod, attach);
            assert!(has_clsact(&fwd, &pod) && is_there() == filter, "{attach}: {}", filters(&fwd, &pod));
        }
    }
    fwd.on_host(&["tc", "qdisc", "del", "dev", &pod.host_if, "clsact"]);
    // It came with ours: it goes with ours, unless somebody uses it by then.
    for filter in [false, true] {
        fwd.up("c1", &["--attach", "clsact"]);
        if filter {
            theirs("egress");
        }
        fwd.up("c1", &["--attach", "tcx"]);
        assert_attached(&fwd, &pod, "tcx");
        assert_eq!(has_clsact(&fwd, &pod), filter);
    }
}

#[test]
fn up_mends_what_was_detached_by_hand() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--attach", "clsact"]);
    fwd.on_host(&["tc", "qdisc", "del", "dev", &pod.host_if, "clsact"]);
    assert_eq!(fwd.json(&["inspect", &pod.name])["attached"], false);
    assert_eq!(fwd.up("c1", &[]).shown["changed"], true);
    assert_attached(&fwd, &pod, "clsact");
    // The veth pair, too: what it was attached by is remembered.
    fwd.on_host(&["ip", "link", "del", &pod.host_if]);
    let again = fwd.up("c1", &[]);
    assert_attached(&fwd, &again, "clsact");
}

#[test]
fn dry_run_and_refusals_tell_how() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let (name, host) = (fwd.name("c1"), fwd.host().name().to_string());
    let plan = fwd.ok(&["up", "--ns", &name, "--attach", "clsact", "--dry-run"]);
    for line in [format!("tc -n {host} qdisc add dev "), format!("tc -n {host} filter add dev ")] {
        assert!(plan.contains(&line), "{line:?} is missing: {plan}");
    }
    let words = ["--attach clsact", "datapath kernel", "--datapath tc"];
    fwd.expect_error(&["up", "--ns", &name, "--datapath", "kernel", "--attach", "clsact"], 5, &words);
    assert_as_before(&fwd, &before);
    let pod = fwd.up("c1", &[]);
    let between = snapshot(&fwd);
    let plan = fwd.ok(&["up", "--ns", &name, "--attach", "clsact", "--dry-run"]);
    assert!(plan.contains("from tcx to clsact") && plan.contains("net detach tcx_ingress"), "{plan}");
    assert_as_before(&fwd, &between);
    assert_attached(&fwd, &pod, "tcx");
    let index = number(&fwd.json(&["inspect", &name])["host_ifindex"]);
    fwd.up("c1", &["--attach", "clsact"]);
    let plan = fwd.ok(&["down", "--ns", &name, "--dry-run"]);
    assert!(plan.contains(&format!("clsact-from_ns-{index}")), "{plan}");
}
