//! What rules of nftables change.

use crate::{
    Actual, Host, Object, RateLimit,
    object::{KernelPolicy, KernelRate},
};
use fwd_dataplane::Rule;
use fwd_kernel::netlink::nft::SourceRules;

impl Actual {
    pub(super) fn make_rules(&mut self, object: &Object) {
        match object {
            Object::Isolation(it) => drop(self.host.isolated.insert(it.network.clone())),
            Object::KernelRate(it) => self.host.set_rate(it, it.to),
            Object::NetworkPair(it) => drop(self.host.pair_rules.insert(it.comment(), it.count())),
            Object::Masquerade(it) => drop(self.host.masquerades.insert(it.network.clone())),
            Object::SourceNat(it) => drop(self.host.source_rules.insert(it.comment())),
            Object::KernelPolicy(it) => self.host.set_policy_rules(it, &it.to),
            Object::Rules6(it) => drop(self.host.ruled6.insert(it.network.clone())),
            other => unreachable!("{other} is no rule of nftables"),
        }
    }

    pub(super) fn unmake_rules(&mut self, object: &Object) {
        match object {
            Object::Isolation(it) => drop(self.host.isolated.remove(&it.network)),
            Object::KernelRate(it) => self.host.set_rate(it, it.from),
            Object::NetworkPair(it) => drop(self.host.pair_rules.remove(&it.comment())),
            Object::Masquerade(it) => drop(self.host.masquerades.remove(&it.network)),
            Object::SourceNat(it) => drop(self.host.source_rules.remove(&it.comment())),
            Object::KernelPolicy(it) => self.host.set_policy_rules(it, &it.from),
            Object::Rules6(it) => drop(self.host.ruled6.remove(&it.network)),
            other => unreachable!("{other} is no rule of nftables"),
        }
    }
}

impl Host {
    /// An endpoint sends no more than `limit` from now on.
    pub(crate) fn set_rate(&mut self, of: &KernelRate, limit: RateLimit) {
        match limit.by_bytes() {
            Some(most) => drop(self.rate_rules.insert(of.comment(), most)),
            None => drop(self.rate_rules.remove(&of.comment())),
        }
    }

    /// An endpoint has `rules` from now on.
    pub(crate) fn set_policy_rules(&mut self, of: &KernelPolicy, rules: &[Rule]) {
        of.comments().for_each(|comment| _ = self.policy_rules.remove(&comment));
        self.policy_rules.extend(of.counts(rules).filter(|(_, count)| *count > 0));
        let is_ruled = self.policy_rules.keys().any(|comment| SourceRules::is_of(comment, &of.network));
        if let Some(bridge) = self.net.links.iter_mut().find(|link| link.name == of.bridge) {
            bridge.filtered = is_ruled;
        }
    }
}
