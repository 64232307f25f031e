//! What is wrong with a host, check by check: `fwd doctor`.

use std::io::{self, Write};

use serde::Serialize;

use super::{Look, Tone, View};

/// Everything that was looked at: `fwd doctor`.
#[derive(Clone, Debug, Serialize)]
pub struct DoctorView {
    /// No check failed.
    pub ok: bool,
    /// What was mended, by the commands that do the same.
    pub mended: Vec<String>,
    /// Each check, in the order of the list.
    pub checks: Vec<CheckView>,
}

/// A check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckView {
    /// Its name.
    pub check: &'static str,
    /// The gravest of its findings.
    pub verdict: &'static str,
    /// What it looks at.
    pub looks_at: &'static str,
    /// Why that matters.
    pub why: &'static str,
    /// What it found.
    pub findings: Vec<FindingView>,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct FindingView {
    /// How grave it is.
    pub verdict: &'static str,
    /// What it is, with what mends it.
    pub what: String,
    /// Command lines that mend it: each by itself, where there are several.
    pub commands: Vec<String>,
    /// `--fix` mends it.
    pub fixable: bool,
}

/// Verdicts, the least grave first.
const OK: &str = "ok";

fn tone(verdict: &str) -> Tone {
    match verdict {
        OK => Tone::Good,
        "fail" => Tone::Bad,
        _ => Tone::Warn,
    }
}

impl View for DoctorView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        for command in &self.mended {
            writeln!(out, "mended: {command}")?;
        }
        let width = self.checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
        for check in &self.checks {
            let verdict = look.paint(tone(check.verdict), &format!("{:7}", check.verdict));
            let good =
                check.findings.iter().filter(|finding| finding.verdict == OK).map(|finding| finding.what.as_str());
            let good = good.collect::<Vec<_>>().join("; ");
            writeln!(
                out,
                "{}",
                format!("{verdict}  {:width$}  {}", check.check, look.paint(Tone::Dim, &good)).trim_end()
            )?;
            let mut wrong = check.findings.iter().filter(|finding| finding.verdict != OK).peekable();
            let explained = wrong.peek().is_some();
            for finding in wrong {
                let fixable = if finding.fixable { " (--fix does that)" } else { "" };
                writeln!(out, "         {}{fixable}", look.paint(tone(finding.verdict), &finding.what))?;
            }
            if explained {
                writeln!(out, "         {}", look.paint(Tone::Dim, &format!("it matters because {}", check.why)))?;
            }
        }
        let count = |verdict: &str| self.checks.iter().filter(|check| check.verdict == verdict).count();
        let told: Vec<String> = ["fail", "warn", "unknown", OK]
            .into_iter()
            .filter(|verdict| count(verdict) > 0)
            .map(|verdict| format!("{} {verdict}", count(verdict)))
            .collect();
        writeln!(out, "\n{}", told.join(", "))
    }
}
