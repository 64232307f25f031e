//! Parts of the pages that repeat what the code declares: `./x docs` writes them, and a test compares them.
//!
//! Such a part stands between two comments of the page that name it, so that the text around it stays the page's own.

mod bench;
mod capabilities;
mod exit_codes;
mod kernels;
mod markdown;
mod options;
mod reasons;
#[cfg(test)]
mod requirements;
#[cfg(test)]
mod values;

use crate::{Error, Kind, Result};

/// A part of a page that is made of a declaration.
pub struct Part {
    /// The page, from the top of the checkout.
    pub page: &'static str,
    /// Its name in the page's comments.
    pub name: &'static str,
    text: fn() -> String,
}

/// Every part that is made, in the order of the pages.
pub const PARTS: &[Part] = &[
    Part { page: "README.md", name: "commands", text: options::commands },
    Part { page: "README.md", name: "options", text: options::options },
    Part { page: "README.md", name: "data-paths", text: options::data_paths },
    Part { page: "README.md", name: "bench-paths", text: bench::paths },
    Part { page: "README.md", name: "exit-codes", text: exit_codes::exit_codes_table },
    Part { page: "docs/kernels.md", name: "features", text: kernels::data_path },
    Part { page: "docs/kernels.md", name: "other-features", text: kernels::others },
    Part { page: "docs/kernels.md", name: "bench-needs", text: bench::needs },
    Part { page: "docs/privileges.md", name: "capabilities", text: capabilities::capabilities },
    Part { page: "docs/reasons.md", name: "punts", text: reasons::punts },
    Part { page: "docs/reasons.md", name: "drops", text: reasons::drops },
    Part { page: "docs/rfc.md", name: "idle-times", text: options::idle_times },
];

/// The pages that have such parts.
#[must_use]
pub fn pages() -> Vec<&'static str> {
    let mut pages: Vec<&str> = PARTS.iter().map(|part| part.page).collect();
    pages.dedup();
    pages
}

/// The text of `page` with every part as it is declared.
///
/// # Errors
/// The comments of a part are not there.
pub fn updated(page: &str, text: &str) -> Result<String> {
    PARTS.iter().filter(|part| part.page == page).try_fold(text.to_owned(), |text, part| part.put_into(&text))
}

impl Part {
    fn put_into(&self, text: &str) -> Result<String> {
        let Self { page, name, text: declared } = self;
        let [begin, end] = ["from", "to"].map(|which| format!("<!-- ./x docs writes {name} {which} here -->"));
        let missing = || {
            let why = format!("the page has no lines {begin:?} and {end:?}");
            Error::new(Kind::NotFound, "write", format!("the part {name} of {page}"), why)
        };
        let (before, rest) = text.split_once(&begin).ok_or_else(missing)?;
        let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
        Ok(format!("{before}{begin}\n\n{}\n{end}{after}", declared()))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A page of this checkout.
    fn read(page: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        fs::read_to_string(root.join(page)).unwrap()
    }

    #[test]
    fn pages_say_what_the_code_declares() {
        for page in pages() {
            let text = read(page);
            assert!(
                updated(page, &text).unwrap() == text,
                "{page} differs from the declarations: `./x docs` writes it"
            );
        }
    }

    #[test]
    fn what_stands_around_a_part_stays() {
        let part = Part { page: "a.md", name: "b", text: || "new".into() };
        let page = "before\n<!-- ./x docs writes b from here -->\n\nold\n<!-- ./x docs writes b to here -->\nafter\n";
        let written = part.put_into(page).unwrap();
        assert_eq!(written, page.replace("old", "new"));
        assert!(part.put_into("nothing").unwrap_err().to_string().contains("part b of a.md"));
    }
}
