//! Options of networks, endpoints and the flow table: where they arrive, how they last, and what contradicts them.

use serde_json::{Value, json};

use crate::{
    bpf_ids::pin_directory,
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, inside, number},
};

/// Options of the flow table that are none of the defaults.
const TABLE: [&str; 8] =
    ["--nat-ports", "2000-2999", "--max-flows", "1000", "--max-flows-per-ns", "100", "--timeout", "udp-half-open=2m5s"];

#[test]
fn options_are_shown_and_last_until_down() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let options = [&["--nat", "eim-eif", "--clamp-mss", "--allow-spoof"][..], &TABLE].concat();
    let pod = fwd.up("c1", &options);
    assert_reaches_outside(&fwd, &pod);
    // Given again, and left out.
    for options in [&options[..], &[]] {
        assert_eq!(fwd.up("c1", options).shown["changed"], false);
    }
    let shown = fwd.json(&["inspect", "--ns", &pod.name]);
    assert_eq!(
        (&shown["nat"], &shown["clamp_mss"], &shown["allow_spoof"]),
        (&json!("eim-eif"), &json!(true), &json!(true))
    );
    let table = &shown["table"];
    assert_eq!(table["nat_ports"], json!([2000, 2999]));
    assert_eq!((number(&table["max_flows"]), number(&table["max_flows_per_ns"])), (1000, 100));
    assert_eq!((number(&table["timeouts"]["udp-half-open"]), number(&table["timeouts"]["icmp"])), (125_000, 60_000));
    // A second endpoint is as its network, but guarded.
    let second = fwd.up("c2", &[]);
    assert_eq!((&second.shown["nat"], &second.shown["allow_spoof"]), (&json!("eim-eif"), &json!(false)));
    let ports: Vec<_> = fwd.list(&["flows"]).iter().map(|flow| flow["nat_port"].clone()).collect();
    assert_eq!(ports, [json!(null)], "the ping");
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
    // They went with it.
    let plain = fwd.up("c1", &[]);
    assert_eq!((&plain.shown["nat"], &plain.shown["clamp_mss"]), (&json!("symmetric"), &json!(false)));
    assert_eq!(fwd.json(&["inspect", &plain.name])["table"]["nat_ports"], json!([1024, 29_999]));
}

#[test]
fn contradictions_are_refused_before_anything_is_changed() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let name = fwd.name("c1");
    let refused = |options: &[&str], code, words: &[&str]| {
        fwd.expect_error(&[&["up", "--ns", &name], options].concat(), code, words);
    };
    for (options, words) in [
        (["--nat-ports", "9-2"], ["--nat-ports 9-2", "9-2 ends before it begins"]),
        (["--max-flows", "0"], ["--max-flows 0", "no number"]),
        (["--timeout", "icmp=soon"], ["--timeout icmp=soon", "icmp=90s"]),
    ] {
        refused(&options, 2, &words);
    }
    for option in [&["--nat", "eim"][..], &["--max-flows", "7"], &["--timeout", "icmp=90s"]] {
        refused(&[&["--datapath", "kernel"], option].concat(), 5, &[&option.join(" ")[..7], "--datapath tc"]);
    }
    assert_as_before(&fwd, &before);
    fwd.up("c1", &TABLE);
    let between = snapshot(&fwd);
    refused(&["--nat-ports", "2000-3000"], 4, &["--nat-ports 2000-3000", "2000-2999", "down --all"]);
    refused(&["--max-flows", "2000"], 4, &["--max-flows 2000", "1000"]);
    refused(&["--timeout", "udp-half-open=3m"], 4, &["udp-half-open=3m", "udp-half-open=2m5s"]);
    refused(&["--nat", "eim"], 4, &["NAT", "symmetric", "eim"]);
    refused(&["--clamp-mss"], 4, &["MSS clamping", "off"]);
    refused(&["--allow-spoof"], 4, &["--allow-spoof"]);
    assert_as_before(&fwd, &between);
}

/// CPUs for which the kernel keeps an element of a map per CPU.
fn possible_cpus() -> u64 {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").expect("the kernel tells");
    list.trim().rsplit(['-', ',']).next().and_then(|last| last.parse::<u64>().ok()).expect("a list of CPUs") + 1
}

/// What the kernel charges for every map that is pinned, the flow table's or not.
fn charged(fwd: &Fwd) -> u64 {
    let size = |pin: std::fs::DirEntry| {
        let path = pin.path().display().to_string();
        let shown = inside(fwd.host(), &["bpftool", "--json", "map", "show", "pinned", &path]);
        let shown: Value = serde_json::from_str(&shown).expect("bpftool prints JSON");
        number(&shown["bytes_memlock"])
    };
    std::fs::read_dir(pin_directory(fwd, "maps")).expect("pins").flatten().map(size).sum()
}

#[test]
fn memory_is_what_was_announced() {
    let fwd = Fwd::new();
    for flows in [100, 65_536, 300_000] {
        let flows = flows.to_string();
        let plan = fwd.ok(&["up", "--ns", &fwd.name("c1"), "--max-flows", &flows, "--dry-run"]);
        let sized = |unit| {
            let size = plan.split_once(unit).and_then(|(before, _)| before.rsplit(' ').next()).expect("a size");
            size.parse::<u64>().expect("a number")
        };
        let announced = sized(" MB and ") + sized(" kB for each CPU") * possible_cpus() / 1_000;
        let pod = fwd.up("c1", &["--max-flows", &flows]);
        let memory = number(&fwd.json(&["inspect", &pod.name])["table"]["memory_bytes"]) / 1_000_000;
        assert!(
            announced.abs_diff(memory) <= memory / 10 + 1,
            "{flows} flows: {announced} MB announced, {memory} taken"
        );
        assert_eq!(
            number(&fwd.json(&["inspect", &pod.name])["table"]["memory_bytes"]),
            charged(&fwd),
            "all maps count"
        );
        fwd.ok(&["down", "--all"]);
    }
}

#[test]
fn short_idle_times_are_warned_of() {
    let fwd = Fwd::new();
    let name = fwd.name("c1");
    let output = fwd.call(&["up", "--ns", &name, "--timeout", "tcp-established=10m"]);
    assert!(output.status.success(), "{}", output.stderr);
    assert!(output.stderr.contains("RFC 5382 REQ-5") && output.stderr.contains("2h 4m"), "{}", output.stderr);
    let again = fwd.call(&["up", "--ns", &name, "--timeout", "tcp-established=10m"]);
    assert_eq!(again.stderr, "");
}

#[test]
fn dry_run_shows_lines_that_act_on_this_host() {
    let fwd = Fwd::new();
    let host = fwd.host().name().to_string();
    let plan = fwd.ok(&["up", "--ns", &fwd.name("c1"), "--dry-run"]);
    for line in [
        format!(" ip -n {host} link add fwd0 "),
        format!(" # nsenter --net=/run/netns/{host} bpftool net attach tcx_egress "),
        format!(" ip netns add {}\n", fwd.name("c1")),
        format!(" ip -n {} link set lo up\n", fwd.name("c1")),
    ] {
        assert!(plan.contains(&line), "{line:?} is missing: {plan}");
    }
}
