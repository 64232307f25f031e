//! The rules of a network that the kernel forwards.

use super::{Execute, Runner};
use fwd_base::Result;
use fwd_dataplane::Rule;
use fwd_kernel::netlink::nft;
use fwd_plan::{
    RateLimit,
    object::{Counted, Isolation, KernelPolicy, KernelRate, Masquerade, NetworkPair, Rules6, SourceNat, kernel_counts},
};

impl Execute for Isolation {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        nft::ensure_isolation(&runner.owner.rule(&self.network), &self.bridge, self.separation).map(drop)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        nft::remove_isolation(&runner.owner.rule(&self.network)).map(drop)
    }
}

impl Execute for NetworkPair {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let [first, _] = &self.networks;
        self.rules(runner.owner.rule(&first.name)).try_for_each(|rules| nft::ensure_pair(&rules))
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        let [first, second] = &self.networks;
        nft::remove_pair(&[runner.owner.rule(&first.name), second.name.clone()])?;
        // They reach each other no more, whatever becomes of what they have begun.
        if let Err(error) = self.subnets().try_for_each(nft::end_conversations) {
            let (one, other) = (&first.name, &second.name);
            runner.warnings.push(format!(
                "what networks {one} and {other} have begun to speak goes on until it is idle: {error} (try: modprobe nf_conntrack_netlink)"
            ));
        }
        Ok(())
    }
}

impl Execute for Masquerade {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let network = runner.owner.rule(&self.network);
        nft::ensure_masquerade(&nft::Masquerade { network, subnet: self.subnet, leaving: self.leaving.clone() })
            .map(drop)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        nft::remove_masquerade(&runner.owner.rule(&self.network)).map(drop)
    }
}

impl Execute for SourceNat {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        nft::ensure_source_rules(&self.rules(runner.owner.rule(&self.network)))
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        nft::remove_source_rules(&runner.owner.rule(&self.network), self.address).map(drop)
    }
}

impl Execute for KernelPolicy {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        write_policy(self, &self.from, &self.to, runner)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        write_policy(self, &self.to, &self.from, runner)
    }
}

/// The rules `to` in place of `from`, of which those that stay go on counting.
fn write_policy(of: &KernelPolicy, from: &[Rule], to: &[Rule], runner: &Runner<'_>) -> Result<()> {
    let network = runner.owner.rule(&of.network);
    if to.is_empty() {
        of.addresses.iter().try_for_each(|address| nft::remove_policy_rules(&network, *address).map(drop))?;
        of.addresses.first().map_or(Ok(()), |address| nft::remove_guard(&network, *address).map(drop))?;
        return release_bridge(&of.bridge, &network, runner);
    }
    if let Some(port) = &of.host_if {
        of.guard(network.clone(), runner.number(port)?).iter().try_for_each(nft::ensure_guard)?;
    }
    runner.netlink.filter_bridge(runner.number(&of.bridge)?, true)?;
    of.addresses.iter().try_for_each(|address| {
        let found = nft::policy_counts(*address)?;
        let counted: Counted = kernel_counts(from, address.is_ipv4(), &found);
        nft::ensure_policy_rules(&of.rules(network.clone(), *address, to, &counted))
    })
}

impl Execute for KernelRate {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        write_rate(self, self.to, runner)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        write_rate(self, self.from, runner)
    }
}

fn write_rate(of: &KernelRate, limit: RateLimit, runner: &Runner<'_>) -> Result<()> {
    let network = runner.owner.rule(&of.network);
    if limit.rate == 0 {
        return nft::remove_rate(&network, of.address).map(drop);
    }
    of.rule(network, runner.number(&of.host_if)?, limit).iter().try_for_each(nft::ensure_rate)
}

/// Has netfilter look at frames of a bridge no more, once no endpoint of its network has rules: the host's own chains are not about them.
fn release_bridge(bridge: &str, network: &str, runner: &Runner<'_>) -> Result<()> {
    for v4 in [true, false] {
        if nft::policy_rules(v4)?.iter().any(|comment| nft::SourceRules::is_of(comment, network)) {
            return Ok(());
        }
    }
    // One that has gone has taken it along.
    let bridge = runner.netlink.link(bridge)?.filter(|link| link.filtered);
    bridge.map_or(Ok(()), |bridge| runner.netlink.filter_bridge(bridge.index, false))
}

impl Execute for Rules6 {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        nft::ensure_rules6(&Rules6 { network: runner.owner.rule(&self.network), ..self.clone() })
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        nft::remove_rules6(&runner.owner.rule(&self.network)).map(drop)
    }
}
