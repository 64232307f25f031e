//! Words that this project once had for itself: each has a term that networking, eBPF or measurement knows (docs/glossary.md).

use super::{
    File,
    exceptions::{Exceptions, Rule},
    source::Source,
};

/// Refused words and their terms, in code and prose, whatever the case; `_` and humps of identifiers end a word.
const REFUSED: &[(&str, &str)] = &[
    ("crew", "workers"),
    ("garbage", "orphans"),
    ("lab", "testbed"),
    ("labs", "testbeds"),
    ("overlooks", "exceeds the scope"),
    ("portless", "address-only"),
    ("purge", "flush"),
    ("portless", "address-only"),
    ("purge", "flush"),
    ("standstill", "microbench"),
    ("stray", "orphan"),
    ("strays", "orphans"),
];

/// Names that say nothing of a type, and what such types are called.
const REFUSED_TYPES: &[(&str, &str)] = &[
    ("Ask", "LoadRequest"),
    ("Busy", "HostLoad"),
    ("Floor", "RedirectBaseline"),
    ("Guard", "Cleanup, or validate for packets"),
    ("Inside", "TargetNetns"),
    ("Known", "EndpointNetns"),
    ("Net", "NetConfig"),
    ("Noted", "PinnedHooks"),
    ("Nothing", "EmptyProgram"),
    ("Place", "what it is the place of: Affinity, HostNetns"),
    ("Site", "Peers, MeasuredPath"),
    ("Talk", "Conversation, Session"),
];

/// What is excepted: this table itself, and figures.
const TABLE: &str = "xtask/src/tidy/words.rs";

/// Refused words in code, comments, snapshots and pages.
pub(crate) fn check(file: &File, exceptions: &mut Exceptions) -> Vec<String> {
    let is_text = [".rs", ".md", ".snap", ".toml", ".txt"].iter().any(|end| file.path.ends_with(end));
    if !is_text || file.path == TABLE {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let refused = REFUSED.iter().filter(|(word, _)| has_word(line, word));
        problems.extend(refused.map(|(word, term)| format!("{}:{}: say {term} for {word}", file.path, number + 1)));
    }
    if !problems.is_empty() && exceptions.allow(Rule::Word, &file.path) {
        return Vec::new();
    }
    problems
}

/// Types of which the name says nothing.
pub(crate) fn check_types(source: &Source, exceptions: &mut Exceptions) -> Vec<String> {
    let mut problems = Vec::new();
    for pair in source.tokens.windows(2) {
        let declares = ["struct", "enum", "trait", "type", "union"].contains(&pair[0].text.as_str());
        let refused = REFUSED_TYPES.iter().find(|(name, _)| declares && *name == pair[1].text);
        let told = |(name, term): &(&str, &str)| {
            format!("{}:{}: {name} says nothing: call it {term}", source.path, pair[1].line)
        };
        problems.extend(refused.map(told));
    }
    if !problems.is_empty() && exceptions.allow(Rule::Word, &source.path) {
        return Vec::new();
    }
    problems
}

/// Whether `line` has `word` (in lower case) as a word of its own, or as a part of an identifier.
fn has_word(line: &str, word: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.match_indices(word).any(|(at, _)| {
        let end = at + word.len();
        let (before, after) = (line[..at].chars().next_back(), line[end..].chars().next());
        let starts_hump = line[at..].starts_with(char::is_uppercase) && before.is_none_or(char::is_lowercase);
        let ends_hump = after.is_some_and(char::is_uppercase) && line[..end].ends_with(char::is_lowercase);
        let is_outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        (is_outside(before) || starts_hump) && (is_outside(after) || ends_hump)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_underscores_and_humps() {
        for line in ["a lab", "Lab::new", "LabSpec", "names_lab(x)", "the lab's", "MyLab"] {
            assert!(has_word(line, "lab"), "{line}");
        }
        for line in ["label", "slab", "Oklab", "available", "LABEL", "labs"] {
            assert!(!has_word(line, "lab"), "{line}");
        }
        assert!(has_word("at a short way,", "short way") && !has_word("the short ways", "short way"));
    }

    #[test]
    fn each_word_has_one_term() {
        for table in [REFUSED, REFUSED_TYPES] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0), "in the order of the alphabet");
        }
    }
}
