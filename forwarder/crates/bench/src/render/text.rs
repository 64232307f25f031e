//! A report in a terminal.

use std::io::{self, Write};

use super::{
    sheet::{Block, Is, Sheet, sheets},
    words,
};
use crate::{Path, report::Report};
use fwd_render::{
    Look, Tone,
    facts::Facts,
    table::{Grid, Holds, toned},
    write_warning,
};

/// Writes everything: the headline first, the warnings last.
pub(super) fn write(report: &Report, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    for sentence in words::headline(report) {
        for line in wrapped(&sentence, look.width) {
            writeln!(out, "{}", look.paint(Tone::Strong, &line))?;
        }
    }
    let headless = words::headline(report).is_empty();
    for (index, sheet) in sheets(report).into_iter().enumerate() {
        if index > 0 || !headless {
            writeln!(out)?;
        }
        writeln!(out, "{}{}", look.paint(Tone::Strong, &sheet.title), look.paint(Tone::Dim, &about(&sheet, look)))?;
        write_sheet(&sheet, look, out)?;
    }
    not_measured(report, look, out)?;
    writeln!(out)?;
    let mut facts = Facts::default();
    for (label, value) in words::machine(report) {
        facts.add(label, value);
    }
    if let Some(load) = words::load(report) {
        facts.add("load by", load);
    }
    facts.add("measured", words::settings(report)).write(look, out)?;
    for (index, warning) in report.warnings.iter().enumerate() {
        if index == 0 {
            writeln!(out)?;
        }
        write_warning(warning, look, out)?;
    }
    Ok(())
}

/// More about a sheet, behind its title, where there is room.
fn about(sheet: &Sheet, look: &Look) -> String {
    let about = format!(": {}", sheet.about);
    let fits = |width: u16| sheet.title.chars().count() + about.chars().count() <= usize::from(width);
    if look.width.is_none_or(fits) { about } else { String::new() }
}

/// Paths that this machine does not have, and why.
fn not_measured(report: &Report, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    for (index, (path, why)) in words::unavailable(report).enumerate() {
        if index == 0 {
            writeln!(out, "\n{}", look.paint(Tone::Strong, "Not measured"))?;
        }
        writeln!(out, "  {}: {why}", path.title())?;
    }
    Ok(())
}

/// How much of a table is shown.
#[derive(Clone, Copy)]
struct Shape {
    /// Paths by their short names.
    short: bool,
    /// With confidence intervals.
    intervals: bool,
}

/// Writes a sheet as one table or as several below each other, as the width allows.
fn write_sheet(sheet: &Sheet, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let shapes = [(false, true), (true, true), (true, false)].map(|(short, intervals)| Shape { short, intervals });
    let fits = |shape: Shape, blocks: &[Block]| {
        look.width.is_none_or(|width| grid(sheet, blocks, shape, look).natural_width() <= width.saturating_sub(INDENT))
    };
    // Shorter names are better than several tables, and those better than no intervals.
    if let Some(shape) = shapes[..2].iter().find(|shape| fits(**shape, &sheet.blocks)) {
        return grid(sheet, &sheet.blocks, *shape, look).write(INDENT, out);
    }
    let each_fits = |shape: &&Shape| sheet.blocks.iter().all(|block| fits(**shape, std::slice::from_ref(block)));
    let shape = *shapes.iter().find(each_fits).unwrap_or(&shapes[2]);
    let mut rest = sheet.blocks.as_slice();
    while !rest.is_empty() {
        let count = (1..=rest.len()).rev().find(|count| fits(shape, &rest[..*count])).unwrap_or(1);
        let (blocks, later) = rest.split_at(count);
        grid(sheet, blocks, shape, look).write(INDENT, out)?;
        if !later.is_empty() {
            writeln!(out)?;
        }
        rest = later;
    }
    Ok(())
}

/// Spaces before a table.
const INDENT: u16 = 2;

/// The table of these blocks.
fn grid(sheet: &Sheet, blocks: &[Block], shape: Shape, look: &Look) -> Grid {
    let columns =
        || blocks.iter().flat_map(|block| &block.columns).filter(|column| shape.intervals || column.is == Is::Figure);
    let mut titles = vec![("PATH".to_owned(), Holds::Name)];
    let titled = blocks.iter().any(|block| !block.title.is_empty());
    if titled {
        titles[0].0.insert(0, '\n');
    }
    for block in blocks {
        let shown = block.columns.iter().filter(|column| shape.intervals || column.is == Is::Figure);
        for (index, column) in shown.enumerate() {
            let above = if index == 0 { block.title.as_str() } else { "" };
            let title = column.title.to_uppercase().replace("P9", "p9").replace("P50", "p50").replace("MIN", "min");
            let title = if titled { format!("{above}\n{title}") } else { title };
            titles.push((title, Holds::Number));
        }
    }
    let titles: Vec<(&str, Holds)> = titles.iter().map(|(title, holds)| (title.as_str(), *holds)).collect();
    let mut grid = Grid::new(look, &titles);
    for (row, path) in sheet.paths.iter().enumerate() {
        let name = if shape.short { words::short(*path) } else { path.title() };
        let mut cells = vec![toned(name, tone(*path))];
        cells.extend(columns().map(|column| {
            let cell = column.cells.get(row).map_or("", String::as_str);
            toned(cell, if column.is == Is::Interval { Tone::Dim } else { tone(*path) })
        }));
        grid.row(cells);
    }
    grid
}

/// fwd's paths stand out.
fn tone(path: Path) -> Tone {
    if words::is_own(path) { Tone::Strong } else { Tone::Plain }
}

/// `text` in lines that fit.
fn wrapped(text: &str, width: Option<u16>) -> Vec<String> {
    let width = width.map_or(usize::MAX, usize::from);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
