//! A report as Markdown: to be pasted into an issue, or kept beside a change.

use super::{
    numbers::NOTHING,
    sheet::{Block, Column, Is, Sheet, sheets},
    words,
};
use crate::report::Report;

/// The whole report as GitHub-flavoured Markdown.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut page = String::from("# fwd bench\n");
    for sentence in words::headline(report) {
        line(&mut page, &format!("\n**{}**", escaped(&sentence)));
    }
    for sheet in sheets(report) {
        line(&mut page, &format!("\n## {}\n\n{}{}\n", sheet.title, sentence(&sheet.about), intervals(&sheet)));
        table(&mut page, &sheet);
    }
    line(&mut page, "\n## What the metrics are\n");
    for metric in words::metrics(report) {
        line(&mut page, &format!("- {}: {}", escaped(metric.title()), words::meaning(metric)));
    }
    let unavailable: Vec<_> = words::unavailable(report).collect();
    if !unavailable.is_empty() {
        line(&mut page, "\n## Not measured\n");
        for (path, why) in unavailable {
            line(&mut page, &format!("- {}: {}", path.title(), escaped(why)));
        }
    }
    line(&mut page, "\n## Environment\n\n| what | value |\n|---|---|");
    for (label, value) in environment(report) {
        line(&mut page, &format!("| {label} | {} |", escaped(&value)));
    }
    if !report.warnings.is_empty() {
        line(&mut page, "\n## Warnings\n");
        report.warnings.iter().for_each(|warning| line(&mut page, &format!("- {}", escaped(warning))));
    }
    page
}

/// Everything known about machine and run.
fn environment(report: &Report) -> Vec<(String, String)> {
    let mut all: Vec<_> = words::machine(report).into_iter().map(|(label, value)| (label.into(), value)).collect();
    let environment = &report.environment;
    if !environment.offloads.is_empty() {
        all.push(("offloads".into(), environment.offloads.join(", ")));
    }
    all.extend(
        environment.mitigations.iter().map(|[name, what]| (format!("mitigation of {}", escaped(name)), what.clone())),
    );
    all.extend(words::load(report).map(|load| ("load by".into(), load)));
    all.push(("measured".into(), words::settings(report)));
    all.push(("started".into(), report.started.clone()));
    all.push(("fwd".into(), report.fwd.clone()));
    all
}

/// One table: a path's name to the left, figures to the right, each with its interval.
fn table(page: &mut String, sheet: &Sheet) {
    let titles: Vec<String> = sheet.blocks.iter().flat_map(titles).collect();
    line(page, &format!("| path | {} |", titles.join(" | ")));
    line(page, &format!("|---|{}", "---:|".repeat(titles.len())));
    for (row, path) in sheet.paths.iter().enumerate() {
        let cells: Vec<String> = sheet.blocks.iter().flat_map(|block| cells(block, row)).collect();
        let name = if words::is_own(*path) { format!("**{}**", path.title()) } else { path.title().into() };
        line(page, &format!("| {name} | {} |", cells.join(" | ")));
    }
}

/// What the brackets of a table are.
fn intervals(sheet: &Sheet) -> &'static str {
    let has = sheet.blocks.iter().flat_map(|block| &block.columns).any(|column| column.is == Is::Interval);
    if has { " In brackets the 95 % confidence interval." } else { "" }
}

/// The titles of a block's columns, its own before the first.
fn titles(block: &Block) -> Vec<String> {
    let figures = block.columns.iter().filter(|column| column.is == Is::Figure).enumerate();
    let title = |(index, column): (usize, &Column)| match (index, block.title.as_str()) {
        (0, title) if !title.is_empty() => format!("{title}, {}", column.title),
        _ => column.title.clone(),
    };
    figures.map(title).collect()
}

/// The figures of a row, with their intervals in brackets.
fn cells(block: &Block, row: usize) -> Vec<String> {
    let mut cells: Vec<String> = Vec::new();
    for column in &block.columns {
        let cell = column.cells.get(row).map_or(NOTHING, String::as_str);
        match (column.is, cells.last_mut()) {
            (Is::Interval, _) if cell == NOTHING => {}
            (Is::Interval, Some(figure)) => figure.push_str(&format!(" ({cell})")),
            _ => cells.push(cell.to_owned()),
        }
    }
    cells
}

/// With a capital letter at its beginning and a full stop at its end.
fn sentence(text: &str) -> String {
    format!("{}.", capitalised(text))
}

/// With a capital letter at its beginning.
pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// `text` on one line, without what Markdown or HTML would take for something else.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' => escaped.extend(['\\', letter]),
            '\n' | '\r' => escaped.push(' '),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// Adds a line.
fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}
