//! Labelled facts about one object, one a line.

use std::io::{self, Write};

use super::{Look, Tone};

/// Labels and values, aligned.
#[derive(Default)]
pub struct Facts {
    lines: Vec<(&'static str, String)>,
}

impl Facts {
    /// Adds a fact; an empty value is left out.
    pub fn add(&mut self, label: &'static str, value: impl Into<String>) -> &mut Self {
        let value = value.into();
        if !value.is_empty() {
            self.lines.push((label, value));
        }
        self
    }

    /// Writes the facts, indented by two spaces.
    pub fn write(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let width = self.lines.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, value) in &self.lines {
            writeln!(out, "  {}  {value}", look.paint(Tone::Dim, &format!("{label:width$}")))?;
        }
        Ok(())
    }
}
