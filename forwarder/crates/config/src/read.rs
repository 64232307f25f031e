//! Reads files, and what is wrong with their syntax and their keys.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::{file::File, source::Source};
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_kernel::netns::nearest;

/// Where files are if none is named.
pub const DIRECTORY: &str = "/etc/fwd";

/// What a file ends in that is read out of a directory.
const EXTENSION: &str = "toml";
/// What a file ends in that is JSON instead.
const JSON: &str = "json";

/// Reads the files; of a directory all that end in `.toml`, in the order of their names. `-` is the standard input. One that ends in `.json`
/// is JSON of the same keys.
///
/// # Errors
/// [`Kind::NotFound`] if a path is not there, or a directory has no such file; [`Kind::Usage`] with its place for what is no JSON; what reading
/// fails with.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).doing("read", "the standard input")?;
            sources.push(Source { path: "<stdin>".into(), text });
        } else if path.is_dir() {
            let files = files_in(path)?;
            if files.is_empty() {
                let why = format!("there is no file in it that ends in .{EXTENSION}");
                let error = Error::new(Kind::NotFound, "read", path.display().to_string(), why);
                return Err(error.remedy("`fwd export` writes one of what is up"));
            }
            for file in files {
                sources.push(read_file(&file)?);
            }
        } else {
            sources.push(read_file(path)?);
        }
    }
    Ok(sources)
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let object = || directory.display().to_string();
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).doing("read", object())? {
        let path = entry.doing("read", object())?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Source> {
    match fs::read_to_string(path) {
        Ok(text) if path.extension().is_some_and(|extension| extension == JSON) => of_json(path, &text),
        Ok(text) => Ok(Source { path: path.display().to_string(), text }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let error = Error::new(Kind::NotFound, "read", path.display().to_string(), "there is no such file");
            Err(error.remedy("name one with -f FILE, or a directory of files that end in .toml"))
        }
        Err(error) => Err(error).doing("read", path.display().to_string()),
    }
}

/// JSON as the TOML that says the same, in which places are given then: a value of JSON does not know its own.
fn of_json(path: &Path, text: &str) -> Result<Source> {
    let said: serde_json::Result<toml::Table> = serde_json::from_str(text);
    let said = said.map_err(|error| {
        let place = format!("{}:{}:{}", path.display(), error.line(), error.column());
        Error::new(Kind::Usage, "read", place, error.to_string())
            .remedy("`fwd validate --schema` prints what such a file is; without a value a key is left out")
    })?;
    let text = toml::to_string_pretty(&said).doing("read", path.display().to_string())?;
    Ok(Source { path: format!("{} (as TOML)", path.display()), text })
}

impl Source {
    /// What it says.
    ///
    /// # Errors
    /// [`Kind::Usage`] with its place, for what is no TOML, a key that is not known, or a value that is none.
    pub(crate) fn parse(&self) -> Result<File> {
        toml::from_str(&self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            match unknown_key(error.message()) {
                Some((key, known)) => {
                    let refused = self.refuse(&span, format!("there is no key {key:?} here"));
                    refused.remedy(match nearest(key, &known) {
                        Some(nearest) => format!("did you mean {nearest}?"),
                        None => format!("one of {}", known.join(", ")),
                    })
                }
                None => self
                    .refuse(&span, error.message().trim_end())
                    .remedy("docs/config.md has all keys and what they take"),
            }
        })
    }
}

/// The key, and those that there are: serde says so in words alone, between grave accents.
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted.collect()))
}
