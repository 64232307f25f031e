//! Chains of nf_tables: those of nft, of firewalld, and of iptables where it is the one that speaks to nf_tables.

use std::collections::BTreeMap;

use super::{
    super::{
        modules,
        nft::{self, Chain, Expression},
    },
    Effect, ForwardChain, Hook, Maker, Pattern, Rule,
};
use fwd_base::Result;

// NFT_META_*: what a rule loads of a packet.
const IIF: u32 = 4;
const OIF: u32 = 5;
const IIFNAME: u32 = 6;
const OIFNAME: u32 = 7;
// A hook (`NF_INET_*`), and verdicts (`NF_*` of include/uapi/linux/netfilter.h, and `NFT_*` of netfilter/nf_tables.h).
const PREROUTING: u32 = 0;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const JUMP: u32 = (-3_i32).cast_unsigned();
const GOTO: u32 = (-4_i32).cast_unsigned();
const RETURN: u32 = (-5_i32).cast_unsigned();

/// The chains of type filter at a hook.
///
/// # Errors
/// The kernel refuses.
pub(super) fn chains(hook: &Hook) -> Result<Vec<ForwardChain>> {
    // Asking would load the module.
    if !modules::may_be_used(&["nf_tables"]) {
        return Ok(Vec::new());
    }
    let found = nft::chains()?.into_iter().filter(|chain| {
        let is_ip = matches!(chain.family.as_str(), "ip" | "ip6" | "inet");
        is_ip && chain.hook == Some(hook.number.into()) && chain.kind.as_deref() == Some("filter")
    });
    found.map(read).collect()
}

/// Tables, as `nft` writes them, that give packets another destination as they come in: but for `own`.
///
/// # Errors
/// The kernel refuses.
pub(super) fn redirecting(own: &str) -> Result<Vec<String>> {
    // Asking would load the module.
    if !modules::may_be_used(&["nf_tables"]) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for chain in nft::chains()? {
        let is_meant = chain.hook == Some(PREROUTING) && chain.kind.as_deref() == Some("nat") && chain.table != own;
        if !is_meant {
            continue;
        }
        let rules = nft::rules_of_table(&chain)?;
        if rules.iter().any(|(_, expressions)| expressions.contains(&Expression::Destination)) {
            found.push(format!("{} {}", chain.family, chain.table));
        }
    }
    Ok(found)
}

fn read(chain: Chain) -> Result<ForwardChain> {
    let mut table: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    for (of, expressions) in nft::rules_of_table(&chain)? {
        table.entry(of).or_default().push(rule(&expressions));
    }
    Ok(ForwardChain {
        maker: Maker::Nftables,
        drops: chain.policy == Some(NF_DROP),
        rules: Some(table.remove(&chain.name).unwrap_or_default()),
        others: table,
        family: chain.family,
        table: chain.table,
        name: chain.name,
    })
}

/// What a rule says, by its expressions.
fn rule(expressions: &[Expression]) -> Rule {
    let mut rule = Rule { from: None, to: None, more: false, status: false, effect: Effect::Other };
    let mut loaded = None;
    for expression in expressions {
        match expression {
            Expression::Meta(key @ (IIF | OIF | IIFNAME | OIFNAME)) => loaded = Some(*key),
            Expression::Equals(value) => {
                let place = match loaded {
                    Some(IIF | IIFNAME) => &mut rule.from,
                    Some(OIF | OIFNAME) => &mut rule.to,
                    _ => {
                        rule.more = true;
                        continue;
                    }
                };
                *place = Some(match loaded {
                    Some(IIF | OIF) => index(value),
                    _ => name(value),
                });
                loaded = None;
            }
            Expression::Counter => {}
            Expression::Verdict(NF_ACCEPT) => rule.effect = Effect::Accept,
            Expression::Verdict(NF_DROP) | Expression::Reject => rule.effect = Effect::Drop,
            Expression::Verdict(RETURN) => rule.effect = Effect::Return,
            Expression::Leads(JUMP, chain) => rule.effect = Effect::Jump(chain.clone()),
            Expression::Leads(GOTO, chain) => rule.effect = Effect::Goto(chain.clone()),
            Expression::Verdict(_) | Expression::Leads(..) => {}
            Expression::Meta(_) | Expression::Status | Expression::Destination | Expression::Other => {
                loaded = None;
                rule.more = true;
                rule.status |= *expression == Expression::Status;
            }
        }
    }
    rule
}

fn index(value: &[u8]) -> Pattern {
    value.try_into().map_or(Pattern::Unknown, |bytes| Pattern::Index(u32::from_ne_bytes(bytes)))
}

/// With its NUL it is compared whole, without only its beginning.
fn name(value: &[u8]) -> Pattern {
    let end = value.iter().position(|byte| *byte == 0);
    match std::str::from_utf8(&value[..end.unwrap_or(value.len())]) {
        Ok(name) if end.is_some() => Pattern::Name(name.into()),
        Ok(name) => Pattern::Prefix(name.into()),
        Err(_) => Pattern::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_about_interfaces_are_understood() {
        let accept = |expressions: &[Expression]| {
            let Rule { from, to, more, status, effect } = rule(expressions);
            assert_eq!((effect, status), (Effect::Accept, expressions.contains(&Expression::Status)));
            (from, to, more)
        };
        let name = |text: &str| Some(Pattern::Name(text.into()));
        let verdict = Expression::Verdict(NF_ACCEPT);
        let by_name = |key, text: &[u8]| [Expression::Meta(key), Expression::Equals(text.to_vec())];
        let [load, compare] = by_name(IIFNAME, b"fwd0\0");
        let counted = [load.clone(), compare.clone(), Expression::Counter, verdict.clone()];
        assert_eq!(accept(&counted), (name("fwd0"), None, false));
        let [out, onto] = by_name(OIFNAME, b"fw");
        let both = [load.clone(), compare.clone(), out, onto, verdict.clone()];
        assert_eq!(accept(&both), (name("fwd0"), Some(Pattern::Prefix("fw".into())), false));
        let [by_index, is] = by_name(OIF, &7_u32.to_ne_bytes());
        assert_eq!(accept(&[by_index, is, verdict.clone()]), (None, Some(Pattern::Index(7)), false));
        assert_eq!(accept(&[load, compare, Expression::Other, verdict.clone()]), (name("fwd0"), None, true));
        assert_eq!(accept(&[Expression::Status, Expression::Other, verdict.clone()]), (None, None, true));
        let mark = [Expression::Meta(3), Expression::Equals(vec![1, 0, 0, 0]), verdict];
        assert_eq!(accept(&mark), (None, None, true));
        assert_eq!(rule(&[Expression::Reject]).effect, Effect::Drop);
        assert_eq!(rule(&[Expression::Verdict(u32::MAX)]).effect, Effect::Other);
        assert_eq!(rule(&[Expression::Verdict(RETURN)]).effect, Effect::Return);
        let other = || "other".to_owned();
        assert_eq!(rule(&[Expression::Leads(u32::MAX - 2, other())]).effect, Effect::Jump(other()));
        assert_eq!(rule(&[Expression::Leads(u32::MAX - 3, other())]).effect, Effect::Goto(other()));
    }
}
