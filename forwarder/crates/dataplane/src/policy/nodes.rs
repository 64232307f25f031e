//! Rules as the programs look them up: for each prefix of a rule all rules that apply there, the most specific first.

use std::{cmp::Reverse, collections::BTreeSet, net::IpAddr};

use forwarder_common::{
    abi::{POLICY_RULES, PolicyNode, PolicyRule, policy_action},
    decide::policy::{PASSES, protocol, refusal},
    wire::l4::Proto,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Match, Rule, Verb};

/// A rule and its element of `POLICY_COUNTS`.
pub(super) type Numbered = (Rule, u16);

/// The entries for rules of one direction; `otherwise` is the element that counts what is refused because rules allow other things. Without rules
/// there are no entries; with some there is one for all of each family, so that what one of them allows denies the rest of both.
pub(super) fn nodes(rules: &[Numbered], otherwise: u16) -> Vec<(IpNet, PolicyNode)> {
    let mut sorted = rules.to_vec();
    sorted.sort_by_key(|(rule, _)| specificity(rule));
    let mut prefixes: BTreeSet<IpNet> = rules.iter().flat_map(|(rule, _)| rule.what.nets()).collect();
    if !rules.is_empty() {
        prefixes.extend([IpNet::from(Ipv4Net::default()), Ipv6Net::default().into()]);
    }
    let rest = rules.iter().any(|(rule, _)| rule.verb.allows()).then_some(PolicyRule {
        first: 0,
        last: u16::MAX,
        proto: 0,
        action: policy_action::DENY,
        number: otherwise,
    });
    prefixes.into_iter().map(|net| (net, node(&sorted, net, rest))).collect()
}

fn node(sorted: &[Numbered], net: IpNet, rest: Option<PolicyRule>) -> PolicyNode {
    let here = sorted.iter().filter_map(|(rule, number)| {
        let covering = rule.what.nets().into_iter().find(|it| it.contains(&net))?;
        Some(entries(rule, *number, covering == net))
    });
    let mut node = PolicyNode::default();
    for (place, entry) in node.rules.iter_mut().zip(here.flatten().chain(rest)) {
        *place = entry;
    }
    node
}

/// What goes first: longer prefixes, then protocols and ports before all of them, narrower ranges, and what is denied.
fn specificity(rule: &Rule) -> impl Ord + use<> {
    let Rule { verb, what: Match { net, ports, proto } } = *rule;
    let width = ports.map_or(u32::MAX, |(first, last)| u32::from(last - first));
    (Reverse(net.map_or(0, |net| net.prefix_len())), width, proto.is_none(), verb.allows(), *rule)
}

impl Rule {
    /// How many rules of one direction there can be: one place is that of what none of them is about. A rule for ports of TCP and of UDP counts
    /// twice.
    pub const MOST: usize = POLICY_RULES - 1;

    /// How many places it takes of [`Rule::MOST`].
    #[must_use]
    pub fn places(&self) -> usize {
        self.protocols().len()
    }

    /// IP protocols that it is about; 0 for all of them.
    #[must_use]
    pub fn protocols(&self) -> Vec<u8> {
        match (self.what.proto, self.what.ports) {
            (Some(proto), _) => vec![proto],
            (None, Some(_)) => vec![Proto::Tcp as u8, Proto::Udp as u8],
            (None, None) => vec![0],
        }
    }

    /// Those of one direction, in the order in which they are asked: the first that applies decides.
    #[must_use]
    pub fn in_order(rules: &[Self], inward: bool) -> Vec<Self> {
        let mut rules: Vec<Self> = rules.iter().copied().filter(|rule| rule.verb.is_inward() == inward).collect();
        rules.sort_by_key(specificity);
        rules
    }
}

fn entries(rule: &Rule, number: u16, own: bool) -> Vec<PolicyRule> {
    let (first, last) = rule.what.ports.unwrap_or((0, u16::MAX));
    let action = if rule.verb.allows() { policy_action::ALLOW } else { policy_action::DENY };
    let action = if own { action | policy_action::OWN } else { action };
    rule.protocols().into_iter().map(|proto| PolicyRule { first, last, proto, action, number }).collect()
}

/// Whether entries let a conversation with `other` begin, whose protocol has this `number` and which goes to `port`.
pub(super) fn admit(nodes: &[(IpNet, PolicyNode)], other: IpAddr, number: u8, port: u16) -> bool {
    let found = nodes.iter().filter(|(net, _)| net.contains(&other)).max_by_key(|(net, _)| net.prefix_len());
    found.is_none_or(|(_, node)| refusal(&node.rules, protocol(number), port) == PASSES)
}

/// The rules that entries of one direction were made of, and the element that counts what is refused otherwise.
pub(super) fn read(nodes: &[(IpNet, PolicyNode)], inward: bool) -> (Vec<Numbered>, Option<u16>) {
    let (mut rules, mut otherwise): (Vec<Numbered>, _) = (Vec::new(), None);
    for (net, node) in nodes {
        let (own, rest) = read_node(*net, inward, node);
        for (rule, number) in own {
            match rules.iter_mut().find(|(_, known)| *known == number) {
                // That of the other family.
                Some((known, _)) => known.what.net = None,
                None => rules.push((rule, number)),
            }
        }
        if net.prefix_len() == 0 {
            otherwise = otherwise.or(rest);
        }
    }
    rules.sort_unstable();
    (rules, otherwise)
}

fn read_node(net: IpNet, inward: bool, node: &PolicyNode) -> (Vec<Numbered>, Option<u16>) {
    let mut rules: Vec<Numbered> = Vec::new();
    let mut otherwise = None;
    for entry in &node.rules {
        let PolicyRule { first, last, proto, action, number } = *entry;
        let verb = match (action & !policy_action::OWN, inward) {
            (policy_action::ALLOW, false) => Verb::AllowOut,
            (policy_action::ALLOW, true) => Verb::AllowIn,
            (policy_action::DENY, false) => Verb::DenyOut,
            (policy_action::DENY, true) => Verb::DenyIn,
            _ => break,
        };
        if action & policy_action::OWN == 0 {
            // Of shorter prefixes, or the last one of all.
            otherwise = Some(number);
            continue;
        }
        let ports = (first != 0 || last != u16::MAX).then_some((first, last));
        let what = Match { net: Some(net), ports, proto: (proto != 0).then_some(proto) };
        match rules.iter_mut().find(|(_, known)| *known == number) {
            // The second protocol of a rule for ports of both.
            Some((rule, _)) => rule.what.proto = None,
            None => rules.push((Rule { verb, what }, number)),
        }
    }
    (rules, otherwise)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether the most specific rule lets a conversation begin, by looking at all of them.
    fn expected(rules: &[Numbered], addr: IpAddr, proto: u8, port: u16) -> bool {
        let applies = |(rule, _): &&Numbered| {
            let Match { ports, proto: wanted, .. } = rule.what;
            let shows = proto == 6 || proto == 17;
            let port_fits = ports.is_none_or(|(first, last)| shows && (first..=last).contains(&port));
            let net_fits = rule.what.nets().iter().any(|net| net.contains(&addr));
            net_fits && port_fits && wanted.is_none_or(|wanted| wanted == proto)
        };
        match rules.iter().filter(applies).min_by_key(|(rule, _)| specificity(rule)) {
            Some((rule, _)) => rule.verb.allows(),
            None => !rules.iter().any(|(rule, _)| rule.verb.allows()),
        }
    }

    fn net() -> impl Strategy<Value = Option<IpNet>> {
        prop_oneof![
            Just(None),
            (0_u8..4, 28_u8..=32).prop_map(|(low, bits)| Some(IpNet::new_assert([10, 0, 0, low].into(), bits).trunc())),
            (0_u16..4, 124_u8..=128)
                .prop_map(|(low, bits)| Some(IpNet::new_assert([0xfd00, 0, 0, 0, 0, 0, 0, low].into(), bits).trunc())),
        ]
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let ports = prop_oneof![Just(None), (1_u16..6, 0_u16..3).prop_map(|(first, more)| Some((first, first + more)))];
        let proto = prop_oneof![Just(None), Just(Some(6_u8)), Just(Some(17))];
        (any::<bool>(), net(), ports, proto).prop_map(|(allow, net, ports, proto)| Rule {
            verb: if allow { Verb::AllowOut } else { Verb::DenyOut },
            what: Match { net, ports, proto },
        })
    }

    proptest! {
        #[test]
        fn longest_prefix_has_all_that_applies_there(
            rules in proptest::collection::btree_set(rule(), 0..8), v6: bool, low in 0_u8..20,
            proto in prop_oneof![Just(1_u8), Just(6), Just(17)], port in 1_u16..9,
        ) {
            let rules: Vec<Numbered> = rules.into_iter().zip(10..).collect();
            let addr = if v6 { IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, low.into()]) } else { [10, 0, 0, low].into() };
            prop_assert_eq!(admit(&nodes(&rules, 5), addr, proto, port), expected(&rules, addr, proto, port));
        }

        #[test]
        fn what_is_written_is_read_again(rules in proptest::collection::btree_set(rule(), 0..8)) {
            let rules: Vec<Numbered> = rules.into_iter().zip(10..).collect();
            let (read, otherwise) = read(&nodes(&rules, 5), false);
            let allows = rules.iter().any(|(rule, _)| rule.verb.allows());
            prop_assert_eq!(read, rules);
            prop_assert_eq!(otherwise, allows.then_some(5));
        }
    }
}
