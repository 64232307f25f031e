//! Whom an endpoint speaks with: rules as they are asked for.

use crate::Datapath;
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::Rule;

/// Rules as they are asked for: all of them, or none where it stays as it is.
pub type AskedRules = Option<Vec<Rule>>;

/// The rules that an endpoint is to have which has those that were `found`, in a network that is forwarded by `datapath`. In order, each once.
///
/// # Errors
/// No program looks at them; there are too many.
pub(crate) fn rules(asked: &AskedRules, found: &[Rule], datapath: Datapath) -> Result<Vec<Rule>> {
    let Some(asked) = asked else { return Ok(found.to_vec()) };
    let mut rules = asked.clone();
    rules.sort_unstable();
    rules.dedup();
    let Some(first) = rules.first() else { return Ok(rules) };
    let refuse = |kind, why: String| Error::new(kind, "use", format!("--{first}"), why);
    if !datapath.is_ebpf() {
        return Err(refuse(Kind::Unsupported, "datapath kernel: no program is there that looks at rules".into())
            .remedy("leave it out, or use --datapath tc; rules of your own for the kernel belong into a table of nftables of your own"));
    }
    for inward in [false, true] {
        let places: usize = rules.iter().filter(|rule| rule.verb.is_inward() == inward).map(Rule::places).sum();
        if places > Rule::MOST {
            let why = format!("{places} rules of one direction, of which there is room for {}", Rule::MOST);
            return Err(refuse(Kind::Usage, why)
                .remedy("merge some into a larger network or range; ports without /tcp or /udp count for both"));
        }
    }
    Ok(rules)
}
