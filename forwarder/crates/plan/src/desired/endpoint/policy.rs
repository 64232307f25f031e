//! Whom an endpoint speaks with: rules as they are asked for.

use crate::Datapath;
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::Rule;

/// Rules as they are asked for: all of them, or none where it stays as it is.
pub type AskedRules = Option<Vec<Rule>>;

/// The rules that an endpoint is to have which has those that were `found`, in a network that is forwarded by `datapath`. In order, each
/// once.
///
/// # Errors
/// Neither a program nor netfilter looks at what neighbours speak (`no_bridge_filter`); there are too many.
pub(crate) fn rules(
    asked: &AskedRules,
    found: &[Rule],
    datapath: Datapath,
    no_bridge_filter: bool,
) -> Result<Vec<Rule>> {
    let Some(asked) = asked else { return Ok(found.to_vec()) };
    let mut rules = asked.clone();
    rules.sort_unstable();
    rules.dedup();
    let Some(first) = rules.first() else { return Ok(rules) };
    let refuse = |kind, why: String| Error::new(kind, "use", format!("--{first}"), why);
    if !datapath.is_ebpf() && no_bridge_filter {
        let why = "datapath kernel: netfilter does not look at what namespaces of one network speak (no net.bridge.bridge-nf-call-iptables)";
        return Err(refuse(Kind::Unsupported, why.into())
            .remedy("load br_netfilter (`modprobe br_netfilter`), or use --datapath tc"));
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
