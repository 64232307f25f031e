//! Echo.

use super::{Conversation, side::Side};
use crate::{fwd::try_inside, packet::ICMP};

pub(super) const CONVERSATIONS: &[Conversation] = &[("ping", ping), ("ping with large packets", large_ping)];

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
