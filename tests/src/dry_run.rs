//! What `--dry-run` prints can be pasted: whatever is asked for, each line runs, or is a comment.

use std::{collections::BTreeSet, process::Command};

use forwarder::testbed::TestbedSpec;
use serde_json::Value;

use crate::fwd::{Fwd, inside, open, pings, pings6, text, try_inside};

/// The command lines of a plan, one after the other.
fn command_lines(steps: &[Value]) -> Vec<String> {
    let of = |step: &Value| step["commands"].as_array().expect("lines").iter().map(text).collect::<Vec<_>>();
    steps.iter().flat_map(of).collect()
}

/// Runs the lines as somebody would who pastes them.
#[track_caller]
fn paste(lines: &[String]) {
    for line in lines {
        run_command(Command::new("bash").args(["-c", line])).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

fn run_command(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn every_line_of_a_dry_run_runs_or_is_a_comment() {
    every_line_runs(&Fwd::new(), &["kernel", "tc"], &[]);
}

#[test]
fn every_line_of_a_dry_run_with_ipv6_runs_or_is_a_comment() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let uplink = fwd.uplink(0);
    let sources = [uplink.address.to_string(), uplink.ipv6.expect("it has IPv6").address.to_string()];
    let options = ["--source", &sources[0], "--source6", &sources[1], "-p", "8080:80"];
    every_line_runs(&fwd, &["kernel"], &options);
}

#[track_caller]
fn every_line_runs(fwd: &Fwd, datapaths: &[&str], options: &[&str]) {
    for datapath in datapaths {
        let name = fwd.name("c1");
        let up = [&["up", "--ns", &name, "--datapath", datapath, "--dry-run"], options].concat();
        let lines = command_lines(&fwd.list(&up));
        paste(&lines);
        if *datapath == "kernel" {
            assert!(pings(&open(&name), fwd.uplink(0).outside[0]), "all of it was done by hand: {lines:#?}");
            if let Some(ipv6) = fwd.uplink(0).ipv6 {
                assert!(pings6(&open(&name), ipv6.outside), "all of it was done by hand: {lines:#?}");
            }
        }
        inside(fwd.host(), &["ip", "link", "del", "fwd0"]);
        run_command(Command::new("ip").args(["netns", "del", &name])).expect("it was made");
        run_command(Command::new("rm").args(["-rf", &format!("/etc/netns/{name}")])).expect("it is ours");
        forget_rules(fwd);
        fwd.up("c1", &[&["--datapath", datapath], options].concat());
        paste(&command_lines(&fwd.list(&["down", "--all", "--dry-run"])));
        fwd.ok(&["down", "--all"]);
        forget_rules(fwd);
    }
}

/// Rules of nftables are removed by their handles, which a dry run does not know.
fn forget_rules(fwd: &Fwd) {
    for family in ["ip", "ip6"] {
        drop(try_inside(fwd.host(), &["nft", "delete", "table", family, "fwd_nat"]));
    }
}

/// What forwards packets, as far as the lines differ.
const ALL: &[&str] = &["kernel", "tc", "xdp"];
const PROGRAMS: &[&str] = &["tc", "xdp"];

/// What `up` of a namespace is asked for, by each data path on the left.
const OPTIONS: [(&[&str], &[&str]); 14] = [
    (ALL, &["--rate-out", "10M", "--rate-in", "20M", "--burst", "64k"]),
    (ALL, &["--deny-out", "192.0.2.0/24:25/tcp", "--allow-in", "192.0.2.0/24"]),
    (ALL, &["--allow-out", "[2001:db8::/32]:443/tcp", "--allow-out", "0.0.0.0/0", "--deny-in", "2001:db8::/32"]),
    (ALL, &["--no-icc"]),
    (&["kernel", "tc"], &["--internal"]),
    (&["kernel", "tc"], &["--internal", "--ipv6", "route"]),
    (PROGRAMS, &["--bridge", "none", "-p", "127.0.0.1:5353:53/udp"]),
    (ALL, &["--ipv6", "route", "--subnet6", "2001:db8:0:77::/64", "-p", "[::]:8080:80"]),
    (ALL, &["--ipv4", "off", "-p", "[::]:8080:80"]),
    (ALL, &["-p", "8080-8090:8080-8090/udp", "-p", "8443:443", "--publish-from", "192.0.2.0/24"]),
    (
        ALL,
        &[
            "--mac",
            "02:00:00:00:77:07",
            "--metric",
            "7",
            "--route",
            "10.99.0.0/16",
            "--ifname",
            "lan0",
            "--mtu",
            "1400",
        ],
    ),
    (ALL, &["--no-default-route", "--dns"]),
    (PROGRAMS, &["--nat", "eim-eif", "--multicast", "--flows", "east-west", "--clamp-mss", "--allow-spoof"]),
    (PROGRAMS, &["--attach", "clsact", "--nat-ports", "2000-2999", "--timeout", "udp-established=30s"]),
];

/// A fresh host with IPv6, and something in it beside what a test asks for.
fn host(before: &[&[&str]]) -> Fwd {
    let fwd = Fwd::with(&TestbedSpec { uplinks: 2, ipv6: true, ..TestbedSpec::default() });
    for command in before {
        fwd.ok(&named(&fwd, command).iter().map(String::as_str).collect::<Vec<_>>());
    }
    fwd
}

/// The words of a command, in which `@c1` is the name of a namespace of this run.
fn named(fwd: &Fwd, command: &[&str]) -> Vec<String> {
    command
        .iter()
        .map(|word| word.strip_prefix('@').map_or_else(|| (*word).to_owned(), |role| fwd.name(role)))
        .collect()
}

/// Pastes what `command` would do, in a host of its own; then, in another one, what would undo it.
#[track_caller]
fn pastes(before: &[&[&str]], command: &[&str]) {
    for undo in [false, true] {
        let fwd = host(before);
        let command = named(&fwd, command);
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        let dry = if undo {
            fwd.ok(&command);
            vec!["down", "--all", "--dry-run"]
        } else {
            [command.as_slice(), &["--dry-run"]].concat()
        };
        let lines = command_lines(&fwd.list(&dry));
        assert!(!lines.is_empty(), "{dry:?} would do something");
        paste(&lines);
        for role in ["c1", "c2"] {
            run_command(Command::new("rm").args(["-rf", &format!("/etc/netns/{}", fwd.name(role))]))
                .expect("it is ours");
        }
        // Neither is known to fwd after this.
        fwd.ok(&["down", "--all"]);
    }
}

/// In data paths of their own, which have little in common.
#[track_caller]
fn options_paste(datapath: &str) {
    let mut tried = BTreeSet::<&str>::new();
    for (_, options) in OPTIONS.iter().filter(|(datapaths, _)| datapaths.contains(&datapath)) {
        pastes(&[], &[&["up", "--ns", "@c1", "--datapath", datapath], *options].concat());
        tried.extend(*options);
    }
    assert!(tried.len() > 20, "{tried:?}");
}

#[test]
fn lines_of_every_option_run_with_the_kernels_path() {
    options_paste("kernel");
}

#[test]
fn lines_of_every_option_run_with_tc() {
    options_paste("tc");
}

#[test]
fn lines_of_every_option_run_with_xdp() {
    options_paste("xdp");
}

#[test]
fn lines_of_every_command_run() {
    for datapath in ["kernel", "tc"] {
        let up: &[&str] = &["up", "--ns", "@c1", "--datapath", datapath];
        let web: &[&str] = &["network", "add", "web", "--datapath", datapath, "--allow-network", "fwd0"];
        pastes(&[], web);
        pastes(&[web], &["network", "add", "fwd0", "--datapath", datapath, "--allow-network", "web"]);
        pastes(&[up], &["up", "--ns", "@c2", "--datapath", datapath, "-p", "8080:80"]);
        pastes(&[up], &["up", "--ns", "@c1", "--network", "web", "--ifname", "eth1", "--datapath", datapath]);
        pastes(&[up], &["port", "add", "@c1", "-p", "8080:80", "-p", "5353:53/udp"]);
    }
    pastes(&[&["up", "--ns", "@c1"]], &["uplink", "add", "eth1"]);
}
