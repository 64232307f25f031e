//! The table of targets, on a terminal and in docs/benchmarks.md.

use anyhow::{Context as _, Result};

use super::{
    Documents,
    figure::{Bound, Unit, Verdict},
    source::{DIRECTORY, SOURCES},
    targets::Row,
};
use crate::term::Style;

/// The page.
pub(super) const FILE: &str = "docs/benchmarks.md";

/// The table lies between these lines.
const BEGIN: &str = "<!-- ./x bench writes from here -->";
const END: &str = "<!-- ./x bench writes to here -->";

/// Columns of the table.
const TITLES: [&str; 5] = ["what", "measured", "at least", "aim", "verdict"];

/// The cells of a row.
fn cells(row: &Row) -> ([String; 5], Option<Verdict>) {
    let Row { what, figure, unit, least, aim } = row;
    let bound = |bound: &Option<Bound>, unit: Unit| bound.map_or_else(|| "report".into(), |bound| bound.show(unit));
    let (measured, verdict, word) = match figure {
        Ok(figure) => {
            let verdict = Verdict::of(*figure, *least, *aim);
            (figure.show(*unit), Some(verdict), verdict.show(*figure, *least, *aim))
        }
        Err(why) => (String::from("–"), None, why.clone()),
    };
    ([what.clone(), measured, bound(least, *unit), bound(aim, *unit), word], verdict)
}

/// The table for a terminal.
pub(super) fn text(rows: &[Row], style: Style) -> String {
    let rows: Vec<_> = rows.iter().map(cells).collect();
    let mut widths = TITLES.map(|title| title.chars().count());
    for (cells, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; 5]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text = format!("\n{}\n", style.dim(&line(&TITLES.map(str::to_uppercase))));
    for (cells, verdict) in &rows {
        let line = line(cells);
        text.push_str(&match verdict {
            Some(Verdict::Aim) => style.green(&line),
            Some(Verdict::Missed) | None => style.red(&line),
            Some(Verdict::Reached | Verdict::Told) => line,
        });
        text.push('\n');
    }
    text
}

/// The table for the page, with where each figure is from.
pub(super) fn markdown(rows: &[Row], documents: &Documents) -> String {
    let mut text = format!("| {} |\n|---|---|---|---|---|\n", TITLES.join(" | "));
    for row in rows {
        let (cells, verdict) = cells(row);
        let [what, measured, least, aim, word] = cells.map(|cell| cell.replace('|', "\\|"));
        let word = if verdict == Some(Verdict::Missed) { format!("**{word}**") } else { word };
        text.push_str(&format!("| {what} | {measured} | {least} | {aim} | {word} |\n"));
    }
    text.push_str(
        "\nMedians; in brackets the 95 % interval, of nanoseconds the quartiles, of milliseconds the range. From:\n\n",
    );
    for source in SOURCES {
        if let Some(document) = documents.get(source.name) {
            let get = |key: &str| document[key].as_str().unwrap_or("?").to_owned();
            let (command, commit, date, kernel) = (get("command"), get("commit"), get("date"), get("kernel"));
            let directory = DIRECTORY.trim_start_matches("docs/");
            text.push_str(&format!(
                "- [`{command}`]({directory}/{}.json): commit {commit}, {date}, kernel {kernel}\n",
                source.name
            ));
        }
    }
    text
}

/// The page with `table` between its marks.
pub(super) fn with_table(page: &str, table: &str) -> Result<String> {
    let marks = || format!("{FILE} has no lines {BEGIN:?} and {END:?}");
    let (before, rest) = page.split_once(BEGIN).with_context(marks)?;
    let (_, after) = rest.split_once(END).with_context(marks)?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}
