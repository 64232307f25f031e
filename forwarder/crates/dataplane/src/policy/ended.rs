//! What goes on when the rules of an endpoint change: what they forbid by now ends, and nothing else. It does not wait for a packet from inside,
//! with which the rules of a flow are asked again: of some conversations only the outside speaks.

use std::{collections::HashMap, net::IpAddr};

use forwarder_common::abi::{Conversation, FlowHalf, HAIRPIN, Tuple, flow_kind};

use super::{
    nodes::admit,
    records::{Nodes, Policies},
};
use crate::{
    Dataplane,
    object::{maps, programs},
    read::flow_table::FoundFlow,
};
use fwd_base::Result;

/// The rules of one endpoint.
struct Rules {
    outbound: Nodes,
    inbound: Nodes,
}

impl Rules {
    fn is_empty(&self) -> bool {
        self.outbound.is_empty() && self.inbound.is_empty()
    }

    /// Whether they let such a conversation with `other` begin.
    fn admit(&self, inward: bool, other: IpAddr, proto: u8, port: u16) -> bool {
        admit(if inward { &self.inbound } else { &self.outbound }, other, proto, port)
    }

    /// Whether they let the flow go on that was found. Two flows that make one conversation by an address of the host are judged by the ends as
    /// they are: what is behind the other one tells `hairpins`. Without that it is over.
    fn admit_flow(&self, found: &FoundFlow, hairpins: &HashMap<Tuple, FoundFlow>) -> bool {
        let FlowHalf { tuple, .. } = found.slot.outbound;
        let inward = found.slot.shared.kind == flow_kind::INBOUND;
        let [_, mut other, _] = found.addresses();
        let mut port = if inward { tuple.sport } else { tuple.dport };
        if found.is_hairpin() {
            let Some(behind) = hairpins.get(&found.behind()) else { return false };
            [other, ..] = behind.addresses();
            if !inward {
                port = behind.slot.outbound.tuple.sport;
            }
            // Whoever speaks with himself does not ask.
            if behind.slot.shared.endpoint == found.slot.shared.endpoint {
                return true;
            }
        }
        self.admit(inward, other, tuple.proto, u16::from_be_bytes(port))
    }

    /// Whether they let a conversation with a neighbour go on, of the endpoint with this host-side veth.
    fn admit_conversation(&self, host_veth: u32, spoken: &Conversation) -> bool {
        let Conversation { from, to, src, dst, proto, .. } = *spoken;
        let (src, dst) = (IpAddr::from(src).to_canonical(), IpAddr::from(dst).to_canonical());
        (from != host_veth || self.admit(false, dst, proto, spoken.port()))
            && (to != host_veth || self.admit(true, src, proto, spoken.port()))
    }
}

impl FoundFlow {
    /// Whether it is one of two that make one conversation by an address of the host.
    fn is_hairpin(&self) -> bool {
        self.slot.shared.next_hop == HAIRPIN
    }

    /// What the other one of the two looks like where it comes in by the uplink.
    fn behind(&self) -> Tuple {
        let inbound = self.slot.inbound.tuple;
        // Both ends of it are the same address of the host. Fingerprints of IPv6 stay in their places.
        Tuple { sport: inbound.dport, dport: inbound.sport, ..inbound }
    }
}

impl Dataplane {
    /// Ends what the rules of the endpoint with this host-side veth and this block of counters forbid.
    pub(super) fn end_forbidden(&self, host_veth: u32, block: u32) -> Result<()> {
        if !self.is_loaded() {
            return Ok(());
        }
        let policies: Policies = self.all_policies()?;
        let [outbound, inbound] = [false, true].map(|inward| policies.nodes(block, inward).to_vec());
        let rules = Rules { outbound, inbound };
        for (spoken, _) in self.entries(maps::CONVERSATIONS)? {
            if !rules.admit_conversation(host_veth, &spoken) {
                self.forget(maps::CONVERSATIONS, &spoken)?;
            }
        }
        if !rules.is_empty() {
            self.take_over_counted(host_veth, &rules)?;
        }
        self.end_flows(host_veth, &rules)
    }

    /// What was only counted of an endpoint that has rules now goes on by them, if they admit it.
    fn take_over_counted(&self, host_veth: u32, rules: &Rules) -> Result<()> {
        for (spoken, record) in self.entries(maps::COUNTED)? {
            if ![spoken.from, spoken.to].contains(&host_veth) {
                continue;
            }
            if rules.admit_conversation(host_veth, &spoken) {
                self.put(maps::CONVERSATIONS, &spoken, &record)?;
            }
            self.forget(maps::COUNTED, &spoken)?;
        }
        Ok(())
    }

    fn end_flows(&self, host_veth: u32, rules: &Rules) -> Result<()> {
        if rules.is_empty() {
            return Ok(());
        }
        let (mut flows, mut hairpins) = (Vec::new(), HashMap::new());
        self.each_flow(|found| {
            if found.is_hairpin() {
                hairpins.insert(found.slot.inbound.tuple, found);
            }
            if found.slot.shared.endpoint == host_veth {
                flows.push(found);
            }
        })?;
        for flow in flows.into_iter().filter(|flow| !rules.admit_flow(flow, &hairpins)) {
            // That of who began it first: while it is there, the other one would begin anew.
            if flow.is_hairpin()
                && let Some(behind) = hairpins.get(&flow.behind())
            {
                self.end_flow(behind)?;
            }
            self.end_flow(&flow)?;
        }
        Ok(())
    }

    fn end_flow(&self, found: &FoundFlow) -> Result<()> {
        let mut packet = [0; 64];
        packet[14..18].copy_from_slice(&found.index.to_ne_bytes());
        packet[18..22].copy_from_slice(&found.slot.shared.version.raw().to_ne_bytes());
        self.run(programs::END_FLOW, &packet).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use forwarder_common::abi::{FlowSlot, mapped, mapped_words};

    use super::{super::nodes::nodes, *};
    use crate::Rule;

    const VETH: u32 = 7;

    fn rules(texts: &[&str]) -> Rules {
        let of = |inward| {
            let rules = texts.iter().map(|text| Rule::try_from((*text).to_owned()).expect("a rule"));
            let numbered: Vec<_> = rules.filter(|rule| rule.verb.is_inward() == inward).zip(2..).collect();
            nodes(&numbered, 1)
        };
        Rules { outbound: of(false), inbound: of(true) }
    }

    fn flow(saddr: [u8; 4], daddr: [u8; 4], ports: [u16; 2], kind: u8) -> FoundFlow {
        let [sport, dport] = ports.map(u16::to_be_bytes);
        let mut slot = FlowSlot::default();
        slot.outbound.tuple = Tuple { saddr, daddr, sport, dport, ifindex: VETH, proto: 6, ..Tuple::default() };
        slot.shared.kind = kind;
        slot.shared.endpoint = VETH;
        slot.shared.next_hop = mapped_words(1);
        FoundFlow { index: 1, slot, ends: None }
    }

    #[test]
    fn flows_are_judged_by_who_began_them() {
        let (inside, outside) = ([10, 77, 0, 2], [192, 0, 2, 7]);
        let out = flow(inside, outside, [40_000, 443], flow_kind::ENDPOINT);
        let inward = flow(inside, outside, [80, 40_000], flow_kind::INBOUND);
        let goes_on = |texts: &[&str]| [out, inward].map(|flow| rules(texts).admit_flow(&flow, &HashMap::new()));
        assert_eq!(goes_on(&[]), [true, true]);
        assert_eq!(goes_on(&["deny-out 192.0.2.0/24"]), [false, true]);
        assert_eq!(goes_on(&["deny-in 192.0.2.0/24:80/tcp"]), [true, false]);
        assert_eq!(goes_on(&["allow-out any:443", "allow-in any:81"]), [true, false]);
    }

    /// A client and a server that speak by port 8080 of the host.
    #[test]
    fn conversations_by_the_host_are_judged_by_their_ends() {
        let (client, server, host) = ([10, 77, 0, 2], [10, 77, 0, 3], [192, 0, 2, 1]);
        let hairpin = |mut flow: FoundFlow, ports: [u16; 2]| {
            let [sport, dport] = ports.map(u16::to_be_bytes);
            flow.slot.shared.next_hop = HAIRPIN;
            flow.slot.inbound.tuple =
                Tuple { saddr: host, daddr: host, sport, dport, ifindex: 1, proto: 6, ..Tuple::default() };
            flow
        };
        let first = hairpin(flow(client, host, [40_000, 8080], flow_kind::ENDPOINT), [8080, 2000]);
        let mut second = hairpin(flow(server, host, [80, 2000], flow_kind::INBOUND), [2000, 8080]);
        second.slot.shared.endpoint = VETH + 1;
        let hairpins = HashMap::from([first, second].map(|flow| (flow.slot.inbound.tuple, flow)));
        let goes_on = |texts: &[&str]| [first, second].map(|flow| rules(texts).admit_flow(&flow, &hairpins));
        assert_eq!(goes_on(&["deny-out 192.0.2.1", "deny-in 192.0.2.1"]), [true, true], "the host is no end");
        assert_eq!(goes_on(&["deny-out 10.77.0.3:80"]), [false, true]);
        assert_eq!(goes_on(&["deny-in 10.77.0.2:80"]), [true, false]);
        assert!(!rules(&[]).admit_flow(&first, &HashMap::new()), "the other half is gone");
    }

    #[test]
    fn conversation_of_neighbours_is_judged_at_the_end_whose_rules_they_are() {
        let spoken = Conversation {
            from: VETH,
            to: VETH + 1,
            src: mapped([10, 77, 0, 2]),
            dst: mapped([10, 77, 0, 3]),
            dport: 80_u16.to_be_bytes(),
            proto: 6,
            ..Conversation::default()
        };
        let rules = rules(&["deny-out 10.77.0.3:80/tcp", "deny-in 10.77.0.2"]);
        assert!(!rules.admit_conversation(VETH, &spoken) && !rules.admit_conversation(VETH + 1, &spoken));
        assert!(rules.admit_conversation(VETH + 2, &spoken) && rules.admit_conversation(VETH, &spoken.answer()));
    }
}
