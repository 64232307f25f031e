//! A resolv.conf that names a server of ours.

use std::net::IpAddr;

use super::{MARK, Name, Roots, file_of, read};
use fwd_base::{HostName, Result};

/// What stands in /etc/netns/NAME/resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// There is none.
    #[default]
    Nothing,
    /// This, which [`write`](super::write) wrote.
    Ours(String),
    /// Somebody else's.
    Theirs,
}

/// What there is for a resolv.conf that names a server of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// What stands there already.
    pub found: Found,
    /// What the host's own says besides its servers: `search`, `domain`, `options`, `sortlist`.
    pub kept: Vec<String>,
}

impl Resolver {
    /// Reads it for a namespace of this name.
    ///
    /// # Errors
    /// A file that exists cannot be read.
    pub fn read(roots: &Roots, name: &Name) -> Result<Self> {
        let path = file_of(roots, name);
        let found = match read(&path)? {
            Some(text) if text.starts_with(MARK) => Found::Ours(text),
            Some(_) => Found::Theirs,
            // A link that leads nowhere is somebody's.
            None if path.symlink_metadata().is_ok() => Found::Theirs,
            None => Found::Nothing,
        };
        let mut host = None;
        for path in roots.host_files() {
            host = host.or(read(&path)?);
        }
        let is_kept =
            |line: &&str| matches!(line.split_whitespace().next(), Some("search" | "domain" | "options" | "sortlist"));
        let host = host.unwrap_or_default();
        Ok(Self { found, kept: host.lines().map(str::trim).filter(is_kept).map(str::to_owned).collect() })
    }
}

impl Roots {
    /// The host's own resolv.conf: the first of these that exists.
    #[must_use]
    pub fn host_files(&self) -> Vec<std::path::PathBuf> {
        let own = self.host.as_ref().map(|host| file_of(self, host));
        own.into_iter().chain([self.etc.join("resolv.conf")]).collect()
    }
}

/// A resolv.conf that names one server, and looks for names in `search` first, then where the host does (`kept`).
#[must_use]
pub fn asking(server: IpAddr, search: Option<&HostName>, kept: &[String]) -> String {
    // The last one counts, of both kinds (resolv.conf(5)).
    let is_search = |line: &&String| line.starts_with("search") || line.starts_with("domain");
    let theirs = kept.iter().rfind(is_search).map(|line| line.split_whitespace().skip(1));
    let search = search.map(HostName::as_str).into_iter().chain(theirs.into_iter().flatten());
    let search: Vec<&str> = search.collect();
    let search = (!search.is_empty()).then(|| format!("search {}", search.join(" ")));
    let rest = kept.iter().filter(|line| !is_search(line)).cloned();
    let lines = [format!("nameserver {server}")].into_iter().chain(search).chain(rest);
    let lines: String = lines.map(|line| line + "\n").collect();
    format!("{MARK}, which keeps it up to date: the name server of the network asks those of the host.\n{lines}")
}
