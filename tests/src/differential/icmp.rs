//! Echo, errors, and the programs that live on them.

use super::{
    Conversation,
    scenario::{NARROW, Scenario},
};
use crate::{fwd::try_inside, packet::ICMP};

pub(super) const CONVERSATIONS: &[Conversation] = &[
    ("ping", ping),
    ("ping with large packets", large_ping),
    ("ping too large for a hop", too_large),
    ("ping at the end of its ttl", ttl),
    ("traceroute by udp", |scenario| traceroute(scenario, &[])),
    ("traceroute by icmp", |scenario| traceroute(scenario, &["-I"])),
    ("traceroute by tcp", |scenario| traceroute(scenario, &["-T", "-p", "9009"])),
    ("tracepath", tracepath),
];

/// The addresses that a program names in its output, and how many answers came.
fn summary(scenario: &Scenario, argv: &[&str]) -> Vec<String> {
    let output = try_inside(&scenario.one, argv);
    let line = output.stdout.lines().find(|line| line.contains("received")).unwrap_or("no summary");
    let line = line.split(", time").next().unwrap_or_default().to_owned();
    let mut seen = vec![line];
    let errors = output.stdout.lines().chain(output.stderr.lines());
    let errors = errors.filter_map(|line| line.strip_prefix("From "));
    seen.extend(errors.map(|line| {
        let (from, what) = line.split_once(' ').unwrap_or((line, ""));
        let from =
            from.trim_end_matches(':').parse().map_or_else(|_| from.to_owned(), |address| scenario.role(address));
        let what = what.split_once(' ').map_or(what, |(_, what)| what);
        format!("{what}, says {from}")
    }));
    seen
}

fn ping(scenario: &Scenario) -> Vec<String> {
    let act = || summary(scenario, &["ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", &scenario.outside.to_string()]);
    let (mut done, seen) = scenario.seen_by(scenario.internet(), "inet0", ICMP, act);
    let (_, inside) = scenario.seen_by(&scenario.one, "eth0", ICMP, act);
    done.extend(seen);
    done.extend(inside.into_iter().map(|seen| format!("inside: {seen}")));
    done
}

fn large_ping(scenario: &Scenario) -> Vec<String> {
    let address = scenario.outside.to_string();
    let mut seen =
        summary(scenario, &["ping", "-n", "-c", "2", "-i", "0.2", "-W", "5", "-s", "1472", "-M", "do", &address]);
    seen.extend(summary(scenario, &["ping", "-n", "-c", "2", "-i", "0.2", "-W", "5", "-s", "4000", &address]));
    seen
}

fn too_large(scenario: &Scenario) -> Vec<String> {
    let size = (NARROW - 28 + 1).to_string();
    let mut seen =
        summary(scenario, &["ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", &size, &scenario.far.to_string()]);
    let size = (NARROW - 28).to_string();
    seen.extend(summary(
        scenario,
        &["ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", &size, &scenario.far.to_string()],
    ));
    seen
}

fn ttl(scenario: &Scenario) -> Vec<String> {
    let hops = ["1", "2", "3"];
    let ping = |ttl| summary(scenario, &["ping", "-n", "-c", "1", "-W", "5", "-t", ttl, &scenario.far.to_string()]);
    hops.into_iter().flat_map(ping).collect()
}

/// The hops that a line of `traceroute -n` or `tracepath -n` names.
fn hops(scenario: &Scenario, text: &str) -> Vec<String> {
    let hop = |line: &str| {
        let mut words = line.split_whitespace();
        let number = words.next()?.trim_end_matches([':', '?']).to_owned();
        number.parse::<u8>().ok()?;
        let address = words.find(|word| *word == "*" || word.parse::<std::net::Ipv4Addr>().is_ok())?;
        Some(format!("{number} {}", address.parse().map_or_else(|_| "*".into(), |address| scenario.role(address))))
    };
    let mut hops: Vec<String> = text.lines().filter_map(hop).collect();
    hops.dedup();
    hops
}

fn traceroute(scenario: &Scenario, options: &[&str]) -> Vec<String> {
    let far = scenario.far.to_string();
    let output =
        try_inside(&scenario.one, &[&["traceroute", "-n", "-q", "1", "-w", "2", "-m", "6"], options, &[&far]].concat());
    hops(scenario, &output.stdout)
}

fn tracepath(scenario: &Scenario) -> Vec<String> {
    let output = try_inside(&scenario.one, &["tracepath", "-n", "-m", "6", &scenario.far.to_string()]);
    let mut seen = hops(scenario, &output.stdout);
    let resume = output.stdout.lines().find_map(|line| line.trim().strip_prefix("Resume: "));
    seen.push(resume.unwrap_or("no summary").split(" back").next().unwrap_or_default().trim().to_owned());
    seen
}
