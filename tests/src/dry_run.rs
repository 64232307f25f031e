//! What `--dry-run` prints can be pasted.

use std::process::Command;

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
