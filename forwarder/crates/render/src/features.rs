//! What the kernel has of what `fwd` needs: `fwd features`.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    Listing, Look, Tone,
    table::{Grid, Holds, plain, toned},
};

/// A feature of the kernel: an item of `fwd features`.
#[derive(Clone, Debug, Serialize)]
pub struct FeatureView {
    /// Its name.
    pub feature: &'static str,
    /// Whether the running kernel has it.
    pub support: &'static str,
    /// What the kernel answered, where that is not known.
    pub answer: Option<String>,
    /// The Linux version that brought it.
    pub linux: &'static str,
    /// What it is needed for.
    pub needed_for: &'static str,
    /// The parts of `fwd` that use it.
    pub parts: Vec<&'static str>,
    /// What becomes of what needs it.
    pub without: &'static str,
    /// The same in words.
    pub consequence: &'static str,
    /// How the kernel is asked.
    pub probe: &'static str,
}

impl FeatureView {
    fn tone(&self) -> Tone {
        match (self.support, self.without) {
            ("supported", _) => Tone::Good,
            ("unsupported", "refused") => Tone::Bad,
            _ => Tone::Warn,
        }
    }
}

impl Listing for FeatureView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let columns =
            [("FEATURE", Holds::Text), ("LINUX", Holds::Name), ("HERE", Holds::Text), ("USED BY", Holds::Name)];
        let mut grid = Grid::new(look, &columns);
        for item in items {
            grid.row(vec![
                plain(item.feature),
                plain(item.linux),
                toned(item.support, item.tone()),
                plain(item.parts.join(", ")),
            ]);
        }
        grid.write(0, out)?;
        for item in items.iter().filter(|item| item.support != "supported") {
            writeln!(out, "\n{}: {}", look.paint(item.tone(), item.feature), item.needed_for)?;
            writeln!(out, "  without it: {}", item.consequence)?;
            if let Some(answer) = &item.answer {
                writeln!(out, "  the answer was: {answer}")?;
            }
        }
        Ok(())
    }
}
