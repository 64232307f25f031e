//! Follows packets from hook to hook, and flows over their translation.

use std::collections::{HashMap, HashSet};

use super::{FlowPattern, Packet, packet::Tuple};

/// How long a packet may be on its way between two hooks, nanoseconds: as long as it waits for a neighbour's address.
const LONGEST: u64 = 3_000_000_000;
/// So many packets and tuples are remembered at most.
const MOST: usize = 8192;

/// What a packet of IPv4 is known by from one hook to the next: tuple, identification, length. A TCP segment that is sent again has
/// another identification.
type Key = (Tuple, u16, u32);

/// Remembers packets and flows that were shown.
#[derive(Debug, Default)]
pub struct Follower {
    /// When the packet was at its last hook, and at which, by what it was when it went on.
    seen: HashMap<Key, (u64, u32)>,
    /// What flows that were asked for look like before and after their translation, both directions.
    wanted: HashSet<Tuple>,
}

impl Follower {
    /// Whether a packet is of the flows that are asked for: by what it was, by what it became, or because it is the translation of one
    /// that was.
    pub fn wants(&mut self, pattern: &FlowPattern, before: &Packet, after: &Packet) -> bool {
        let tuples: Vec<Tuple> = [before, after].into_iter().filter_map(Packet::tuple).collect();
        let wanted = tuples.iter().any(|tuple| pattern.matches(*tuple) || self.wanted.contains(tuple));
        if wanted {
            if self.wanted.len() >= MOST {
                self.wanted.clear();
            }
            self.wanted.extend(tuples.into_iter().flat_map(|(proto, src, dst)| [(proto, src, dst), (proto, dst, src)]));
        }
        wanted
    }

    /// Time since the same packet was at another hook, nanoseconds: it came to the hook with this number at `at` as `before`, `length`
    /// bytes long, and went on as `after`.
    pub fn since(&mut self, (at, hook): (u64, u32), length: u32, before: &Packet, after: &Packet) -> Option<u64> {
        let key = |packet: &Packet| Some((packet.tuple()?, packet.ip_id?, length));
        let last = key(before).and_then(|key| self.seen.remove(&key));
        if self.seen.len() >= MOST {
            self.seen.retain(|_, (last, _)| at.saturating_sub(*last) < LONGEST);
            if self.seen.len() >= MOST {
                self.seen.clear();
            }
        }
        self.seen.extend(key(after).map(|key| (key, (at, hook))));
        let (last, other) = last?;
        at.checked_sub(last).filter(|since| *since < LONGEST && other != hook)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use forwarder_common::wire::emit;

    use super::*;

    /// A segment from an address and a port to port 443.
    fn segment(src: [u8; 4], port: u16) -> Packet {
        let (from, to) = (SocketAddrV4::new(src.into(), port), SocketAddrV4::new([203, 0, 113, 1].into(), 443));
        Packet::read(0x0800, &emit::Packet::tcp(from, to).fragmentation(0).emit())
    }

    #[test]
    fn packet_is_followed_through_its_translation() {
        let (inside, outside) = (segment([10, 77, 0, 2], 1234), segment([198, 51, 100, 2], 5000));
        let mut follower = Follower::default();
        assert_eq!(follower.since((1_000, 0), 60, &inside, &outside), None);
        assert_eq!(follower.since((3_500, 2), 60, &outside, &outside), Some(2_500));
        assert_eq!(
            follower.since((4_000, 2), 60, &outside, &outside),
            None,
            "one that looks the same at the same hook"
        );
        assert_eq!(follower.since((4_500, 5), 61, &outside, &outside), None, "another length is another packet");
        assert_eq!(follower.since((4_000 + LONGEST, 5), 60, &outside, &outside), None, "long after");
    }

    #[test]
    fn translation_of_a_flow_that_was_asked_for_is_shown_too() {
        let (inside, outside) = (segment([10, 77, 0, 2], 1234), segment([198, 51, 100, 2], 5000));
        let pattern: FlowPattern = "10.77.0.2".parse().expect("a pattern");
        let mut follower = Follower::default();
        assert!(!follower.wants(&pattern, &outside, &outside), "nobody knows yet whose it is");
        assert!(follower.wants(&pattern, &inside, &outside));
        assert!(follower.wants(&pattern, &outside, &outside));
        let other = segment([198, 51, 100, 2], 5001);
        assert!(!follower.wants(&pattern, &other, &other), "another flow of the same uplink");
    }

    #[test]
    fn memory_is_bounded() {
        let mut follower = Follower::default();
        for port in 0..=u16::MAX {
            let packet = segment([10, 77, 0, 2], port);
            follower.since((port.into(), 0), 60, &packet, &packet);
        }
        assert!(follower.seen.len() <= MOST);
    }
}
