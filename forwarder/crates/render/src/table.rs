//! Tables without borders: columns two spaces apart, numbers to the right, names cut before addresses are wrapped.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::{Look, Tone};

/// Spaces between two columns.
const GAP: u16 = 2;
/// A name is never cut shorter than this.
const NAME_MIN: u16 = 7;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Text that is always shown whole.
    Text,
    /// A name that the user chose: cut where the terminal is too narrow.
    Name,
    /// A number, aligned to the right.
    Number,
}

/// A column of a [`Grid`].
struct Column {
    holds: Holds,
    /// Columns of the terminal that its title takes.
    title_width: u16,
}

/// A table under construction.
pub struct Grid {
    table: Table,
    columns: Vec<Column>,
    /// Lines of the tallest row.
    height: usize,
    color: bool,
    limit: Option<u16>,
}

impl Grid {
    /// An empty table with these columns.
    pub fn new(look: &Look, columns: &[(&str, Holds)]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        // The caller knows whether its output is a terminal and which colours are wanted; this process's stdout tells nothing.
        table.force_no_tty();
        if look.color {
            table.enforce_styling();
            table.style_text_only();
        }
        table.set_header(columns.iter().map(|(title, _)| header(title)).collect::<Vec<_>>());
        let title_width = |title: &str| title.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let column = |(title, holds): &(&str, Holds)| Column {
            holds: *holds,
            title_width: u16::try_from(title_width(title)).unwrap_or(u16::MAX),
        };
        let columns = columns.iter().map(column).collect();
        Self { table, columns, height: 1, color: look.color, limit: look.width }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<(String, Tone)>) {
        let lines = cells.iter().map(|(text, _)| text.lines().count()).max().unwrap_or(1);
        self.height = self.height.max(lines);
        self.table.add_row(cells.into_iter().map(|(text, tone)| styled(Cell::new(text), tone)).collect::<Vec<_>>());
    }

    /// Columns of the terminal that the table takes when nothing is cut.
    pub fn natural_width(&self) -> u16 {
        let gaps = GAP.saturating_mul(u16::try_from(self.columns.len()).unwrap_or(u16::MAX).saturating_sub(1));
        self.table.column_max_content_widths().iter().fold(gaps, |sum, width| sum.saturating_add(*width))
    }

    /// Writes the table, each line after `indent` spaces.
    pub fn write(mut self, indent: u16, out: &mut dyn Write) -> io::Result<()> {
        let natural = self.natural_width();
        let last = self.columns.len().saturating_sub(1);
        for (index, (column, Column { holds, .. })) in self.table.column_iter_mut().zip(&self.columns).enumerate() {
            column.set_padding((0, if index == last { 0 } else { GAP }));
            if *holds == Holds::Number {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        if let Some(limit) = self.limit.map(|limit| limit.saturating_sub(indent)).filter(|limit| natural > *limit) {
            self.cut_names(limit);
        }
        let indent = " ".repeat(usize::from(indent));
        for line in self.table.lines() {
            writeln!(out, "{indent}{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Gives the names what the other columns leave of `limit`.
    fn cut_names(&mut self, limit: u16) {
        let widths = self.table.column_max_content_widths();
        for ((column, Column { holds, title_width }), width) in
            self.table.column_iter_mut().zip(&self.columns).zip(widths)
        {
            let least = width.min(NAME_MIN.max(*title_width)).saturating_add(column.padding_width());
            column.set_constraint(match holds {
                Holds::Name => ColumnConstraint::LowerBoundary(Width::Fixed(least)),
                Holds::Text | Holds::Number => ColumnConstraint::ContentWidth,
            });
        }
        self.table.set_content_arrangement(ContentArrangement::Dynamic).set_width(limit);
        for index in 0..self.table.row_count() {
            if let Some(row) = self.table.row_mut(index) {
                row.max_height(self.height);
            }
        }
        if self.color {
            self.table.style_text_only();
        }
    }
}

/// The title of a column.
fn header(title: &str) -> Cell {
    styled(Cell::new(title), if title.is_empty() { Tone::Plain } else { Tone::Dim })
}

/// `cell` in the colour of `tone`; shown only if the table is styled at all.
fn styled(cell: Cell, tone: Tone) -> Cell {
    match tone {
        Tone::Plain => cell,
        Tone::Strong => cell.add_attribute(Attribute::Bold),
        Tone::Dim => cell.add_attribute(Attribute::Dim),
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Warn => cell.fg(Color::DarkYellow),
        Tone::Bad => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
        Tone::Hint => cell.fg(Color::DarkCyan),
    }
}

/// A cell in the default colour.
pub fn plain(text: impl ToString) -> (String, Tone) {
    (text.to_string(), Tone::Plain)
}

/// A cell in a colour.
pub fn toned(text: impl ToString, tone: Tone) -> (String, Tone) {
    (text.to_string(), tone)
}

/// Columns of the terminal on standard output; `None` if it is not one.
#[must_use]
pub fn terminal_width() -> Option<u16> {
    Table::new().width()
}
