//! The same conversations through `--datapath tc`, `xdp` and `kernel`: what clients and servers see is the same, but for
//! the differences listed here, of which docs/rfc.md tells the reasons.
//!
//! Timing and port numbers are no part of it: both may choose them freely.

mod icmp;
mod neighbours;
mod published;
mod rules;
mod scenario;
mod source;
mod tcp;
mod udp;

use std::{collections::BTreeMap, thread};

use self::scenario::Scenario;

/// A name, and what to do; what the peers saw, in words.
type Conversation = (&'static str, fn(&Scenario) -> Vec<String>);

/// What both data paths are known to do differently.
struct Difference {
    conversation: &'static str,
    tc: &'static [&'static str],
    kernel: &'static [&'static str],
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        conversation: "published apart from neighbours",
        tc: &[
            "the bridge does not: neighbour true, itself true, straight false",
            "the bridge calls netfilter: neighbour true, itself true, straight false",
        ],
        kernel: &[
            "the bridge does not: neighbour true, itself true, straight false",
            "the bridge calls netfilter: neighbour false, itself false, straight false",
        ],
    },
    Difference {
        conversation: "another source of the network",
        tc: &["with a proper one: udp uplink > outside, ttl 63"],
        kernel: &["with a proper one: udp uplink > outside, ttl 63", "alone: udp uplink > outside, ttl 63"],
    },
    Difference {
        conversation: "a source of nobody",
        tc: &["with a proper one: udp uplink > outside, ttl 63"],
        kernel: &[
            "with a proper one: udp 192.0.2.77 > outside, ttl 63",
            "with a proper one: udp uplink > outside, ttl 63",
            "alone: udp 192.0.2.77 > outside, ttl 63",
        ],
    },
];

#[track_caller]
fn assert_alike(conversations: &[Conversation]) {
    let run = |datapath: &'static str| {
        let scenario = Scenario::new(datapath);
        conversations.iter().map(|(name, run)| (*name, run(&scenario))).collect::<BTreeMap<_, _>>()
    };
    let (tc, xdp, kernel) = thread::scope(|scope| {
        let [tc, xdp, kernel] = ["tc", "xdp", "kernel"].map(|datapath| scope.spawn(move || run(datapath)));
        (tc.join().expect("datapath tc"), xdp.join().expect("datapath xdp"), kernel.join().expect("datapath kernel"))
    });
    assert_eq!(xdp, tc, "XDP is only a faster way to the same");
    let mut wrong = Vec::new();
    for (name, seen) in &tc {
        let expected = DIFFERENCES.iter().find(|it| it.conversation == *name);
        let as_listed = match expected {
            Some(listed) => *seen == listed.tc && kernel[name] == listed.kernel,
            None => *seen == kernel[name],
        };
        assert!(!seen.is_empty(), "{name}: nothing was seen");
        if !as_listed {
            wrong.push(format!("{name}:\n  tc     {seen:#?}\n  kernel {:#?}", kernel[name]));
        }
    }
    assert!(wrong.is_empty(), "not as listed:\n{}", wrong.join("\n"));
}

#[test]
fn tcp_is_the_same_through_both_data_paths() {
    assert_alike(tcp::CONVERSATIONS);
}

#[test]
fn udp_is_the_same_through_both_data_paths() {
    assert_alike(udp::CONVERSATIONS);
}

#[test]
fn icmp_is_the_same_through_both_data_paths() {
    assert_alike(icmp::CONVERSATIONS);
}

#[test]
fn neighbours_host_and_strangers_are_the_same_through_both_data_paths() {
    assert_alike(neighbours::CONVERSATIONS);
}

#[test]
fn published_ports_are_the_same_through_both_data_paths() {
    assert_alike(published::CONVERSATIONS);
}

#[test]
fn sources_are_the_same_through_both_data_paths() {
    assert_alike(source::CONVERSATIONS);
}

#[test]
fn rules_are_the_same_through_both_data_paths() {
    assert_alike(rules::CONVERSATIONS);
}

#[test]
fn every_difference_is_of_a_conversation_and_is_one() {
    let all = [
        tcp::CONVERSATIONS,
        udp::CONVERSATIONS,
        icmp::CONVERSATIONS,
        neighbours::CONVERSATIONS,
        published::CONVERSATIONS,
        source::CONVERSATIONS,
        rules::CONVERSATIONS,
    ]
    .concat();
    let reasons = include_str!("../../../docs/rfc.md");
    for Difference { conversation, tc, kernel } in DIFFERENCES {
        assert!(all.iter().any(|(name, _)| name == conversation), "{conversation}");
        assert_ne!(tc, kernel, "{conversation}");
        assert!(reasons.contains(&format!("**{conversation}**")), "docs/rfc.md gives no reason: {conversation}");
    }
}
