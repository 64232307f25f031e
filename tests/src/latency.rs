//! `fwd latency`: what it times, what it does not, and what it leaves behind.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use forwarder::{
    Error, Kind,
    netlink::Netlink,
    netns::Netns,
    testbed::{Delay, Namespace, Process, tcx_programs, wait_until},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, LIMIT, Pod, inside, number},
    ipv6::{self, alone},
    peers::{ANY, PATIENCE, at, connect, echo_udp, listen, udp},
};

/// A run of `fwd latency --json` that goes on until it is told to end.
pub(crate) struct Run(Process);

impl Run {
    /// Starts it, and waits until it is attached at `ifname` of `ns`.
    #[track_caller]
    pub(crate) fn start(fwd: &Fwd, args: &[&str], ns: &Netns, ifname: &str) -> Self {
        let (ingress, egress) = programs(ns, ifname);
        let attached = || programs(ns, ifname) == (ingress + 1, egress + 1);
        let process = Process::spawn(fwd.command(&[&["latency", "--json"], args].concat())).expect("it starts");
        wait_until(PATIENCE, "it is attached", || Ok(attached().then_some(())))
            .unwrap_or_else(|error| panic!("{error}: {}", process.stderr()));
        Self(process)
    }

    /// Ends it as Ctrl-C does; what it found.
    #[track_caller]
    pub(crate) fn end(self) -> Value {
        self.0.signal(Signal::SIGINT).expect("it runs");
        let output = self.0.wait(LIMIT).expect("it ends").success().expect("well");
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", output.stdout))
    }
}

/// TCX programs at both hooks of an interface.
#[track_caller]
fn programs(ns: &Netns, ifname: &str) -> (u32, u32) {
    ns.run(|| {
        let missing = || Error::new(Kind::NotFound, "find", ifname, "it is not there");
        tcx_programs(Netlink::here()?.link(ifname)?.ok_or_else(missing)?.index)
    })
    .expect("an interface")
}

/// Sends `count` datagrams from `ns` to a server outside, each of which is echoed.
#[track_caller]
pub(crate) fn exchange(ns: &Netns, server: (&Netns, impl Into<IpAddr>), count: u32) {
    let server_at = SocketAddr::new(server.1.into(), 7100);
    let echo = echo_udp(udp(server.0, server_at), count as usize);
    let any: IpAddr = if server_at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let client = udp(ns, (any, 0));
    let mut buffer = [0; 64];
    for number in 0..count {
        client.send_to(&number.to_be_bytes(), server_at).expect("it leaves");
        client.recv_from(&mut buffer).unwrap_or_else(|error| panic!("exchange {number}: {error}"));
    }
    echo.join().expect("the server");
}

/// Makes a namespace connected as docker does: bridge, netfilter, masquerade.
fn by_hand(fwd: &Fwd) -> Namespace {
    let pod = Namespace::create(&fwd.name("hand")).expect("a namespace");
    let script = format!(
        "ip link add hand0 type bridge && ip address add 172.30.0.1/24 dev hand0 && ip link set hand0 up
         ip link add vhand type veth peer name eth0 netns {} && ip link set vhand master hand0 up
         echo 1 > /proc/sys/net/ipv4/ip_forward
         iptables -w -t nat -A POSTROUTING -s 172.30.0.0/24 ! -o hand0 -j MASQUERADE",
        pod.name()
    );
    fwd.on_host(&["sh", "-ec", &script]);
    let script = "ip link set lo up && ip link set eth0 up
        ip address add 172.30.0.2/24 dev eth0 && ip route add default via 172.30.0.1";
    inside(&pod, &["sh", "-ec", script]);
    pod
}

/// The figures of a way are there and in order; how many packets.
#[track_caller]
fn packets(way: &Value) -> u64 {
    let figures = ["p50_ns", "p90_ns", "p99_ns", "p99_9_ns", "max_ns"].map(|key| number(&way[key]));
    assert!(figures.is_sorted() && figures[0] > 0, "{way:#}");
    let buckets = way["buckets"].as_array().expect("a list");
    assert_eq!(buckets.iter().map(|bucket| number(&bucket[2])).sum::<u64>(), number(&way["packets"]), "{way:#}");
    number(&way["packets"])
}

/// Every packet of `count` exchanges was timed, both ways.
#[track_caller]
fn assert_all_timed(found: &Value, count: u32) {
    let path = &found["paths"][0];
    let (out, back) = (packets(&path["out"]), packets(&path["in"]));
    assert_eq!((out, back), (count.into(), count.into()), "{found:#}");
    assert_eq!(number(&path["out"]["unmatched"]), 0, "{found:#}");
    let intervals = found["intervals"].as_array().expect("a list");
    let sum: u64 = intervals.iter().map(|interval| number(&interval["out"]["packets"])).sum();
    assert_eq!(sum, out, "the intervals are the whole");
    let cost = &found["cost"];
    let cost = ["zero_ns", "passed_ns", "measured_ns"].map(|key| cost[key].as_f64().expect("a number"));
    assert!(cost.iter().all(|cost| *cost > 0.0), "{found:#}");
}

#[test]
fn every_packet_is_timed_both_ways() {
    every_packet_of_an_endpoint_is_timed("tc");
}

#[test]
fn every_packet_of_the_kernel_datapath_is_timed_both_ways() {
    every_packet_of_an_endpoint_is_timed("kernel");
}

#[track_caller]
pub(crate) fn every_packet_of_an_endpoint_is_timed(datapath: &str) {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--datapath", datapath]);
    let outside = fwd.uplink(0).outside[0];
    let run = Run::start(&fwd, &[&pod.name, "--sample", "1"], &pod, "eth0");
    exchange(&pod, (fwd.internet(0), outside), 300);
    let found = run.end();
    assert_all_timed(&found, 300);
    let path = &found["paths"][0];
    assert_eq!((&path["ns"], &path["datapath"]), (&pod.name.as_str().into(), &datapath.into()));
    assert_eq!((&path["interface"], &path["uplink"]), (&"eth0".into(), &"eth0".into()));
}

#[test]
fn packets_of_both_families_are_timed() {
    for datapath in ["tc", "kernel"] {
        let (fwd, options) = (ipv6::host_with(1), ["--datapath", datapath]);
        assert_all_of_ipv6_are_timed(&fwd, &fwd.up("c1", &options), &fwd.up("c2", &options), 30);
    }
    let (fwd, options) = (ipv6::host_with(1), ["--ipv4", "off"]);
    assert_all_of_ipv6_are_timed(&fwd, &alone::up(&fwd, "c1", &options), &alone::up(&fwd, "c2", &options), 0);
}

/// And `v4` exchanges of IPv4 beside them.
#[track_caller]
fn assert_all_of_ipv6_are_timed(fwd: &Fwd, pod: &Pod, other: &Pod, v4: u32) {
    let run = Run::start(fwd, &["--sample", "1"], other, "eth0");
    exchange(pod, (fwd.internet(0), ipv6::link(fwd, 0).outside), 120);
    exchange(pod, (other, ipv6::address6(other)), 20);
    exchange(pod, (fwd.internet(0), fwd.uplink(0).outside[0]), v4);
    let found = run.end();
    let path = found["paths"].as_array().expect("a list").iter().find(|path| path["ns"] == pod.name).expect("its path");
    let expected = u64::from(120 + v4);
    assert_eq!((packets(&path["out"]), packets(&path["in"])), (expected, expected), "{path:#}");
    assert_eq!(number(&path["out"]["unmatched"]), 0, "what goes to a neighbour needs no uplink: {path:#}");
}

#[test]
fn path_of_another_maker_is_timed() {
    let fwd = Fwd::new();
    let pod = by_hand(&fwd);
    let server = (&**fwd.internet(0), fwd.uplink(0).outside[0]);
    let name = pod.name().to_string();
    for path in [["--ns", &name], ["--host-if", "vhand"]] {
        let run = Run::start(&fwd, &[&path[..], &["--uplink", "eth0"]].concat(), &pod, "eth0");
        exchange(&pod, server, 100);
        let found = run.end();
        assert_all_timed(&found, 100);
        assert_eq!(found["paths"][0]["ns"], name, "{path:?}");
        assert_eq!((programs(&pod, "eth0"), programs(fwd.host(), "eth0")), ((0, 0), (0, 0)), "after {path:?}");
    }
}

#[test]
fn one_packet_of_n_stands_for_n() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let run = Run::start(&fwd, &[&pod.name, "--sample", "8"], &pod, "eth0");
    exchange(&pod, (fwd.internet(0), fwd.uplink(0).outside[0]), 4000);
    let found = run.end();
    for way in ["out", "in"] {
        let way = &found["paths"][0][way];
        let measured = number(&way["measured"]);
        // Six standard deviations around 500.
        assert!((375..625).contains(&measured), "{way:#}");
        assert_eq!(packets(way), measured * 8, "{way:#}");
    }
}

#[test]
fn each_endpoint_has_figures_of_its_own_and_neighbours_are_not_waited_for() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let run = Run::start(&fwd, &["--sample", "1"], &two, "eth0");
    let outside = (&**fwd.internet(0), fwd.uplink(0).outside[0]);
    exchange(&one, outside, 30);
    exchange(&two, outside, 50);
    exchange(&one, (&two, two.address), 70);
    let found = run.end();
    let paths = found["paths"].as_array().expect("a list");
    for (pod, count) in [(&one, 30), (&two, 50)] {
        let path = paths.iter().find(|path| path["ns"] == pod.name).expect("its path");
        assert_eq!((packets(&path["out"]), packets(&path["in"])), (count, count), "{path:#}");
        assert_eq!(number(&path["out"]["unmatched"]), 0, "what goes to a neighbour needs no uplink: {path:#}");
    }
}

#[test]
fn what_happens_behind_the_uplink_does_not_count() {
    const ONE_WAY: Duration = Duration::from_millis(40);
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let delay = Delay::start(&fwd, ONE_WAY).expect("a far host");
    let run = Run::start(&fwd, &[&pod.name], &pod, "eth0");
    exchange(&pod, (&delay.host, delay.address), 20);
    let found = run.end();
    for way in ["out", "in"] {
        let way = &found["paths"][0][way];
        assert_eq!(packets(way), 20);
        assert!(u128::from(number(&way["p50_ns"])) < ONE_WAY.as_nanos(), "{way:#}");
    }
}

#[test]
fn flows_tell_the_round_trip_of_their_handshake() {
    const ONE_WAY: Duration = Duration::from_millis(40);
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let delay = Delay::start(&fwd, ONE_WAY).expect("a far host");
    let (near, far) = (at(fwd.uplink(0).outside[0], 9000), at(delay.address, 9000));
    let servers = (listen(fwd.internet(0), near), listen(&delay.host, far));
    let connected = [near, far].map(|server| {
        let began = Instant::now();
        let stream = connect(&pod, ANY, server).expect("it connects");
        (stream, u64::try_from(began.elapsed().as_micros()).expect("a short time"))
    });
    exchange(&pod, (fwd.internet(0), fwd.uplink(0).outside[0]), 1);
    // Nobody answers.
    let silent = at(Ipv4Addr::new(198, 51, 100, 77), 9000);
    inside(&pod, &["sh", "-c", &format!("timeout 0.2 bash -c '</dev/tcp/{}/{}'; true", silent.ip(), silent.port())]);
    let flows = fwd.list(&["flows", "--ns", &pod.name]);
    let of = |proto: &str, to: &Ipv4Addr| {
        let found = flows.iter().find(|flow| flow["proto"] == proto && flow["dst_addr"] == to.to_string());
        found.unwrap_or_else(|| panic!("no {proto} to {to} in {flows:#?}"))["handshake_rtt_us"].clone()
    };
    let (close, distant) = (number(&of("tcp", near.ip())), number(&of("tcp", far.ip())));
    // No longer than the client waited, whatever else the machine did, and no shorter than the way there and back.
    let [(_, near_waited), (_, far_waited)] = &connected;
    assert!((1..=*near_waited).contains(&close), "{close} µs of {near_waited}");
    let twice = u64::try_from(2 * ONE_WAY.as_micros()).expect("a short time");
    assert!((twice..=*far_waited).contains(&distant), "{distant} µs of {far_waited}");
    assert_eq!((of("udp", near.ip()), of("tcp", silent.ip())), (Value::Null, Value::Null));
    drop((connected, servers));
}

#[test]
fn what_happens_between_namespace_and_uplink_counts() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    // A queue behind the place where a packet counts as having left: of ten packets at once, each waits 8 ms for the one before.
    inside(
        &pod,
        &["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "1mbit", "burst", "1100", "limit", "100000"],
    );
    let run = Run::start(&fwd, &[&pod.name], &pod, "eth0");
    let server_at = at(fwd.uplink(0).outside[0], 7100);
    let (server, client) = (udp(fwd.internet(0), server_at), udp(&pod, ANY));
    for number in 0..10_u8 {
        client.send_to(&[number; 972], server_at).expect("it leaves");
    }
    let mut buffer = [0; 1000];
    for _ in 0..10 {
        server.recv_from(&mut buffer).expect("it arrives");
    }
    let found = run.end();
    let out = &found["paths"][0]["out"];
    assert_eq!(packets(out), 10);
    assert!(number(&out["p50_ns"]) > 20_000_000 && number(&out["max_ns"]) > 50_000_000, "{out:#}");
}

#[test]
fn packets_that_do_not_get_out_are_lost() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    fwd.on_host(&["ip", "route", "add", "blackhole", "198.18.200.0/24"]);
    let run = Run::start(&fwd, &[&pod.name], &pod, "eth0");
    let client = udp(&pod, ANY);
    for number in 0..7_u8 {
        client.send_to(&[number; 20], at(Ipv4Addr::new(198, 18, 200, 1), 9)).expect("it leaves the namespace");
    }
    exchange(&pod, (fwd.internet(0), fwd.uplink(0).outside[0]), 10);
    let found = run.end();
    let out = &found["paths"][0]["out"];
    assert_eq!((packets(out), number(&out["unmatched"])), (10, 7), "{out:#}");
}

#[test]
fn nothing_stays_attached_whatever_ends_it() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let before = snapshot(&fwd);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let run = Run::start(&fwd, &[&pod.name], &pod, "eth0");
        assert_eq!((programs(&pod, "eth0"), programs(fwd.host(), "eth0")), ((1, 1), (2, 2)));
        run.0.signal(signal).expect("it runs");
        let output = run.0.wait(LIMIT).expect("it ends");
        assert_eq!(output.status.success(), signal != Signal::SIGKILL, "{output:?}");
        let gone = || Ok((programs(&pod, "eth0") == (0, 0)).then_some(()));
        wait_until(PATIENCE, "it is detached", gone).expect("it is");
        assert_as_before(&fwd, &before);
    }
}

#[test]
fn duration_ends_it_and_silence_is_told() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let args = ["latency", &pod.name, "--duration", "300ms", "--interval", "100ms"];
    let output = fwd.call(&args);
    assert!(output.status.success() && output.stderr.contains("no packet passed"), "{output:?}");
    assert!(output.stdout.contains("NAMESPACE") && output.stdout.contains("cost:"), "{output:?}");
    let found = fwd.json(&args);
    assert_eq!(found["intervals"].as_array().expect("a list").len(), 3);
    assert!(found["paths"][0]["out"]["p50_ns"].is_null());
}

#[test]
fn rows_come_while_it_goes_on() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let process = Process::spawn(fwd.command(&["latency", &pod.name, "--interval", "100ms"])).expect("it starts");
    let rows = || Ok((process.stdout().matches('→').count() > 4).then_some(()));
    wait_until(PATIENCE, "rows come", rows).unwrap_or_else(|error| panic!("{error}: {}", process.stdout()));
    process.signal(Signal::SIGINT).expect("it runs");
    let output = process.wait(LIMIT).expect("it ends").success().expect("well");
    assert!(output.stdout.contains("MEASURED"), "{output:?}");
}

#[test]
fn what_cannot_be_measured_is_named_with_a_way_out() {
    let fwd = Fwd::new();
    fwd.expect_error(&["latency"], 3, &["nothing is up", "up --ns", "--host-if"]);
    let pod = fwd.up("c1", &[]);
    fwd.expect_error(&["latency", "nobody"], 3, &["nobody"]);
    fwd.expect_error(
        &["latency", "--host-if", "nope", "--uplink", "eth0"],
        3,
        &["nope", "interfaces here", &pod.host_if],
    );
    fwd.expect_error(&["latency", "--ns", &pod.name, "--uplink", "nope"], 3, &["nope", "interfaces here", "eth0"]);
    let alone = fwd.name("alone");
    fwd.ok(&["ns", "add", &alone]);
    fwd.expect_error(&["latency", "--ns", &alone], 3, &["--uplink"]);
    fwd.expect_error(&["latency", "--ns", &alone, "--uplink", "eth0"], 3, &["no", "veth", "--host-if"]);
    fwd.expect_error(&["latency", "--host-if", "eth0"], 2, &["--uplink"]);
    fwd.expect_error(&["latency", "--duration", "1ms"], 2, &["100ms"]);
    fwd.expect_error(&["latency", "--sample", "0"], 2, &["from 1 on"]);
}
