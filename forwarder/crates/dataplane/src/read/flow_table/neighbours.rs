//! What neighbours speak, as users see it: they have no flows, and where it is kept what they speak, it is shown like one.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use forwarder_common::{
    abi::{Config, Conversation, ConversationRecord, Counter, feature},
    decide::policy::conversation::{is_over, lasts},
    flow::ipv6,
};

use super::flows::{Flow, ICMP};
use crate::{Clock, Dataplane, object::maps};
use fwd_base::Result;

impl Dataplane {
    /// What neighbours speak, as flows of those who began it, in no order: where one of them has rules, or its network counts what its
    /// endpoints speak. Also what endpoints have spoken that are gone.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn neighbour_flows(&self) -> Result<Vec<Flow>> {
        let config = self.config()?;
        if !self.is_loaded() || config.features & (feature::POLICY | feature::EAST_WEST) == 0 {
            return Ok(Vec::new());
        }
        let clock = self.clock()?;
        // The rules of who had some may be gone meanwhile, and it is counted what they went by: then that is how far it has come.
        let mut found: HashMap<_, _> = self.entries(maps::CONVERSATIONS)?.into_iter().collect();
        for (spoken, at) in self.entries(maps::COUNTED)? {
            let known = found.entry(spoken).or_insert(at);
            if clock.since(at.seen) < clock.since(known.seen) {
                *known = at;
            }
        }
        let found = found.into_iter();
        Ok(found.filter(|(spoken, at)| goes_on(spoken, at, &config, &clock)).map(|it| flow(&it, &clock)).collect())
    }
}

fn goes_on(spoken: &Conversation, at: &ConversationRecord, config: &Config, clock: &Clock) -> bool {
    lasts(spoken.proto, is_over(at.ended, at.ended_by_other), at.seen, clock.now, &config.timeouts)
}

fn flow((spoken, at): &(Conversation, ConversationRecord), clock: &Clock) -> Flow {
    let Conversation { from, to, src, dst, sport, dport, proto, .. } = *spoken;
    let icmp = proto == ICMP;
    let socket = |addr: [u8; 16], port: [u8; 2]| {
        SocketAddr::new(IpAddr::from(addr).to_canonical(), if icmp { 0 } else { u16::from_be_bytes(port) })
    };
    let (src, dst) = (socket(src, sport), socket(dst, dport));
    let count = |counter: Counter| (counter.packets, counter.bytes);
    Flow {
        proto: if src.is_ipv6() { ipv6::number(proto) } else { proto },
        src,
        dst,
        nat: src,
        icmp_id: icmp.then(|| u16::from_be_bytes(sport)),
        state: state(at),
        tx: count(at.sent),
        rx: count(at.received),
        age: clock.since(at.began),
        idle: clock.since(at.seen),
        endpoint: from,
        peer: Some(to),
        handshake_rtt: None,
    }
}

/// How far it has come: nobody looks at more of it than who has spoken, and who has ended it.
const fn state(at: &ConversationRecord) -> &'static str {
    if is_over(at.ended, at.ended_by_other) {
        "closing"
    } else if at.sent.packets == 0 || at.received.packets == 0 {
        "half-open"
    } else {
        "established"
    }
}

#[cfg(test)]
mod tests {
    use forwarder_common::{abi::mapped, wire::l4::tcp_flag};

    use super::*;

    const CLOCK: Clock = Clock { now: 5_000, hz: 100 };

    fn spoken(proto: u8) -> Conversation {
        Conversation {
            from: 7,
            to: 8,
            src: mapped([10, 77, 0, 2]),
            dst: mapped([10, 77, 0, 3]),
            sport: [1, 0],
            dport: [0, 80],
            proto,
            ..Conversation::default()
        }
    }

    #[test]
    fn conversation_is_shown_as_the_flow_of_who_began_it() {
        let sent = Counter { packets: 3, bytes: 300 };
        let at = ConversationRecord { seen: 4_900, began: 4_000, sent, ..ConversationRecord::default() };
        let shown = flow(&(spoken(6), at), &CLOCK);
        assert_eq!((shown.src.to_string(), shown.dst.to_string()), ("10.77.0.2:256".into(), "10.77.0.3:80".into()));
        assert_eq!((shown.endpoint, shown.peer, shown.nat, shown.state), (7, Some(8), shown.src, "half-open"));
        assert_eq!((shown.tx, shown.rx, shown.age.as_secs(), shown.idle.as_secs()), ((3, 300), (0, 0), 10, 1));
        let ping = flow(&(spoken(1), at), &CLOCK);
        assert_eq!((ping.src.port(), ping.icmp_id), (0, Some(256)));
    }

    #[test]
    fn state_is_told_by_who_has_spoken_and_who_has_ended_it() {
        let counter = Counter { packets: 1, bytes: 60 };
        let mut at = ConversationRecord { sent: counter, ..ConversationRecord::default() };
        assert_eq!(state(&at), "half-open");
        at.received = counter;
        assert_eq!(state(&at), "established");
        at.ended = tcp_flag::FIN.into();
        assert_eq!(state(&at), "established", "the other end may go on");
        at.ended_by_other = tcp_flag::FIN.into();
        assert_eq!(state(&at), "closing");
    }
}
