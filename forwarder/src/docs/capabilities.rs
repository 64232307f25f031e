//! docs/privileges.md: the capabilities that commands need.

use super::markdown::table;
use crate::cli::NEEDED_CAPABILITIES;

/// Each, and what it is for.
pub(super) fn capabilities() -> String {
    table(["capability", "what for"], NEEDED_CAPABILITIES.iter().map(|it| [format!("`{}`", it.name), it.why.into()]))
}
