//! What the caller may say, where the program has more rights than he.

use std::fs;

use crate::{Error, Kind, Result};

/// Whether the program has more rights than who called it, as with capabilities of its file: `AT_SECURE` of getauxval(3). What
/// a caller says that goes beyond a command's own words is not heeded then.
pub(super) fn has_less_rights() -> bool {
    const AT_SECURE: u64 = 23;
    // The kernel keeps the file from a caller whose rights are exceeded.
    let Ok(auxv) = fs::read("/proc/self/auxv") else { return true };
    let words: Vec<u64> = auxv.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    words.as_chunks().0.iter().find(|[key, _]| *key == AT_SECURE).is_none_or(|[_, value]| *value != 0)
}

/// Refuses a command that does whatever it is told by somebody whom the caller chooses.
///
/// # Errors
/// [`Kind::Unsupported`].
pub(super) fn check_command(command: &str) -> Result<()> {
    if has_less_rights() {
        let why =
            "fwd has more rights than you, by the capabilities of its file, and would use them for whoever asks it";
        return Err(Error::new(Kind::Unsupported, "run", format!("`fwd {command}`"), why).remedy("run it as root"));
    }
    Ok(())
}

/// Refuses an option by which a caller chooses a file that he may be unable to read or write himself.
///
/// # Errors
/// [`Kind::Unsupported`].
pub(super) fn check_file(option: &str) -> Result<()> {
    if has_less_rights() {
        let why = "fwd has more rights than you, by the capabilities of its file, and would use them for that file";
        return Err(Error::new(Kind::Unsupported, "use", option, why).remedy("leave it out"));
    }
    Ok(())
}
