//! Errors on stderr.

use std::io::{self, Write};

use serde::Serialize;

use super::{Look, Tone, write_json};
use fwd_base::{Error, Kind, text::harmless};

/// `{"error": …}`.
#[derive(Serialize)]
struct Document<'a> {
    error: ErrorView<'a>,
}

/// The JSON of an error.
#[derive(Serialize)]
struct ErrorView<'a> {
    code: &'static str,
    message: String,
    object: Option<&'a str>,
    remedy: Option<&'a str>,
}

/// Writes `error` with its remedy in terms of the user's own command: as text with its remedy on a second line, or as `{"error":{code,message,object,remedy}}`.
///
/// # Errors
/// Those of `out`.
pub fn write_error(error: &Error, json: bool, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    // The library writes commands to try as `fwd …`: they need the options that this command was given.
    let remedy = error.remedy.as_ref().map(|remedy| remedy.replace("`fwd ", &format!("`{} ", look.fwd)));
    if json {
        let (object, remedy) = (Some(error.object.as_str()), remedy.as_deref());
        let error = ErrorView { code: error.kind.name(), message: error.to_string(), object, remedy };
        return write_json(&Document { error }, out);
    }
    // It names what others have named.
    writeln!(out, "{} {}", look.paint(Tone::Bad, "error:"), harmless(&error.to_string()))?;
    for line in error.excerpt() {
        writeln!(out, "  {}", look.paint(Tone::Dim, &harmless(line)))?;
    }
    if let Some(remedy) = &remedy {
        writeln!(out, "  {} {}", look.paint(Tone::Hint, "try:"), harmless(remedy))?;
    }
    Ok(())
}

/// Writes a warning as text.
///
/// # Errors
/// Those of `out`.
pub fn write_warning(warning: &str, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let warning = warning.replace("`fwd ", &format!("`{} ", look.fwd));
    writeln!(out, "{} {}", look.paint(Tone::Warn, "warning:"), harmless(&warning))
}

/// Writes a command line's mistake as JSON: `message` is what is wrong, `remedy` the command that explains.
///
/// # Errors
/// Those of `out`.
pub fn write_usage_error(message: &str, remedy: &str, out: &mut dyn Write) -> io::Result<()> {
    let error = ErrorView { code: Kind::Usage.name(), message: message.to_owned(), object: None, remedy: Some(remedy) };
    write_json(&Document { error }, out)
}
