//! Rules about whom an endpoint speaks with, where the kernel forwards.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Acts, Handling, Managed, removal, shell};
use crate::{Actual, EndpointRecord, NetworkRecord};
use fwd_base::text::word;
use fwd_dataplane::{CountedRule, Refusals, Rule};
use fwd_kernel::netlink::nft::{PolicyDirection, PolicyRule, PolicyRules, PortGuard, SourceRules, TABLE};

/// `IPPROTO_ICMP` and `IPPROTO_ICMPV6`, which rules know as the same.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// An endpoint has these rules in nftables, and no others. The records say so afterwards ([`EndpointPolicy`](super::EndpointPolicy)): until then
/// the rules are written once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPolicy {
    /// Name of the network.
    pub network: String,
    /// Name of its host-side veth; none of an endpoint that may send from whatever it likes, and has no guard.
    pub host_if: Option<String>,
    /// Its bridge, of which frames from port to port are to pass these rules, too.
    pub bridge: String,
    /// The endpoint's addresses.
    pub addresses: Vec<IpAddr>,
    /// The network's address of IPv4 for all.
    pub broadcast: Option<Ipv4Addr>,
    /// The rules that it has.
    pub from: Vec<Rule>,
    /// Those that it is to have.
    pub to: Vec<Rule>,
}

impl KernelPolicy {
    /// `to` for an endpoint with a record, in place of the rules that it has; none where programs forward.
    /// `host_if` is what its host-side veth is called now.
    pub(crate) fn of(
        endpoint: &EndpointRecord,
        host_if: String,
        network: &NetworkRecord,
        to: Vec<Rule>,
    ) -> Option<Self> {
        let (addresses, from) = (endpoint.addresses().collect(), endpoint.policy.clone());
        let broadcast = network.gateway.map(|gateway| gateway.broadcast());
        let host_if = (!endpoint.allow_spoof).then_some(host_if);
        let (network_name, bridge) = (network.name.clone(), network.bridge.clone());
        let rules = Self { network: network_name, host_if, bridge, addresses, broadcast, from, to };
        (!network.datapath.is_ebpf()).then_some(rules)
    }

    /// By what the rules of each address are known, among those of this run directory.
    pub(crate) fn comments(&self) -> impl Iterator<Item = String> {
        self.addresses.iter().map(|address| SourceRules::comment(&self.network, *address))
    }

    /// How many of `rules` there are then for each address, by what these are known by.
    pub(crate) fn counts(&self, rules: &[Rule]) -> impl Iterator<Item = (String, usize)> {
        // The guard's are known by the first address.
        let guard = self.guard(String::new(), 0).filter(|_| !rules.is_empty()).map_or(0, |guard| guard.rules().len());
        let guard = [guard].into_iter().chain([0]);
        let count = |address: &IpAddr| self.rules(String::new(), *address, rules, &Counted::default()).rules().len();
        let counts: Vec<usize> =
            self.addresses.iter().zip(guard).map(|(address, guard)| count(address) + guard).collect();
        self.comments().zip(counts)
    }

    /// The guard of its port, which has the number `index`, in a `network` that is called so in nftables.
    #[must_use]
    pub fn guard(&self, network: String, index: u32) -> Option<PortGuard> {
        let (port, addresses) = (self.host_if.clone()?, self.addresses.clone());
        let families = [true, false].into_iter().filter(|v4| addresses.iter().any(|address| address.is_ipv4() == *v4));
        let groups = families.flat_map(|v4| self.groups(v4)).collect();
        Some(PortGuard { network, port, index, addresses, groups })
    }

    /// Groups of multicast, and broadcasts of the network: they pass whatever the rules say.
    fn groups(&self, v4: bool) -> Vec<IpNet> {
        if !v4 {
            return vec![Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8).into()];
        }
        let all = [Ipv4Addr::BROADCAST].into_iter().chain(self.broadcast).map(Ipv4Net::from);
        let multicast = Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4);
        [multicast].into_iter().chain(all).map(IpNet::V4).collect()
    }

    /// Whether any of its rules is there.
    pub(crate) fn has_some(&self, actual: &Actual) -> bool {
        self.comments().any(|comment| actual.host.policy_rules.contains_key(&comment))
    }
}

/// What the rules of an endpoint have refused, each, and what was refused because rules of its direction allow other things.
pub type Counted = (Vec<CountedRule>, Refusals);

impl KernelPolicy {
    /// `rules` for one of its addresses as nftables has them, in a `network` that is called so there. Those that were `counted` go on counting.
    #[must_use]
    pub fn rules(&self, network: String, address: IpAddr, rules: &[Rule], counted: &Counted) -> PolicyRules {
        let directions = directions(rules, address.is_ipv4(), counted);
        PolicyRules { network, address, groups: self.groups(address.is_ipv4()), directions }
    }
}

fn directions(rules: &[Rule], v4: bool, (counted, rest): &Counted) -> [PolicyDirection; 2] {
    let direction = |inward: bool, rest: Option<u64>| {
        let ordered = Rule::in_order(rules, inward);
        let known = |rule: &Rule| counted.iter().find(|it| it.rule == *rule).map_or(0, |it| it.refused);
        let entries = ordered.iter().flat_map(|rule| entries(rule, v4, known(rule)));
        let allows = ordered.iter().any(|rule| rule.verb.allows());
        PolicyDirection { rules: entries.collect(), otherwise: allows.then_some(rest.unwrap_or(0)) }
    };
    [direction(false, rest.outbound), direction(true, rest.inbound)]
}

/// What nftables has `found` of `rules`, of IPv4 or of IPv6: packets of each direction, as [`KernelPolicy::rules`] writes those that deny.
#[must_use]
pub fn kernel_counts(rules: &[Rule], v4: bool, found: &[Vec<u64>; 2]) -> Counted {
    let mut counted = Vec::new();
    let mut rest = Refusals::default();
    for (inward, found) in [false, true].into_iter().zip(found) {
        let mut found = found.iter().copied();
        let ordered = Rule::in_order(rules, inward);
        for rule in &ordered {
            let places = if rule.verb.allows() { 0 } else { entries(rule, v4, 0).len() };
            counted.push(CountedRule { rule: *rule, refused: found.by_ref().take(places).sum() });
        }
        let allows = ordered.iter().any(|rule| rule.verb.allows());
        *(if inward { &mut rest.inbound } else { &mut rest.outbound }) = allows.then(|| found.next().unwrap_or(0));
    }
    counted.sort_unstable_by_key(|it| it.rule);
    (counted, rest)
}

/// A rule as those of an address of one family; none if it is about the other one.
fn entries(rule: &Rule, v4: bool, refused: u64) -> Vec<PolicyRule> {
    let nets = rule.what.nets().into_iter().filter(|net| net.addr().is_ipv4() == v4);
    let protocols = rule.protocols();
    let mut entries: Vec<PolicyRule> = nets
        .flat_map(|other| protocols.iter().map(move |proto| (other, *proto)))
        .map(|(other, proto)| {
            let proto = if proto == ICMP && !v4 { ICMPV6 } else { proto };
            let proto = Some(proto).filter(|proto| *proto != 0);
            PolicyRule { other, proto, ports: rule.what.ports, allows: rule.verb.allows(), refused: 0 }
        })
        .collect();
    entries.first_mut().into_iter().for_each(|first| first.refused = refused);
    entries
}

impl Managed for KernelPolicy {
    fn handling(&self) -> Handling {
        Handling::new("change", "revert", Acts::OnHost).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        if self.to.is_empty() {
            return !self.has_some(actual);
        }
        let mut known = actual.records.endpoints.iter().filter(|it| it.network == self.network);
        let known = known.find(|it| it.addresses().any(|address| self.addresses.contains(&address)));
        let are_there = |(comment, count): (String, usize)| actual.host.policy_rules.get(&comment) == Some(&count);
        // A bridge that was made anew calls netfilter no more.
        let is_filtered = actual.host.net.link(&self.bridge).is_some_and(|bridge| bridge.filtered);
        is_filtered && known.is_some_and(|it| it.policy == self.to) && self.counts(&self.to).all(are_there)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let rules = if make { &self.to } else { &self.from };
        if rules.is_empty() {
            return ["rules_out", "rules_in"].map(removal).into();
        }
        let mut lines =
            vec![format!("ip link set {} type bridge nf_call_iptables 1 nf_call_ip6tables 1", word(&self.bridge))];
        for address in &self.addresses {
            let ip = if address.is_ipv4() { "ip" } else { "ip6" };
            lines.push(format!("nft add table {ip} {TABLE}"));
            lines.extend(PolicyRules::chains().map(|chain| shell::nft(&format!("add chain {ip} {TABLE} {chain}"))));
            let rules = self.rules(self.network.clone(), *address, rules, &Counted::default()).rules();
            lines
                .extend(rules.iter().map(|(chain, rule)| shell::nft(&format!("add rule {ip} {TABLE} {chain} {rule}"))));
        }
        if let Some(guard) = self.guard(self.network.clone(), 0) {
            lines.push(format!("nft add table bridge {TABLE}"));
            lines.extend(PortGuard::chains().map(|chain| shell::nft(&format!("add chain bridge {TABLE} {chain}"))));
            let rules = guard.rules().into_iter();
            lines.extend(rules.map(|(chain, rule)| shell::nft(&format!("add rule bridge {TABLE} {chain} {rule}"))));
        }
        lines
    }
}

impl fmt::Display for KernelPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        write!(f, "nftables rules about whom {} speaks with", addresses.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| Rule::try_from((*text).to_owned()).expect("a rule")).collect()
    }

    fn policy() -> KernelPolicy {
        KernelPolicy {
            network: "web".into(),
            host_if: Some("v1".into()),
            bridge: "web".into(),
            addresses: Vec::new(),
            broadcast: Some([10, 77, 0, 255].into()),
            from: Vec::new(),
            to: Vec::new(),
        }
    }

    #[test]
    fn rules_are_those_of_the_family_with_the_most_specific_first() {
        let given = rules(&[
            "deny-out any:53",
            "allow-out 10.0.0.0/8:443/tcp",
            "deny-out 10.9.0.0/16",
            "allow-in fd00::/8/icmp",
        ]);
        let of = |address: &str| {
            let rules =
                policy().rules("web".into(), address.parse().expect("one"), &given, &Counted::default()).rules();
            rules.into_iter().map(|(chain, rule)| format!("{chain}: {rule}")).collect::<Vec<_>>()
        };
        let v4 = "ct original ip saddr 10.77.0.2";
        assert_eq!(
            of("10.77.0.2"),
            [
                "rules_out: ip saddr 10.77.0.2 ip daddr 224.0.0.0/4 accept".to_owned(),
                "rules_out: ip saddr 10.77.0.2 ip daddr 255.255.255.255 accept".into(),
                "rules_out: ip saddr 10.77.0.2 ip daddr 10.77.0.255 accept".into(),
                "rules_out: ip saddr 10.77.0.2 meta l4proto != ipv6-icmp ct state untracked drop".into(),
                "rules_out: ip saddr 10.77.0.2 ct state invalid drop".into(),
                format!("rules_out: {v4} ct reply ip saddr 10.77.0.2 accept"),
                format!("rules_out: {v4} ct reply ip saddr 10.9.0.0/16 counter drop"),
                format!("rules_out: {v4} ct reply ip saddr 10.0.0.0/8 ct protocol tcp ct reply proto-src 443 accept"),
                format!("rules_out: {v4} ct protocol tcp ct reply proto-src 53 counter drop"),
                format!("rules_out: {v4} ct protocol udp ct reply proto-src 53 counter drop"),
                format!("rules_out: {v4} counter drop"),
                "rules_in: ip daddr 10.77.0.2 meta l4proto != ipv6-icmp ct state untracked drop".into(),
                "rules_in: ip daddr 10.77.0.2 ct state invalid drop".into(),
                "rules_in: ct reply ip saddr 10.77.0.2 ct original ip saddr 10.77.0.2 accept".into(),
                "rules_in: ct reply ip saddr 10.77.0.2 counter drop".into(),
            ]
        );
        let v6 = of("fd00::2");
        let icmp = "rules_in: ct reply ip6 saddr fd00::2 ct original ip6 saddr fd00::/8 ct protocol ipv6-icmp accept";
        assert!(v6.contains(&icmp.to_owned()), "{v6:?}");
        assert!(!v6.iter().any(|rule| rule.contains("10.")), "{v6:?}");
    }

    #[test]
    fn what_was_counted_is_read_back_and_goes_on() {
        let given = rules(&["deny-out any:53", "deny-out 10.9.0.0/16", "allow-out 10.0.0.0/8", "deny-in 192.0.2.7"]);
        let (counted, rest) = kernel_counts(&given, true, &[vec![7, 1, 2, 9], vec![4]]);
        let refused = |text: &str| counted.iter().find(|it| it.rule.to_string() == text).map(|it| it.refused);
        assert_eq!(
            ["deny-out 10.9.0.0/16", "deny-out any:53", "deny-in 192.0.2.7"].map(refused),
            [Some(7), Some(3), Some(4)]
        );
        assert_eq!((refused("allow-out 10.0.0.0/8"), rest.outbound, rest.inbound), (Some(0), Some(9), None));
        let [outbound, inbound] = &directions(&given, true, &(counted, rest));
        let counts = |direction: &PolicyDirection| direction.rules.iter().map(|rule| rule.refused).collect::<Vec<_>>();
        assert_eq!((counts(outbound), outbound.otherwise), (vec![7, 0, 3, 0], Some(9)));
        assert_eq!((counts(inbound), inbound.otherwise), (vec![4], None));
    }
}
