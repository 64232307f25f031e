//! A limit as it is written: bits a second, and the bytes that may come at once.

use std::ops::Range;

use toml::Spanned;

use super::anywhere;
use fwd_base::{Error, Result, text::decimal};
use fwd_plan::RateLimit;

/// Rate and burst as they are written.
pub(super) type Written = [Option<Spanned<String>>; 2];

/// The limit that is meant; nothing that is said is none. `refuse` is told which bytes of the file are wrong, and why.
///
/// # Errors
/// One of them is no number, or there is a burst without a rate.
pub(super) fn desired(
    rate: Option<&Spanned<String>>,
    burst: Option<&Spanned<String>>,
    refuse: &impl Fn(Range<usize>, String) -> Error,
) -> Result<RateLimit> {
    let Some(rate) = rate else {
        return match burst {
            None => Ok(RateLimit::default()),
            Some(burst) => {
                let refused = refuse(burst.span(), "it belongs to a rate, and none is given".into());
                Err(refused.remedy("give the rate beside it, such as rate-out = \"100M\""))
            }
        };
    };
    let found = decimal(rate.get_ref()).filter(|bits| *bits != 0).ok_or_else(|| {
        let refused = refuse(rate.span(), "it is no number of bits a second".into());
        refused.remedy("write one with k, M or G, such as \"100M\"; without a limit, leave it out")
    })?;
    let usual = RateLimit::of_rate(found);
    let Some(burst) = burst else { return Ok(usual) };
    let bytes = decimal(burst.get_ref()).ok_or_else(|| {
        let refused = refuse(burst.span(), "it is no number of bytes".into());
        refused.remedy("write one with k or M, such as \"625k\"")
    })?;
    Ok(RateLimit { burst: bytes, ..usual })
}

/// What a file says of a limit: the burst where it is not the usual one.
pub(super) fn said(limit: Option<RateLimit>) -> Written {
    let Some(limit) = limit.filter(|limit| limit.rate != 0) else { return [None, None] };
    let usual = RateLimit::of_rate(limit.rate);
    let burst = (limit.burst != usual.burst).then(|| limit.burst.to_string());
    [Some(limit.text()), burst].map(|text| text.map(anywhere))
}
