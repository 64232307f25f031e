//! A run of `fwd latency`.

use fwd_observe::latency::Distribution;

use crate::{LatencyCost, LatencyInterval, LatencyPathView, LatencyView, LatencyWay, RoundTripInterval, RoundTripView};

/// Packets with latencies around `typical` nanoseconds and a tail to a hundred times of it.
fn distribution(typical: u64, packets: u64) -> Distribution {
    let mut tally =
        forwarder_common::abi::LatencyTally { started: packets + 3, ..forwarder_common::abi::LatencyTally::EMPTY };
    for number in 0..packets {
        let share = (number as f64 + 0.5) / packets as f64;
        // Most lie close together; the slower, the rarer.
        let ns = (typical as f64 * (0.8 + 0.2 * share + 0.005 / (1.0 - share))) as u64;
        tally.buckets[forwarder_common::latency::bucket(ns)] += 1;
        tally.measured += 1;
        tally.packets += 1;
        tally.sum_ns += ns;
        tally.max_ns = tally.max_ns.max(u32::try_from(ns).unwrap());
    }
    Distribution::from(&tally)
}

pub(crate) fn round_trip() -> RoundTripView {
    let interval = |(at_ms, mean_ns)| RoundTripInterval { at_ms, count: 100, mean_ns };
    RoundTripView {
        ns: Some("mynet".into()),
        src_addr: [10, 77, 0, 2].into(),
        src_port: 40_000,
        dst_addr: [203, 0, 113, 10].into(),
        dst_port: 443,
        count: 300,
        mean_ns: 11_500_000,
        min_ns: 10_100_000,
        max_ns: 52_000_000,
        last_ns: 10_900_000,
        intervals: [(1000, 11_000_000), (2000, 12_700_000), (3000, 10_800_000)].map(interval).into(),
    }
}

pub(crate) fn latency() -> LatencyView {
    let (out, back) = (distribution(2_200, 20_000), distribution(1_400, 20_000));
    let interval = |at_ms, factor: u64| {
        let (out, back) = (distribution(2_200 * factor, 10_000), distribution(1_400 * factor, 9_000));
        let buckets = [out.buckets().collect(), back.buckets().collect()];
        LatencyInterval { at_ms, out: (&out).into(), back: (&back).into(), buckets }
    };
    LatencyView {
        duration_ms: 3_000,
        cost: LatencyCost {
            sample_first: 1,
            sample_last: 4,
            sample_most: 8,
            passed_ns: 20.0,
            measured_ns: 118.0,
            packet_ns: 44.5,
            zero_ns: 45.2,
        },
        paths: vec![LatencyPathView {
            network: Some("fwd0".into()),
            ns: Some("mynet".into()),
            interface: "eth0".into(),
            inside: true,
            uplink: "eth0".into(),
            datapath: Some("tc".into()),
            out: LatencyWay::new(&out, true),
            back: LatencyWay::new(&back, false),
        }],
        round_trips: None,
        intervals: vec![interval(1000, 1), interval(2000, 4), interval(3000, 1)],
    }
}
