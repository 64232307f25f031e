//! The table of docs/kernels.md that `./x vm` writes: a row a kernel, replaced when that series runs again on that processor.

use anyhow::{Context as _, Result};

/// The page.
pub(super) const FILE: &str = "docs/kernels.md";

/// The table lies between these lines.
const BEGIN: &str = "<!-- ./x vm writes kernels from here -->";
const END: &str = "<!-- ./x vm writes kernels to here -->";
const HEAD: &str = "| kernel | package | tests | lacks | programs |\n|---|---|---|---|---|\n";

/// The page with `rows` in its table, each in place of the one of the same series and processor.
pub(super) fn with_rows(page: &str, rows: &[String]) -> Result<String> {
    let marks = || format!("{FILE} has no lines {BEGIN:?} and {END:?}");
    let (before, rest) = page.split_once(BEGIN).with_context(marks)?;
    let (table, after) = rest.split_once(END).with_context(marks)?;
    let stays = |row: &&str| !rows.iter().any(|new| series(new) == series(row));
    let old = table.lines().filter(|line| series(line).is_some()).filter(stays);
    let mut all: Vec<&str> = old.chain(rows.iter().map(String::as_str)).collect();
    all.sort_by_key(|row| series(row));
    Ok(format!("{before}{BEGIN}\n\n{HEAD}{}\n\n{END}{after}", all.join("\n")))
}

/// The series that a row is about, and the processor: the last word of its kernel's name, and the first two numbers.
fn series(row: &str) -> Option<(&str, u32, u32)> {
    let (release, _) = row.strip_prefix("| ")?.split_once(' ')?;
    let mut numbers = release.split(['.', '-', '+']);
    Some((release.rsplit('-').next()?, numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_the_place_of_its_series_and_the_others_stay_in_order() {
        let page = format!("a\n{BEGIN}\n\n{HEAD}| 6.1.0-47-amd64 | old |\n| 6.12.9+deb12-amd64 | b |\n\n{END}\nc\n");
        let rows =
            ["| 6.18.1+deb13-amd64 | c |", "| 6.12.9+deb12-arm64 | d |", "| 6.1.0-50-amd64 | new |"].map(str::to_owned);
        let written = with_rows(&page, &rows).unwrap();
        assert_eq!(
            written,
            format!(
                "a\n{BEGIN}\n\n{HEAD}| 6.1.0-50-amd64 | new |\n| 6.12.9+deb12-amd64 | b |\n| 6.18.1+deb13-amd64 | c |\n| 6.12.9+deb12-arm64 | d |\n\n\
                 {END}\nc\n"
            )
        );
        assert!(with_rows("nothing", &rows).is_err());
    }
}
