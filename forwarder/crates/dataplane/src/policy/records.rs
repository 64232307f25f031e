//! Rules in the maps `POLICIES` and `POLICY_COUNTS`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
};

use aya::maps::{LpmTrie, MapData, MapError, lpm_trie::Key};
use forwarder_common::abi::{
    Endpoint, POLICY_COUNTS, POLICY_OWNER_BITS, PolicyKey, PolicyNode, PolicyPrefix, endpoint_flags, feature,
    policy_owner,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    Rule,
    nodes::{self, Numbered},
};
use crate::{Dataplane, object::maps, read::batch};
use fwd_base::{Context as _, Error, Kind, Result};

/// A rule, and how many conversations it has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedRule {
    /// The rule.
    pub rule: Rule,
    /// Conversations that it has refused.
    pub refused: u64,
}

/// Conversations that were refused because rules of their direction allow other ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// That the namespace was to begin; none where no rule allows anything.
    pub outbound: Option<u64>,
    /// That others were to begin.
    pub inbound: Option<u64>,
}

/// The rules of all endpoints, as they stand in the maps.
#[derive(Debug, Default)]
pub struct Policies {
    of: BTreeMap<u32, Nodes>,
}

/// Entries of one endpoint and direction.
pub(super) type Nodes = Vec<(IpNet, PolicyNode)>;

pub(super) const RULED: u32 = endpoint_flags::POLICY_OUT | endpoint_flags::POLICY_IN;

/// Bits of an address of IPv6 before one of IPv4 that it stands for.
const MAPPED_BITS: u8 = 96;

impl Policies {
    /// The rules of an endpoint, in their order.
    #[must_use]
    pub fn rules(&self, endpoint: &Endpoint) -> Vec<Rule> {
        let of = |inward| nodes::read(self.nodes(endpoint.counters, inward), inward).0;
        let mut rules: Vec<Rule> = [false, true].into_iter().flat_map(of).map(|(rule, _)| rule).collect();
        rules.sort_unstable();
        rules
    }

    pub(super) fn nodes(&self, block: u32, inward: bool) -> &[(IpNet, PolicyNode)] {
        self.of.get(&policy_owner(block, inward)).map_or(&[], Vec::as_slice)
    }
}

impl Dataplane {
    fn policy_trie(&self) -> Result<LpmTrie<MapData, PolicyKey, PolicyNode>> {
        LpmTrie::try_from(self.map(maps::POLICIES)?).doing("open", maps::POLICIES)
    }

    /// The rules of all endpoints. Where no endpoint has any, nothing is read.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn policies(&self) -> Result<Policies> {
        if self.config()?.features & feature::POLICY == 0 {
            return Ok(Policies::default());
        }
        self.all_policies()
    }

    /// As [`policies`](Self::policies), whatever the settings say.
    pub(super) fn all_policies(&self) -> Result<Policies> {
        let data = self.map_data(maps::POLICIES)?;
        let found: Vec<(u32, PolicyKey, PolicyNode)> = match batch::entries::<PolicyPrefix, PolicyNode>(&data) {
            Ok(entries) => entries.into_iter().map(|(key, node)| (key.length, key.of, node)).collect(),
            // A kernel before 5.17 has no batches of this type of map.
            Err(_) => {
                let trie = self.policy_trie()?;
                let entries = trie.iter().map(|entry| entry.map(|(key, node)| (key.prefix_len(), key.data(), node)));
                entries.collect::<Result<_, _>>().doing("read", maps::POLICIES)?
            }
        };
        // One that changed meanwhile may have been met twice.
        let mut of: BTreeMap<u32, BTreeMap<IpNet, PolicyNode>> = BTreeMap::new();
        for (length, PolicyKey { owner, addr }, node) in found {
            if let Some(net) = net_of(length, addr.into()) {
                of.entry(owner).or_default().insert(net, node);
            }
        }
        Ok(Policies { of: of.into_iter().map(|(owner, nodes)| (owner, nodes.into_iter().collect())).collect() })
    }

    /// The rules of an endpoint, in their order, with what each has refused, and what was refused besides.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn policy(&self, endpoint: &Endpoint) -> Result<(Vec<CountedRule>, Refusals)> {
        if endpoint.flags & RULED == 0 {
            return Ok((Vec::new(), Refusals::default()));
        }
        let (policies, counts) = (self.all_policies()?, self.array(maps::POLICY_COUNTS)?);
        let count = |number: u16| counts.get(&number.into(), 0).doing("read", maps::POLICY_COUNTS);
        let (mut rules, mut refusals) = (Vec::new(), Refusals::default());
        for inward in [false, true] {
            let (found, otherwise) = nodes::read(policies.nodes(endpoint.counters, inward), inward);
            for (rule, number) in found {
                rules.push(CountedRule { rule, refused: count(number)? });
            }
            let otherwise = otherwise.map(count).transpose()?;
            *(if inward { &mut refusals.inbound } else { &mut refusals.outbound }) = otherwise;
        }
        rules.sort_unstable_by_key(|it| it.rule);
        Ok((rules, refusals))
    }

    /// Registers an endpoint anew, with these rules from now on and no others, and ends what they forbid by now. Those that it has already go on
    /// counting.
    ///
    /// # Errors
    /// A map cannot be written, or there is no room.
    pub fn set_policy(&self, ifindex: u32, endpoint: &Endpoint, rules: &[Rule]) -> Result<()> {
        let flags = [(endpoint_flags::POLICY_OUT, false), (endpoint_flags::POLICY_IN, true)].into_iter();
        let given = flags.filter(|(_, inward)| rules.iter().any(|rule| rule.verb.is_inward() == *inward));
        let flags = given.fold(endpoint.flags & !RULED, |flags, (flag, _)| flags | flag);
        self.write_policy(endpoint.counters, rules)?;
        if flags != endpoint.flags {
            self.put_endpoint(ifindex, &Endpoint { flags, ..*endpoint })?;
            self.update_policies()?;
        }
        self.end_forbidden(ifindex, endpoint.counters)
    }

    /// Forgets the rules of an endpoint whose record is gone.
    pub(crate) fn end_policy(&self, record: Option<&Endpoint>) -> Result<()> {
        let Some(record) = record.filter(|it| it.flags & RULED != 0) else { return Ok(()) };
        self.write_policy(record.counters, &[])?;
        self.update_policies()
    }

    fn write_policy(&self, block: u32, rules: &[Rule]) -> Result<()> {
        let policies = self.all_policies()?;
        let mut numbers = Numbers::of(&policies);
        for inward in [false, true] {
            let nodes = policies.nodes(block, inward);
            let (known, otherwise) = nodes::read(nodes, inward);
            let mut numbered: Vec<Numbered> = Vec::new();
            for rule in rules.iter().filter(|rule| rule.verb.is_inward() == inward) {
                let number = known.iter().find(|(it, _)| it == rule).map(|(_, number)| *number);
                numbered.push((*rule, self.number(number, &mut numbers)?));
            }
            let otherwise = if numbered.iter().any(|(rule, _)| rule.verb.allows()) {
                self.number(otherwise, &mut numbers)?
            } else {
                0
            };
            self.write_nodes(policy_owner(block, inward), nodes, &nodes::nodes(&numbered, otherwise))?;
        }
        Ok(())
    }

    fn write_nodes(&self, owner: u32, found: &[(IpNet, PolicyNode)], wanted: &[(IpNet, PolicyNode)]) -> Result<()> {
        let mut trie = self.policy_trie()?;
        for (net, node) in wanted {
            trie.insert(&key(owner, *net), node, 0).doing("write", maps::POLICIES)?;
        }
        let is_unwanted = |net: &IpNet| !wanted.iter().any(|(it, _)| it == net);
        for (net, _) in found.iter().filter(|(net, _)| is_unwanted(net)) {
            match trie.remove(&key(owner, *net)) {
                Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
                result => result.doing("write", maps::POLICIES)?,
            }
        }
        Ok(())
    }

    /// The number that a rule has, or a new one, which has counted nothing.
    fn number(&self, known: Option<u16>, numbers: &mut Numbers) -> Result<u16> {
        if let Some(number) = known {
            return Ok(number);
        }
        let number = numbers.next().ok_or_else(|| {
            let why = format!("the namespaces of this host have {POLICY_COUNTS} rules, and there is room for no more");
            Error::new(Kind::Failed, "make", "a rule", why).remedy("take some away: `fwd inspect` shows them")
        })?;
        self.array(maps::POLICY_COUNTS)?.set(number.into(), &0, 0).doing("write", maps::POLICY_COUNTS)?;
        Ok(number)
    }

    /// Tells the programs whether some endpoint has rules.
    fn update_policies(&self) -> Result<()> {
        let any = self.endpoints()?.iter().any(|(_, it)| it.flags & RULED != 0);
        let mut config = self.config()?;
        config.features = if any { config.features | feature::POLICY } else { config.features & !feature::POLICY };
        self.set_config(&config)
    }
}

/// Numbers of rules that nobody has. 0 is none.
struct Numbers {
    used: BTreeSet<u16>,
    next: u16,
}

impl Numbers {
    fn of(policies: &Policies) -> Self {
        let nodes = policies.of.values().flatten();
        Self { used: nodes.flat_map(|(_, node)| node.rules.iter().map(|rule| rule.number)).collect(), next: 1 }
    }
}

impl Iterator for Numbers {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let most = u16::try_from(POLICY_COUNTS - 1).unwrap_or(u16::MAX);
        let number = (self.next..=most).find(|number| !self.used.contains(number))?;
        self.next = number + 1;
        Some(number)
    }
}

fn key(owner: u32, net: IpNet) -> Key<PolicyKey> {
    let (addr, bits) = match net {
        IpNet::V4(net) => (net.network().to_ipv6_mapped(), net.prefix_len() + MAPPED_BITS),
        IpNet::V6(net) => (net.network(), net.prefix_len()),
    };
    Key::new(POLICY_OWNER_BITS + u32::from(bits), PolicyKey { owner, addr: addr.octets() })
}

/// The network of a key; none if it has no length that one can have.
fn net_of(length: u32, addr: Ipv6Addr) -> Option<IpNet> {
    let bits = u8::try_from(length.checked_sub(POLICY_OWNER_BITS)?).ok()?;
    match (addr.to_canonical(), bits.checked_sub(MAPPED_BITS)) {
        (IpAddr::V4(addr), Some(bits)) => Ipv4Net::new(addr, bits).map(IpNet::V4).ok(),
        _ => Ipv6Net::new(addr, bits).map(IpNet::V6).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_both_families_apart() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "::/0", "2001:db8::/32", "2001:db8::1/128"] {
            let net: IpNet = text.parse().expect(text);
            let key = key(7, net);
            assert_eq!(net_of(key.prefix_len(), key.data().addr.into()), Some(net), "{text}");
        }
        assert_eq!(net_of(POLICY_OWNER_BITS - 1, Ipv6Addr::UNSPECIFIED), None);
    }
}
