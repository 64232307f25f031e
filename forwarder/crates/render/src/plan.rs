//! `--dry-run`, and what `down` removed.

use std::io::{self, Write};

use serde::Serialize;

use super::{Listing, Look, Tone, View, units};
use fwd_base::text::{Untrusted, harmless, option};

/// One operation of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct StepView {
    /// Position, from 1.
    pub step: usize,
    /// What is done, in words.
    pub operation: Untrusted,
    /// Command lines that do the same by hand.
    pub commands: Vec<String>,
}

/// The result of `--dry-run`: a top-level array in JSON.
pub type PlanView = Vec<StepView>;

impl Listing for StepView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if items.is_empty() {
            return writeln!(out, "nothing to do");
        }
        write_steps(items, look, out)?;
        let count = units::counted(items.len() as u64, "operation");
        writeln!(out, "\n{count}; nothing was changed (--dry-run)")
    }
}

/// Operations, numbered, each above the command lines that do the same.
pub(super) fn write_steps(steps: &[StepView], look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let width = steps.len().to_string().len();
    for step in steps {
        writeln!(out, "{:width$}. {}", step.step, step.operation)?;
        for line in step.commands.iter().flat_map(|command| command.lines()) {
            writeln!(out, "{:width$}    {}", "", look.paint(Tone::Dim, &harmless(line)))?;
        }
    }
    Ok(())
}

/// The result of `fwd down`.
#[derive(Clone, Debug, Serialize)]
pub struct DownView {
    /// The namespace that was to be taken down; none: all of them. Said in text only.
    #[serde(skip)]
    pub label: Option<Untrusted>,
    /// Whether anything had to be done.
    pub changed: bool,
    /// What was removed, in words, in the order of removal.
    pub removed: Vec<Untrusted>,
    /// The nearest name of something that is up, where the one given is not.
    pub nearest: Option<Untrusted>,
}

impl View for DownView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { label, changed, removed, nearest } = self;
        let label = label.as_ref().map(|label| look.paint(Tone::Strong, &label.to_string()));
        if !changed {
            let state = label.map_or_else(|| "nothing is up".into(), |label| format!("{label} is not up"));
            writeln!(out, "nothing to do: {state}")?;
            return match nearest {
                Some(nearest) => {
                    let nearest = option("--ns", nearest.exact());
                    writeln!(out, "  {} {} down {nearest}", look.paint(Tone::Hint, "try:"), look.fwd)
                }
                None => Ok(()),
            };
        }
        writeln!(out, "{} is down", label.as_deref().unwrap_or("everything"))?;
        removed.iter().try_for_each(|object| writeln!(out, "  {} {object}", look.paint(Tone::Dim, "removed")))
    }
}
