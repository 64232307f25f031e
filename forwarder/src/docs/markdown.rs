//! Tables and words as Markdown has them.

/// A table of Markdown.
pub(super) fn table<const N: usize>(titles: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&titles.map(str::to_owned));
    text.push_str(&format!("{}|\n", "|---".repeat(N)));
    for row in rows {
        text.push_str(&line(&row.map(|cell| cell.replace('|', "\\|"))));
    }
    text
}

/// A word of a terminal.
pub(super) fn code(word: impl std::fmt::Display) -> String {
    format!("`{word}`")
}
