//! Limits: words into values.

use crate::{
    Error, Kind, Result,
    reconcile::{AskedLimits, RateLimit},
    text::decimal,
};

/// What the words ask for.
pub(super) fn limits(out: Option<&str>, inward: Option<&str>, burst: Option<&str>) -> Result<AskedLimits> {
    let burst = burst.map(bytes).transpose()?;
    let limit = |option: &str, text: Option<&str>| -> Result<Option<RateLimit>> {
        let Some(text) = text else { return Ok(None) };
        let limit = RateLimit::of_rate(rate(option, text)?);
        let burst = burst.filter(|_| limit.rate != 0).unwrap_or(limit.burst);
        Ok(Some(RateLimit { burst, ..limit }))
    };
    let asked = AskedLimits { outbound: limit("--rate-out", out)?, inbound: limit("--rate-in", inward)? };
    match burst {
        Some(burst) if asked == AskedLimits::default() => {
            let error =
                Error::new(Kind::Usage, "use", format!("--burst {burst}"), "it belongs to a rate, and none is given");
            Err(error.remedy("give the rate too: --rate-out 100M"))
        }
        _ => Ok(asked),
    }
}

/// `100M`, or `none`.
fn rate(option: &str, text: &str) -> Result<u64> {
    if text == "none" {
        return Ok(0);
    }
    decimal(text).filter(|rate| *rate != 0).ok_or_else(|| {
        let error = Error::new(Kind::Usage, "use", format!("{option} {text}"), "it is no number of bits a second");
        error.remedy(format!(
            "give one, with k, M or G for thousands, millions and so on, such as {option} 100M, or none"
        ))
    })
}

/// `625k`.
fn bytes(text: &str) -> Result<u64> {
    decimal(text).ok_or_else(|| {
        let error = Error::new(Kind::Usage, "use", format!("--burst {text}"), "it is no number of bytes");
        error.remedy("give one, with k or M for thousands and millions, such as --burst 625k")
    })
}

#[cfg(test)]
mod tests {
    use super::limits;
    use crate::{
        Kind,
        reconcile::{AskedLimits, RateLimit},
    };

    #[test]
    fn a_burst_is_that_of_the_rates_beside_it() {
        let asked = limits(Some("100M"), Some("none"), Some("1M")).expect("it is valid");
        let outbound = RateLimit { rate: 100_000_000, burst: 1_000_000 };
        assert_eq!(asked, AskedLimits { outbound: Some(outbound), inbound: Some(RateLimit::default()) });
        let usual = limits(None, Some("1G"), None).expect("it is valid").inbound;
        assert_eq!(usual, Some(RateLimit { rate: 1_000_000_000, burst: 6_250_000 }));
        assert_eq!(limits(None, None, None).expect("it is valid"), AskedLimits::default());
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for (out, inward, burst, words) in [
            (Some("fast"), None, None, "--rate-out fast"),
            (None, Some("0"), None, "--rate-in 0"),
            (Some("1M"), None, Some("much"), "--burst much"),
            (None, None, Some("64k"), "--burst 64000"),
        ] {
            let error = limits(out, inward, burst).expect_err("it is refused");
            assert_eq!(error.kind, Kind::Usage, "{error}");
            assert!(error.to_string().contains(words) && error.remedy.is_some(), "{error}");
        }
    }
}
