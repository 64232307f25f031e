//! Options of which the library declares the values.

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Takes one of `all`, by its name: help, completions and mistakes list the names.
pub(crate) fn choice<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(move |value| name(*value))).map(move |word| {
        let found = all.iter().copied().find(|value| name(*value) == word);
        found.expect("clap takes no other word than these")
    })
}

/// What each of `all` is, for a help text: `a: this; b: that`.
pub(crate) fn told_apart<T: Copy>(all: &[T], name: fn(T) -> &'static str, what: fn(T) -> &'static str) -> String {
    all.iter().map(|value| format!("{}: {}", name(*value), what(*value))).collect::<Vec<_>>().join("; ")
}
