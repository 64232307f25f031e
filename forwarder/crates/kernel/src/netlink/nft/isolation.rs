//! Isolation of networks on the data path `kernel`: what the kernel forwards into a network comes from the network itself, or answers
//! what its namespaces have said.
//!
//! In the chain `forward` of the same table: `oifname BRIDGE iifname != BRIDGE ct state ! established,related drop comment "NETWORK"`, and
//! what [`Separation`] says besides; in `prerouting` what leads to [published ports](super::inward). With eBPF the programs `from_ns` and `to_network` do the same.

mod conversations;
mod pair;

use rtnetlink::packet_core::DefaultNla;

use super::{
    Failure, Message, Socket, all_rules, base_chain, checked, delete_rules,
    expressions::{accept, translated},
    inward,
    message::Family,
    new_table,
    rule::{self, Rule, expression},
    rules, unsupported,
};
use fwd_base::Result;

pub use self::pair::{NetworkPair, end_conversations, ensure_pair, pair_rules, remove_pair};

/// The chain of these rules.
pub(super) const FORWARD: &str = "forward";

/// `NF_INET_FORWARD`, and priority `filter`.
pub(super) const HOOK_FORWARD: u32 = 2;
const PRIORITY_FILTER: i32 = 0;

/// What the kernel must not forward of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Separation {
    /// Nothing goes in or out, whatever was said before.
    pub internal: bool,
    /// Nothing goes from namespace to namespace, but by a published port.
    pub no_icc: bool,
}

impl Separation {
    /// The rules, as nft(8) has them.
    #[must_use]
    pub fn rules(self, bridge: &str) -> Vec<String> {
        let mut rules = self.crossing(bridge);
        let within = |rest: &str| format!("oifname \"{bridge}\" iifname \"{bridge}\" {rest}");
        rules.extend(["ct status dnat accept", "drop"].map(within).into_iter().filter(|_| self.no_icc));
        rules
    }

    /// Those about what crosses the network's border.
    fn crossing(self, bridge: &str) -> Vec<String> {
        if self.internal {
            // Frames from port to port pass here too, where bridges call netfilter.
            return vec![
                format!("iifname \"{bridge}\" oifname != \"{bridge}\" drop"),
                format!("oifname \"{bridge}\" iifname != \"{bridge}\" drop"),
            ];
        }
        vec![format!("oifname \"{bridge}\" iifname != \"{bridge}\" ct state != {{ established, related }} drop")]
    }

    /// The same as expressions.
    pub(super) fn expressions(self, bridge: &str) -> Vec<Vec<DefaultNla>> {
        let dropped = |(side, other), how| [&names(side, other, how, bridge)[..], &[rule::drop()]].concat();
        let (out, into) = ((rule::IIFNAME, rule::OIFNAME), (rule::OIFNAME, rule::IIFNAME));
        let mut rules = if self.internal {
            vec![dropped(out, rule::DIFFERENT), dropped(into, rule::DIFFERENT)]
        } else {
            vec![others(bridge)]
        };
        // Whom a published port leads to answers by the bridge, too. Of what conntrack takes for no conversation (an echo reply that nobody has asked
        // for, flags that cannot be) nothing is known: a rule that drops what was not translated would not be about it.
        if self.no_icc {
            let within = || names(into.0, into.1, rule::EQUAL, bridge);
            rules.push([&within()[..], &translated(), &[accept()]].concat());
            rules.push([&within()[..], &[rule::drop()]].concat());
        }
        rules
    }
}

/// Makes the rules of a network keep out of `bridge` what `separation` says. False: they did already.
///
/// # Errors
/// [`fwd_base::Kind::Unsupported`] where the kernel has no nf_tables with conntrack, or without root.
pub fn ensure_isolation(network: &str, bridge: &str, separation: Separation) -> Result<bool> {
    let object = format!("nftables rules of network {network}");
    checked(network, bridge, &object)?;
    let change = || -> Result<bool, Failure> {
        let socket = Socket::open()?;
        let found: Vec<Rule> = rules(&socket, Family::V4)?.into_iter().filter(|rule| is_its(rule, network)).collect();
        let wanted: Vec<_> = separation.expressions(bridge).into_iter().map(|rule| (FORWARD, rule)).collect();
        let wanted = [wanted, vec![inward::expressions(bridge)]].concat();
        // What a network forwards does not change while it is there; what its bridge is called may.
        if found.len() == wanted.len() && found.iter().all(|rule| rule.first_name().as_deref() == Some(bridge)) {
            return Ok(false);
        }
        let mut batch = vec![new_table(), chain()];
        batch.extend(inward::chains());
        batch.extend(found.iter().map(Rule::deletion));
        batch.extend(wanted.iter().map(|(chain, expressions)| rule::addition(chain, network, expressions)));
        socket.commit(&batch)?;
        Ok(true)
    };
    change().map_err(|failure| unsupported(failure, "set", object))
}

/// Removes the rules of a network, and the table if no other rule is in it. False: there was none.
///
/// # Errors
/// The kernel refuses.
pub fn remove_isolation(network: &str) -> Result<bool> {
    let is_ours = |rule: &Rule| is_its(rule, network) || rule.is_of_part_of(network);
    let [any, guards] = [(Family::V4, "rule"), (Family::Bridge, "guard")]
        .map(|(family, what)| delete_rules(family, is_ours, format!("nftables {what} of network {network}")));
    Ok(any? | guards?)
}

fn is_its(rule: &Rule, network: &str) -> bool {
    rule.is_of(network) && (rule.is_in(FORWARD) || rule.is_in(inward::PREROUTING))
}

/// The networks that have such rules, each as often as it has one.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn isolated_networks() -> Result<Vec<String>> {
    let found = all_rules(Family::V4)?.into_iter();
    let of_networks = found.filter(|rule| rule.is_in(FORWARD) && rule.is_of_whole_network());
    Ok(of_networks.filter_map(|rule| rule.comment).collect())
}

pub(super) fn chain() -> Message {
    base_chain(FORWARD, "filter", HOOK_FORWARD, PRIORITY_FILTER)
}

/// `oifname BRIDGE iifname != BRIDGE`, or the other way round, or with the same on both sides.
fn names(side: u32, other: u32, how: u32, bridge: &str) -> [DefaultNla; 4] {
    let name = rule::padded(bridge);
    [
        rule::meta(side),
        expression("cmp", &rule::compared(rule::EQUAL, &name)),
        rule::meta(other),
        expression("cmp", &rule::compared(how, &name)),
    ]
}

/// `oifname BRIDGE iifname != BRIDGE ct state ! established,related drop`.
fn others(bridge: &str) -> Vec<DefaultNla> {
    let mut expressions = Vec::from(names(rule::OIFNAME, rule::IIFNAME, rule::DIFFERENT, bridge));
    expressions.extend([
        rule::conntrack_state(),
        expression("bitwise", &rule::masked(&(rule::ESTABLISHED | rule::RELATED).to_ne_bytes())),
        expression("cmp", &rule::compared(rule::EQUAL, &[0; 4])),
        rule::drop(),
    ]);
    expressions
}

#[cfg(test)]
mod tests {
    use super::{super::message::attribute, *};

    #[test]
    fn expressions_are_those_of_nft() {
        // Sent by nft 1.0.6 for `oifname "fwd0" iifname != "fwd0" ct state ! established,related drop`.
        let sent: &[u8] =
            b"\x24\x00\x01\x80\x09\x00\x01\x00meta\x00\x00\x00\x00\x14\x00\x02\x80\x08\x00\x02\x00\x00\x00\x00\
            \x07\x08\x00\x01\x00\x00\x00\x00\x018\x00\x01\x80\x08\x00\x01\x00cmp\x00\x2c\x00\x02\x80\x08\x00\
            \x01\x00\x00\x00\x00\x01\x08\x00\x02\x00\x00\x00\x00\x00\x18\x00\x03\x80\x14\x00\x01\x00fwd0\x00\
            \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x24\x00\x01\x80\x09\x00\x01\x00meta\x00\x00\x00\x00\
            \x14\x00\x02\x80\x08\x00\x02\x00\x00\x00\x00\x06\x08\x00\x01\x00\x00\x00\x00\x018\x00\x01\x80\
            \x08\x00\x01\x00cmp\x00\x2c\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01\x08\x00\x02\x00\x00\x00\
            \x00\x01\x18\x00\x03\x80\x14\x00\x01\x00fwd0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\
            \x00\x01\x80\x07\x00\x01\x00ct\x00\x00\x14\x00\x02\x80\x08\x00\x02\x00\x00\x00\x00\x00\x08\x00\
            \x01\x00\x00\x00\x00\x01D\x00\x01\x80\x0c\x00\x01\x00bitwise\x004\x00\x02\x80\x08\x00\x01\x00\
            \x00\x00\x00\x01\x08\x00\x02\x00\x00\x00\x00\x01\x08\x00\x03\x00\x00\x00\x00\x04\x0c\x00\x04\x80\
            \x08\x00\x01\x00\x06\x00\x00\x00\x0c\x00\x05\x80\x08\x00\x01\x00\x00\x00\x00\x00\x2c\x00\x01\x80\
            \x08\x00\x01\x00cmp\x00\x20\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01\x08\x00\x02\x00\x00\x00\
            \x00\x00\x0c\x00\x03\x80\x08\x00\x01\x00\x00\x00\x00\x000\x00\x01\x80\x0e\x00\x01\x00immediate\
            \x00\x00\x00\x1c\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x00\x10\x00\x02\x80\x0c\x00\x02\x80\x08\
            \x00\x01\x00\x00\x00\x00\x00";
        let rule = rule::addition(FORWARD, "default", &others("fwd0"));
        assert_eq!(attribute(rule.attributes(), rule::EXPRESSIONS).expect("expressions"), sent);
    }
}
