//! Which programs are loaded, and `fwd reload`.

use std::io::{self, Write};

use serde::Serialize;

use super::{Look, Tone, View, units};

/// The programs in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramsView {
    /// The kernel's tag of `from_ns`.
    pub tag: String,
    /// Which build they are of.
    pub object: String,
    /// Whether they are those of this `fwd`, and not traced.
    pub current: bool,
    /// Whether they are those that `fwd trace` loads.
    pub traced: bool,
    /// The process that traces; none if it was killed.
    pub traced_by: Option<u32>,
    /// The build of those that ran before the last reload.
    pub former: Option<String>,
}

impl ProgramsView {
    /// In a line.
    pub(super) fn text(&self, look: &Look) -> String {
        let whose = match (self.traced, self.traced_by) {
            (true, Some(pid)) => look.paint(Tone::Warn, &format!("of a trace that goes on (pid {pid})")),
            (true, None) => look.paint(Tone::Warn, "of a trace that was killed"),
            (false, _) if self.current => "of this fwd".into(),
            (false, _) => look.paint(Tone::Warn, "of another build"),
        };
        format!("{whose}; from_ns has tag {}", self.tag)
    }
}

/// The result of `fwd reload`.
#[derive(Clone, Debug, Serialize)]
pub struct ReloadView {
    /// Whether anything had to be done.
    pub changed: bool,
    /// Whether the former programs were brought back.
    pub rolled_back: bool,
    /// How many programs were replaced.
    pub replaced: usize,
    /// What was loaded before.
    pub before: ProgramsView,
    /// What is loaded now.
    pub after: ProgramsView,
}

impl View for ReloadView {
    fn text(&self, _look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if !self.changed {
            return writeln!(out, "nothing to do: the programs are of this fwd (from_ns has tag {})", self.after.tag);
        }
        let count = units::counted(self.replaced as u64, "program");
        let what = if self.rolled_back { "brought back" } else { "replaced" };
        writeln!(out, "{count} {what} (from_ns had tag {}, has {})", self.before.tag, self.after.tag)?;
        match (self.rolled_back, &self.after.former) {
            (false, Some(_)) => writeln!(out, "`fwd reload --rollback` brings the former ones back"),
            (true, Some(_)) => writeln!(out, "`fwd reload --rollback` goes back to those that ran until now"),
            (_, None) => Ok(()),
        }
    }
}
