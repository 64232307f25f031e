//! Round trips of TCP conversations over time.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
};

use forwarder_common::{
    abi::{LatencyConversation, LatencyRoundTrips},
    latency::CONVERSATIONS,
};

use crate::{
    Result,
    dataplane::Probes,
    render::{LatencyPathView, RoundTripInterval, RoundTripView},
};

/// So many of the last intervals are kept of each conversation: of seconds, two minutes.
const KEPT: usize = 120;

/// Addresses of both ends, as the programs have them, their ports, and the path.
type Key = ([u32; 4], [u32; 4], u32, u32);

/// What was measured of a conversation.
#[derive(Default)]
struct Measured {
    all: LatencyRoundTrips,
    intervals: VecDeque<RoundTripInterval>,
}

/// The conversations that had round trips last, as many as the programs keep: a namespace may begin new ones without end.
#[derive(Default)]
pub(super) struct Conversations(BTreeMap<Key, Measured>);

impl Conversations {
    /// Reads what came since the last time, which ended `at_ms` milliseconds after the beginning.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(&mut self, probes: &Probes, at_ms: u64) -> Result<()> {
        for (LatencyConversation { inside, outside, ports, path }, now) in probes.round_trips()? {
            self.0.entry((inside, outside, ports, path)).or_default().add(now, at_ms);
        }
        self.forget();
        Ok(())
    }

    /// Forgets those that had none for the longest time, where there are too many.
    fn forget(&mut self) {
        let Some(many) = self.0.len().checked_sub(CONVERSATIONS).filter(|many| *many > 0) else { return };
        let mut ages: Vec<(u64, Key)> = self.0.iter().map(|(key, measured)| (measured.last(), *key)).collect();
        ages.sort_unstable();
        for (_, key) in ages.iter().take(many) {
            self.0.remove(key);
        }
    }

    /// As they are shown: those with the most round trips first.
    pub(super) fn views(self, paths: &[LatencyPathView]) -> Vec<RoundTripView> {
        let mut views: Vec<_> = self.0.into_iter().map(|(key, measured)| measured.view(key, paths)).collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.count));
        views
    }
}

impl Measured {
    fn add(&mut self, now: LatencyRoundTrips, at_ms: u64) {
        // One that had made room for others, and is back, begins anew.
        let before = if now.count < self.all.count { LatencyRoundTrips::default() } else { self.all };
        let count = now.count.saturating_sub(before.count);
        if let Some(mean_ns) = now.sum_ns.saturating_sub(before.sum_ns).checked_div(count) {
            if self.intervals.len() == KEPT {
                self.intervals.pop_front();
            }
            self.intervals.push_back(RoundTripInterval { at_ms, count, mean_ns });
            self.all = now;
        }
    }

    /// When it had round trips last.
    fn last(&self) -> u64 {
        self.intervals.back().map_or(0, |interval| interval.at_ms)
    }

    fn view(self, (inside, outside, ports, path): Key, paths: &[LatencyPathView]) -> RoundTripView {
        let LatencyRoundTrips { count, sum_ns, min_ns, max_ns, last_ns, _pad } = self.all;
        let [s0, s1, d0, d1] = ports.to_ne_bytes();
        let path = usize::try_from(path).ok().and_then(|path| paths.get(path));
        RoundTripView {
            ns: path.and_then(|path| path.ns.clone()),
            src_addr: address(inside),
            src_port: u16::from_be_bytes([s0, s1]),
            dst_addr: address(outside),
            dst_port: u16::from_be_bytes([d0, d1]),
            count,
            mean_ns: sum_ns.checked_div(count).unwrap_or_default(),
            min_ns: min_ns.into(),
            max_ns: max_ns.into(),
            last_ns: last_ns.into(),
            intervals: self.intervals.into(),
        }
    }
}

/// An address, of IPv4 where it is one in its mapped form.
fn address(words: [u32; 4]) -> IpAddr {
    let mut bytes = [0; 16];
    for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *to = word.to_ne_bytes();
    }
    Ipv6Addr::from(bytes).to_canonical()
}

#[cfg(test)]
mod tests {
    use forwarder_common::abi::mapped_words;

    use super::*;

    fn round_trips(count: u64, sum_ns: u64) -> LatencyRoundTrips {
        LatencyRoundTrips { count, sum_ns, min_ns: 1, max_ns: 9, last_ns: 5, _pad: 0 }
    }

    #[test]
    fn no_more_are_kept_than_the_programs_keep() {
        let mut all = Conversations::default();
        for (at_ms, port) in (1..).zip(0..CONVERSATIONS as u32 + 3) {
            all.0.entry(([0; 4], [0; 4], port, 0)).or_default().add(round_trips(1, 1), at_ms);
        }
        // One that was there first, and has round trips still.
        all.0.entry(([0; 4], [0; 4], 0, 0)).or_default().add(round_trips(2, 2), u64::MAX);
        all.forget();
        let ports: Vec<u32> = all.0.keys().map(|(_, _, port, _)| *port).collect();
        assert_eq!((ports.len(), &ports[..3]), (CONVERSATIONS, &[0, 4, 5][..]));
    }

    #[test]
    fn each_interval_has_what_came_in_it() {
        let mut measured = Measured::default();
        for (at_ms, all) in
            [(1, round_trips(2, 20)), (2, round_trips(2, 20)), (3, round_trips(5, 80)), (4, round_trips(1, 7))]
        {
            measured.add(all, at_ms);
        }
        let means: Vec<_> = measured.intervals.iter().map(|it| (it.at_ms, it.count, it.mean_ns)).collect();
        assert_eq!(means, [(1, 2, 10), (3, 3, 20), (4, 1, 7)], "nothing of the second; the last begins anew");
        let ports = u32::from_ne_bytes([0x12, 0x34, 1, 0xbb]);
        let [inside, outside] = [[10, 0, 0, 2], [203, 0, 113, 1]].map(u32::from_ne_bytes).map(mapped_words);
        let view = measured.view((inside, outside, ports, 0), &[]);
        assert_eq!((view.src_addr.to_string(), view.src_port, view.dst_port), ("10.0.0.2".into(), 0x1234, 443));
    }
}
