//! Limits and rules as they are written.

use toml::Spanned;

use crate::{file::Endpoint, source::Source};
use fwd_base::{Result, text::decimal};
use fwd_dataplane::{Rule, Verb};
use fwd_plan::RateLimit;

/// A limit; nothing that is said is none.
pub(super) fn limit(
    source: &Source,
    rate: Option<&Spanned<String>>,
    burst: Option<&Spanned<String>>,
) -> Result<RateLimit> {
    let Some(rate) = rate else {
        return match burst {
            None => Ok(RateLimit::default()),
            Some(burst) => {
                let refused = source.refuse(&burst.span(), "it belongs to a rate, and none is given");
                Err(refused.remedy("give the rate beside it, such as rate-out = \"100M\""))
            }
        };
    };
    let found = decimal(rate.get_ref()).filter(|bits| *bits != 0).ok_or_else(|| {
        let refused = source.refuse(&rate.span(), "it is no number of bits a second");
        refused.remedy("write one with k, M or G, such as \"100M\"; without a limit, leave it out")
    })?;
    let usual = RateLimit::of_rate(found);
    let Some(burst) = burst else { return Ok(usual) };
    let bytes = decimal(burst.get_ref()).ok_or_else(|| {
        let refused = source.refuse(&burst.span(), "it is no number of bytes");
        refused.remedy("write one with k or M, such as \"625k\"")
    })?;
    Ok(RateLimit { burst: bytes, ..usual })
}

/// The rules of an endpoint, in order, each once.
pub(super) fn rules(source: &Source, endpoint: &Endpoint) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for verb in Verb::ALL {
        let words = match verb {
            Verb::AllowOut => &endpoint.allow_out,
            Verb::DenyOut => &endpoint.deny_out,
            Verb::AllowIn => &endpoint.allow_in,
            Verb::DenyIn => &endpoint.deny_in,
        };
        for word in words {
            let what = word.get_ref().parse().map_err(|why: String| {
                let refused = source.refuse(&word.span(), why);
                refused.remedy("write CIDR[:PORT[-PORT]][/PROTO], such as \"10.0.0.0/8:443/tcp\" or \"any:53\"")
            })?;
            rules.push(Rule { verb, what });
        }
    }
    rules.sort_unstable();
    rules.dedup();
    Ok(rules)
}
