//! Values that words stand for.

use std::{fmt, str::FromStr};

use crate::{Error, Kind, Result, reconcile::Sources};

/// The value of an option.
///
/// # Errors
/// [`Kind::Usage`] with both, and with `example` as the remedy.
pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(option: &str, text: &str, example: &str) -> Result<T> {
    text.parse().map_err(|error: T::Err| {
        Error::new(Kind::Usage, "use", format!("{option} {text:?}"), error.to_string())
            .remedy(format!("give {example}"))
    })
}

/// What the words of `--source` and `--source6` ask for.
///
/// # Errors
/// [`Kind::Usage`] with option and value.
pub(crate) fn sources(source: Option<&str>, source6: Option<&str>) -> Result<Sources> {
    let (v4, v6) = ("such as 192.0.2.7 or 192.0.2.8-192.0.2.11", "such as 2001:db8::7 or 2001:db8::8-2001:db8::b");
    Ok(Sources {
        v4: source.map(|text| parsed(Sources::V4, text, &format!("IPv4 addresses of the host, {v4}"))).transpose()?,
        v6: source6.map(|text| parsed(Sources::V6, text, &format!("IPv6 addresses of the host, {v6}"))).transpose()?,
    })
}
