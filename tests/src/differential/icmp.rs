//! Echo, errors, and the programs that live on them.

use super::{
    Conversation,
    side::{NARROW, Side},
};
use crate::{fwd::try_inside, packet::ICMP};

pub(super) const CONVERSATIONS: &[Conversation] = &[
    ("ping", ping),
    ("ping with large packets", large_ping),
    ("ping too large for a hop", too_large),
    ("ping at the end of its ttl", ttl),
    ("traceroute by udp", |side| traceroute(side, &[])),
    ("traceroute by icmp", |side| traceroute(side, &["-I"])),
    ("traceroute by tcp", |side| traceroute(side, &["-T", "-p", "9009"])),
    ("tracepath", tracepath),
];

/// The addresses that a program names in its output, and how many answers came.
fn summary(side: &Side, argv: &[&str]) -> Vec<String> {
    let output = try_inside(&side.one, argv);
    let line = output.stdout.lines().find(|line| line.contains("received")).unwrap_or("no summary");
    let line = line.split(", time").next().unwrap_or_default().to_owned();
    let mut seen = vec![line];
    let errors = output.stdout.lines().chain(output.stderr.lines());
    let errors = errors.filter_map(|line| line.strip_prefix("From "));
    seen.extend(errors.map(|line| {
        let (from, what) = line.split_once(' ').unwrap_or((line, ""));
        let from = from.trim_end_matches(':').parse().map_or_else(|_| from.to_owned(), |address| side.role(address));
        let what = what.split_once(' ').map_or(what, |(_, what)| what);
        format!("{what}, says {from}")
    }));
    seen
}

fn ping(side: &Side) -> Vec<String> {
    let act = || summary(side, &["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", &side.outside.to_string()]);
    let (mut done, seen) = side.seen_by(side.internet(), "inet0", ICMP, act);
    let (_, inside) = side.seen_by(&side.one, "eth0", ICMP, act);
    done.extend(seen);
    done.extend(inside.into_iter().map(|seen| format!("inside: {seen}")));
    done
}

fn large_ping(side: &Side) -> Vec<String> {
    let address = side.outside.to_string();
    let mut seen =
        summary(side, &["ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", "-s", "1472", "-M", "do", &address]);
    seen.extend(summary(side, &["ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", "-s", "4000", &address]));
    seen
}

fn too_large(side: &Side) -> Vec<String> {
    let size = (NARROW - 28 + 1).to_string();
    let mut seen = summary(side, &["ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", &size, &side.far.to_string()]);
    let size = (NARROW - 28).to_string();
    seen.extend(summary(side, &["ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", &size, &side.far.to_string()]));
    seen
}

fn ttl(side: &Side) -> Vec<String> {
    let hops = ["1", "2", "3"];
    let ping = |ttl| summary(side, &["ping", "-n", "-c", "1", "-W", "2", "-t", ttl, &side.far.to_string()]);
    hops.into_iter().flat_map(ping).collect()
}

/// The hops that a line of `traceroute -n` or `tracepath -n` names.
fn hops(side: &Side, text: &str) -> Vec<String> {
    let hop = |line: &str| {
        let mut words = line.split_whitespace();
        let number = words.next()?.trim_end_matches([':', '?']).to_owned();
        number.parse::<u8>().ok()?;
        let address = words.find(|word| *word == "*" || word.parse::<std::net::Ipv4Addr>().is_ok())?;
        Some(format!("{number} {}", address.parse().map_or_else(|_| "*".into(), |address| side.role(address))))
    };
    let mut hops: Vec<String> = text.lines().filter_map(hop).collect();
    hops.dedup();
    hops
}

fn traceroute(side: &Side, options: &[&str]) -> Vec<String> {
    let far = side.far.to_string();
    let output =
        try_inside(&side.one, &[&["traceroute", "-n", "-q", "1", "-w", "2", "-m", "6"], options, &[&far]].concat());
    hops(side, &output.stdout)
}

fn tracepath(side: &Side) -> Vec<String> {
    let output = try_inside(&side.one, &["tracepath", "-n", "-m", "6", &side.far.to_string()]);
    let mut seen = hops(side, &output.stdout);
    let resume = output.stdout.lines().find_map(|line| line.trim().strip_prefix("Resume: "));
    seen.push(resume.unwrap_or("no summary").split(" back").next().unwrap_or_default().trim().to_owned());
    seen
}
