//! The directory of names: /run/netns.

use std::{fs, io, path::Path};

use super::{Name, failed};
use fwd_base::Result;

/// Where names of network namespaces live; /var/run/netns is the same place.
pub const DIRECTORY: &str = "/run/netns";

/// The names that `ip netns list` shows, sorted. Files whose name no [`Name`] can have are left out.
///
/// # Errors
/// If /run/netns exists and cannot be read.
pub fn named() -> Result<Vec<Name>> {
    names_in(Path::new(DIRECTORY))
}

fn names_in(directory: &Path) -> Result<Vec<Name>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", directory.display().to_string(), error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("read", directory.display().to_string(), error))?;
        names.extend(entry.file_name().to_str().and_then(|name| Name::try_from(name).ok()));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_has_no_names() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(names_in(&directory.path().join("none")).expect("nothing there"), Vec::new());
    }

    #[test]
    fn names_are_sorted_and_impossible_ones_left_out() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["b", "a", "c\n"] {
            fs::write(directory.path().join(name), "").expect("a file");
        }
        let names = names_in(directory.path()).expect("a directory");
        assert_eq!(names.iter().map(Name::as_str).collect::<Vec<_>>(), ["a", "b"]);
    }
}
