//! Text that wraps, but not within a figure: `0.05–0.23 µs` stays on one line.

use super::markup::Element;
use crate::{Path, render::words::is_own};

/// What stays with the figure before it.
const UNITS: [&str; 16] =
    ["%", "µs", "ns", "ms", "s", "B", "bytes", "/s", "k/s", "M/s", "G/s", "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "×"];
/// What stays with the figure behind it.
const LABELS: [&str; 3] = ["×", "CPU", "Linux"];
/// Letters that are kept together at most: a telephone has room for them.
const MOST: usize = 28;

impl Element {
    /// Adds text whose figures keep their units, and intervals their ends. No joining characters: what is copied from the page or
    /// looked for in it is what one sees.
    pub(super) fn prose(self, text: impl AsRef<str>) -> Self {
        let mut element = self;
        for (index, group) in groups(text.as_ref()).into_iter().enumerate() {
            if index > 0 {
                element = element.text(" ");
            }
            let breaks = group.contains([' ', '–', '-', '/']) && group.chars().count() <= MOST;
            element = match breaks {
                true => element.add(Self::classed("span", "whole").text(group)),
                false => element.text(group),
            };
        }
        element
    }
}

/// Words, those that belong together as one.
fn groups(text: &str) -> Vec<&str> {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let (mut last, mut at) = ("", 0);
    for word in text.split(' ') {
        let end = at + word.len();
        match groups.last_mut() {
            Some((_, until)) if belong(last, word) => *until = end,
            _ => groups.push((at, end)),
        }
        (last, at) = (word, end + 1);
    }
    groups.into_iter().filter_map(|(from, until)| text.get(from..until)).collect()
}

/// Whether a line may not end between two words.
fn belong(first: &str, second: &str) -> bool {
    let dash = |word: &str| word == "–";
    if is_figure(first) && (dash(second) || UNITS.contains(&second.trim_end_matches(['.', ',', ';', ':', ')']))) {
        return true;
    }
    if is_figure(second) && (dash(first) || LABELS.contains(&first.trim_start_matches('('))) {
        return true;
    }
    let own = |path: Path| is_own(path) && path.title().split_once(' ') == Some((first, second));
    Path::ALL.into_iter().any(own)
}

/// Whether a word begins with a number.
fn is_figure(word: &str) -> bool {
    word.trim_start_matches(['(', '+', '-', '±', '≤', '≥']).starts_with(|letter: char| letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Element, groups};

    #[test]
    fn figures_keep_their_units_and_intervals_their_ends() {
        let said = "fwd tc adds 0.05–0.23 µs (-0.20 – 0.30 µs), 34 % of it, × 1.15 on CPU 1";
        let kept =
            ["fwd tc", "adds", "0.05–0.23 µs", "(-0.20 – 0.30 µs),", "34 %", "of", "it,", "× 1.15", "on", "CPU 1"];
        assert_eq!(groups(said), kept);
        assert_eq!(groups(""), [""]);
        assert_eq!(groups(" two  spaces "), ["", "two", "", "spaces", ""]);
    }

    #[test]
    fn only_what_could_break_is_marked_and_all_is_escaped() {
        let element = Element::new("p").prose("7 paths <b> add 0.98 µs & 1–2 %");
        let marked = "<p>7 paths &lt;b&gt; add <span class=\"whole\">0.98 µs</span> &amp; <span class=\"whole\">1–2 %</span></p>";
        assert_eq!(element.to_string(), marked);
    }

    #[test]
    fn what_is_too_long_for_a_telephone_may_break() {
        let long = "2026-11-24T10:29:58.123456789Z-and-more";
        assert_eq!(Element::new("p").prose(long).to_string(), format!("<p>{long}</p>"));
    }
}
