//! `fwd trace`: what it shows, that it costs no packet, and what it leaves behind.

use std::{
    collections::BTreeSet,
    net::{Ipv6Addr, SocketAddrV4},
};

use forwarder::testbed::{Process, TestbedSpec, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, LIMIT, Pod, answers, inside, number, pings, pings6, text, try_inside},
    ipv6,
    peers::{ANY, PATIENCE, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    reload::under_traffic,
};

/// A run of `fwd trace --json` that goes on until it is told to end.
pub(crate) struct Trace(Process);

impl Trace {
    /// Starts it, and waits until all programs are traced ones.
    #[track_caller]
    pub(crate) fn start(fwd: &Fwd, pod: &Pod, args: &[&str]) -> Self {
        let before = programs(fwd, pod)["object"].clone();
        let process = Process::spawn(fwd.command(&[&["trace", "--json"], args].concat())).expect("it starts");
        wait_until(PATIENCE, "the programs are traced", || Ok((programs(fwd, pod)["object"] != before).then_some(())))
            .unwrap_or_else(|error| panic!("{error}: {}", process.stderr()));
        Self(process)
    }

    /// Waits until it has shown a packet of which `wanted` holds.
    #[track_caller]
    pub(crate) fn shows(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_until(PATIENCE, what, || Ok(lines(&self.0.stdout()).into_iter().find(|line| wanted(line))))
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.0.stdout(), self.0.stderr()))
    }

    /// Ends it; what it has shown, and said besides.
    #[track_caller]
    pub(crate) fn end(self, signal: Signal) -> (Vec<Value>, String) {
        self.0.signal(signal).expect("it runs");
        let output = self.0.wait(LIMIT).expect("it ends").success().expect("well");
        (lines(&output.stdout), output.stderr)
    }
}

/// The whole lines of what was written so far.
fn lines(written: &str) -> Vec<Value> {
    let whole = written.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[track_caller]
fn programs(fwd: &Fwd, pod: &Pod) -> Value {
    fwd.json(&["inspect", &pod.name])["programs"].clone()
}

/// A server outside that echoes one conversation of `proto`, of which the namespace's end is returned.
#[track_caller]
fn converse(fwd: &Fwd, pod: &Pod, proto: &str, port: u16) -> SocketAddrV4 {
    let remote = at(fwd.uplink(0).outside[0], port);
    if proto == "udp" {
        let server = echo_udp(udp(fwd.internet(0), remote), 8);
        let socket = udp(pod, ANY);
        (0..8).for_each(|_| asked(&socket, remote, b"eight times, so that it is a conversation"));
        server.join().expect("a server");
    } else {
        let server = echo_tcp(listen(fwd.internet(0), remote), 1);
        let stream = connect(pod, ANY, remote).expect("it connects");
        echoed(&stream, b"hello");
        drop(stream);
        server.join().expect("a server");
    }
    remote
}

/// At `hook`, by its protocol and the flags of a segment.
fn is(line: &Value, hook: &str, proto: &str, flags: Option<&str>) -> bool {
    line["hook"] == hook && line["proto"] == proto && flags.is_none_or(|flags| line["tcp_flags"] == flags)
}

#[test]
fn packets_of_ipv6_are_chosen_as_those_of_ipv4() {
    let fwd = ipv6::host_with(1);
    let (pod, other) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let outside = ipv6::link(&fwd, 0).outside;
    let inside = json!(ipv6::address6(&pod));
    // Of one namespace: both its ways, and nothing of the other.
    let trace = Trace::start(&fwd, &pod, &[&pod.name]);
    assert!(pings6(&other, outside) && pings6(&pod, outside));
    let reply = trace.shows("the reply", |line| is(line, "from_uplink", "icmp6", None) && line["nat_addr"] == inside);
    assert_eq!((&reply["verdict"], &reply["src_addr"]), (&json!("delivered"), &json!(outside)), "{reply:#}");
    let request = trace.shows("the request", |line| is(line, "from_ns", "icmp6", None) && line["message"] == "echo");
    assert_eq!((&request["verdict"], &request["src_addr"]), (&json!("forwarded"), &inside), "{request:#}");
    let stranger = json!(ipv6::address6(&other));
    let (shown, _) = trace.end(Signal::SIGINT);
    assert!(!shown.iter().any(|line| line["src_addr"] == stranger || line["nat_addr"] == stranger), "{shown:#?}");
    // Of one conversation, by the other side's address and port.
    let flow = format!("udp * > [{outside}]:7002");
    let trace = Trace::start(&fwd, &pod, &["--flow", &flow]);
    let client = udp(&pod, ipv6::at(Ipv6Addr::UNSPECIFIED, 0));
    for port in [7001, 7002] {
        client.send_to(b"hello", ipv6::at(outside, port)).expect("it leaves");
    }
    let found = trace.shows("the datagram", |line| is(line, "from_ns", "udp", None));
    assert_eq!((&found["dst_port"], &found["src_addr"]), (&json!(7002), &inside), "{found:#}");
    trace.shows("it leaves the uplink", |line| is(line, "to_uplink", "udp", None));
    let (shown, _) = trace.end(Signal::SIGINT);
    assert!(shown.iter().all(|line| line["proto"] == "udp" && line["dst_port"] == 7002), "{shown:#?}");
}

fn packets_are_shown(fwd: &Fwd, options: &[&str]) {
    let before = snapshot(fwd);
    let pod = fwd.up("c1", options);
    let untraced = programs(fwd, &pod);
    let trace = Trace::start(fwd, &pod, &[]);
    let traced = programs(fwd, &pod);
    assert_eq!((&traced["traced"], &traced["traced_by"]), (&json!(true), &json!(trace.0.id())), "{traced}");
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
    let remote = converse(fwd, &pod, "tcp", 9100);
    let (inside, outside) = (json!(pod.address), json!(fwd.uplink(0).address));

    let first = trace.shows("the first segment", |line| is(line, "from_ns", "tcp", Some("S")));
    assert_eq!((&first["verdict"], &first["ns"]), (&json!("forwarded"), &json!(pod.name)), "{first:#}");
    assert_eq!((&first["src_addr"], &first["dst_port"]), (&inside, &json!(remote.port())), "{first:#}");
    assert_eq!((&first["nat_addr"], &first["nat_source"]), (&outside, &json!(true)), "{first:#}");
    assert_eq!((&first["state"], &first["length"]), (&json!("half-open"), &json!(60)), "{first:#}");

    let next = trace.shows("it leaves the uplink", |line| is(line, "to_uplink", "tcp", Some("S")));
    assert_eq!((&next["src_addr"], &next["src_port"]), (&first["nat_addr"], &first["nat_port"]), "{next:#}");
    assert_eq!((&next["verdict"], &next["ip_id"]), (&json!("passed"), &first["ip_id"]), "{next:#}");
    let between = number(&next["time_ns"]) - number(&first["time_ns"]);
    assert_eq!(number(&next["since_ns"]), between, "{next:#}");

    let reply = trace.shows("the reply", |line| is(line, "from_uplink", "tcp", Some("SA")));
    assert_eq!((&reply["verdict"], &reply["nat_addr"]), (&json!("delivered"), &inside), "{reply:#}");
    assert_eq!((&reply["nat_port"], &reply["flow"]), (&first["src_port"], &first["flow"]), "{reply:#}");
    let later = trace.shows("the fast path", |line| is(line, "from_ns", "tcp", None) && line["state"] == "established");
    assert_eq!(later["flow"], first["flow"], "{later:#}");

    let ping = trace.shows("the answer to a ping", |line| is(line, "from_uplink", "icmp", None));
    assert_eq!((&ping["message"], &ping["verdict"]), (&json!("echo reply"), &json!("delivered")), "{ping:#}");
    let (_, said) = trace.end(Signal::SIGINT);
    assert_eq!(said, "");
    assert_eq!(programs(fwd, &pod), untraced, "the programs are as before");
    assert_reaches_outside(fwd, &pod);
    fwd.ok(&["down", "--all"]);
    assert_as_before(fwd, &before);
}

#[test]
fn packets_are_shown_hook_by_hook_with_their_translation() {
    packets_are_shown(&Fwd::new(), &[]);
}

#[test]
fn packets_are_shown_where_programs_are_filters() {
    packets_are_shown(&Fwd::new(), &["--attach", "clsact"]);
}

#[test]
fn what_xdp_sends_is_shown_where_xdp_sends_it() {
    let fwd = Fwd::with_xdp(&TestbedSpec::default());
    let pod = fwd.up("c1", &[]);
    let trace = Trace::start(&fwd, &pod, &["--ns", &pod.name]);
    converse(&fwd, &pod, "udp", 9101);
    let shown = trace.shows("a reply in the driver", |line| is(line, "xdp_from_uplink", "udp", None));
    assert_eq!((&shown["verdict"], &shown["nat_addr"]), (&json!("delivered"), &json!(pod.address)), "{shown:#}");
    trace.end(Signal::SIGTERM);
    assert_eq!(programs(&fwd, &pod)["current"], true);
}

#[test]
fn drops_are_shown_with_their_reason_and_nothing_else() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    inside(&pod, &["ip", "address", "add", "192.0.2.77/32", "dev", "lo"]);
    let trace = Trace::start(&fwd, &pod, &["--drops", "--ns", &pod.name]);
    assert_reaches_outside(&fwd, &pod);
    let outside = fwd.uplink(0).outside[0].to_string();
    try_inside(&pod, &["ping", "-n", "-c", "1", "-W", "1", "-I", "192.0.2.77", &outside]);
    let shown = trace.shows("the drop", |line| line["src_addr"] == "192.0.2.77");
    assert_eq!((&shown["hook"], &shown["verdict"]), (&json!("from_ns"), &json!("dropped")), "{shown:#}");
    assert_eq!((&shown["reason"], &shown["nat_addr"]), (&json!("SpoofedSource"), &Value::Null), "{shown:#}");
    let (lines, _) = trace.end(Signal::SIGINT);
    let verdicts: BTreeSet<String> = lines.iter().map(|line| text(&line["verdict"])).collect();
    assert!(verdicts.iter().all(|verdict| ["dropped", "punted"].contains(&verdict.as_str())), "{verdicts:?}");
}

#[test]
fn flow_is_shown_alone_and_over_its_translation() {
    let fwd = Fwd::new();
    let (pod, other) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let flow = format!("tcp {} > *:9103", pod.address);
    let trace = Trace::start(&fwd, &pod, &["--flow", &flow]);
    for (pod, port) in [(&pod, 9102), (&other, 9103), (&pod, 9103)] {
        converse(&fwd, pod, "tcp", port);
    }
    trace.shows("the last segment", |line| is(line, "to_uplink", "tcp", Some("FA")) || line["tcp_flags"] == "FPA");
    let (lines, _) = trace.end(Signal::SIGINT);
    let hooks: BTreeSet<String> = lines.iter().map(|line| text(&line["hook"])).collect();
    assert_eq!(hooks, ["from_ns", "from_uplink", "to_uplink"].map(String::from).into(), "{lines:#?}");
    let ports: BTreeSet<u64> =
        lines.iter().filter(|line| line["hook"] != "from_uplink").map(|line| number(&line["dst_port"])).collect();
    assert_eq!(ports, [9103].into());
    let others = lines.iter().filter(|line| !line["ns"].is_null() && line["ns"] != json!(pod.name));
    assert_eq!(others.count(), 0, "{lines:#?}");
}

fn trace_loses_nothing(fwd: &Fwd, options: &[&str]) {
    let pod = fwd.up("c1", options);
    let before = programs(fwd, &pod);
    under_traffic(fwd, &pod, |talk| {
        for _ in 0..2 {
            talk();
            let trace = Trace::start(fwd, &pod, &[]);
            talk();
            trace.shows("the stream", |line| line["proto"] == "udp" && line["verdict"] == "forwarded");
            let (lines, _) = trace.end(Signal::SIGINT);
            assert!(lines.len() > 100, "{} lines are no stream", lines.len());
            assert_eq!(programs(fwd, &pod), before);
            talk();
        }
    });
}

#[test]
fn trace_begins_and_ends_without_losing_a_packet() {
    trace_loses_nothing(&Fwd::new(), &[]);
}

#[test]
fn trace_of_filters_begins_and_ends_without_losing_a_packet() {
    trace_loses_nothing(&Fwd::new(), &["--attach", "clsact"]);
}

#[test]
fn trace_of_xdp_begins_and_ends_without_losing_a_packet() {
    trace_loses_nothing(&Fwd::with_xdp(&TestbedSpec::default()), &[]);
}

#[test]
fn what_a_killed_trace_leaves_works_and_is_named() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let pod = fwd.up("c1", &[]);
    let untraced = programs(&fwd, &pod);
    let kill = || {
        let trace = Trace::start(&fwd, &pod, &[]);
        trace.0.signal(Signal::SIGKILL).expect("it runs");
        trace.0.wait(LIMIT).expect("it ends");
        let left = programs(&fwd, &pod);
        let state = [&left["traced"], &left["traced_by"], &left["current"]];
        assert_eq!(state, [&json!(true), &Value::Null, &json!(false)], "{left}");
        assert_reaches_outside(&fwd, &pod);
        for args in [&["ls"][..], &["stats"], &["doctor"], &["inspect", &pod.name]] {
            let output = fwd.call(args);
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(said.contains("trace") && said.contains("killed") && said.contains(" reload"), "{args:?}: {said}");
        }
    };
    kill();
    assert_eq!(fwd.json(&["reload"])["changed"], true);
    assert_eq!(programs(&fwd, &pod), untraced);
    kill();
    // The next trace takes over, and leaves nothing.
    let object = programs(&fwd, &pod)["object"].clone();
    let process = Process::spawn(fwd.command(&["trace", "--json", "--count", "2"])).expect("it starts");
    wait_until(PATIENCE, "somebody traces", || Ok((!programs(&fwd, &pod)["traced_by"].is_null()).then_some(())))
        .unwrap_or_else(|error| panic!("{error}: {}", process.stderr()));
    assert_eq!(programs(&fwd, &pod)["object"], object, "the programs are the same");
    wait_until(LIMIT, "two lines are enough", || {
        answers(&pod, fwd.uplink(0).outside[0]);
        Ok((programs(&fwd, &pod) == untraced).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {}", process.stderr()));
    let output = process.wait(LIMIT).expect("it ends").success().expect("well");
    assert_eq!(lines(&output.stdout).len(), 2);
    kill();
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn reader_that_is_too_slow_only_misses_lines() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let trace = Trace::start(&fwd, &pod, &[]);
    trace.0.signal(Signal::SIGSTOP).expect("it runs");
    let outside = fwd.uplink(0).outside[0].to_string();
    // Each is a record at three hooks, and there is room for ten thousand.
    let ping = inside(&pod, &["ping", "-n", "-q", "-c", "6000", "-f", &outside]);
    assert!(ping.contains(" 0% packet loss"), "{ping}");
    trace.0.signal(Signal::SIGCONT).expect("it runs");
    let (lines, said) = trace.end(Signal::SIGINT);
    assert!(lines.len() > 5_000, "{} lines", lines.len());
    assert!(said.contains("lines are missing"), "{said}");
    assert_eq!(programs(&fwd, &pod)["current"], true);
}

#[test]
fn trace_ends_with_what_it_traces() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    for args in [&["reload"][..], &["down", "--all"]] {
        let pod = fwd.up("c1", &[]);
        let trace = Trace::start(&fwd, &pod, &[]);
        fwd.expect_error(&["trace"], 4, &["another trace", &trace.0.id().to_string()]);
        fwd.ok(args);
        let output = trace.0.wait(LIMIT).expect("it ends by itself").success().expect("well");
        assert!(output.stderr.contains("another command"), "{args:?}: {}", output.stderr);
    }
    assert_as_before(&fwd, &before);
}

#[test]
fn what_cannot_be_traced_is_refused() {
    let fwd = Fwd::new();
    fwd.expect_error(&["trace"], 3, &["nothing is up", " up "]);
    let pod = fwd.up("c1", &["--datapath", "kernel"]);
    for args in [&["trace"][..], &["trace", &pod.name]] {
        fwd.expect_error(args, 5, &["datapath kernel", " latency"]);
    }
    for flow in ["tcq", "10.77.0.2:port", "a > b > c"] {
        let output = fwd.call(&["trace", "--flow", flow]);
        assert_eq!(output.status.code(), Some(2), "{flow}: {}", output.stderr);
        assert!(output.stderr.contains("--flow"), "{}", output.stderr);
    }
    assert!(pings(&pod, pod.gateway));
}
