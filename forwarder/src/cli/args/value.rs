//! Values that words stand for.

use std::{fmt, str::FromStr};

use crate::{Error, Kind, Result};

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
