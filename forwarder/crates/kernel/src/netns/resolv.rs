//! Name resolution inside a namespace: a resolver that listens on the host's loopback cannot be reached from there.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr},
    os::unix::fs::{DirBuilderExt, FileExt as _, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{Name, failed};
use fwd_base::Result;

/// How each file begins that this module writes; what does not belongs to somebody else.
const MARK: &str = "# Written by fwd";
/// First line of each file that this module writes.
const HEADER: &str =
    "# Written by fwd, which keeps it up to date: the host's own resolver cannot be reached from inside.";

/// Where local resolvers keep the servers that they ask, below /run.
const UPSTREAM: [&str; 5] = [
    "systemd/resolve/resolv.conf",
    "NetworkManager/no-stub-resolv.conf",
    "resolvconf/resolv.conf",
    "dnsmasq/resolv.conf",
    "connman/resolv.conf",
];

/// Where files are looked for and written; tests use a directory of their own.
#[derive(Clone, Debug)]
pub struct Roots {
    /// /etc.
    pub etc: PathBuf,
    /// /run.
    pub run: PathBuf,
    /// The namespace that plays the host, where it has a name: it may have a resolv.conf of its own.
    pub host: Option<Name>,
}

impl Default for Roots {
    fn default() -> Self {
        Self { etc: "/etc".into(), run: "/run".into(), host: None }
    }
}

/// What a namespace needs for its names to be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The host's resolv.conf works inside as well, or the namespace has one that is as it should be.
    Nothing,
    /// [`write`] this to /etc/netns/NAME/resolv.conf.
    Write(String),
    /// The host's resolver listens on loopback only, and what it asks itself is not known: worth a warning.
    NoUpstream,
}

/// Decides about /etc/netns/NAME/resolv.conf. One of ours is to say what the host asks now.
///
/// # Errors
/// If a file that exists cannot be read.
pub fn plan_for(roots: &Roots, name: &Name) -> Result<Plan> {
    let path = file_of(roots, name);
    if path.symlink_metadata().is_err() {
        return Ok(match needed(roots)? {
            Needed::Nothing(_) => Plan::Nothing,
            Needed::File(contents) => Plan::Write(contents),
            Needed::Unknown => Plan::NoUpstream,
        });
    }
    let Some(found) = read(&path)?.filter(|text| text.starts_with(MARK)) else { return Ok(Plan::Nothing) };
    let wanted = match needed(roots)? {
        // It was needed once, and commands inside use it.
        Needed::Nothing(contents) => contents,
        Needed::File(contents) => Some(contents),
        Needed::Unknown => None,
    };
    Ok(wanted.filter(|wanted| *wanted != found).map_or(Plan::Nothing, Plan::Write))
}

/// What name resolution inside depends on.
enum Needed {
    /// The host's own file will do; the same as one of ours would say it.
    Nothing(Option<String>),
    /// A file that says this.
    File(String),
    /// A file, but nobody knows what it should say.
    Unknown,
}

fn needed(roots: &Roots) -> Result<Needed> {
    // Inside, /etc/resolv.conf is the machine's, and not that of the namespace that plays the host.
    if let Some(path) = roots.host.as_ref().map(|host| file_of(roots, host))
        && let Some(text) = read(&path)?
    {
        return Ok(reachable(&text, &path).map_or(Needed::Unknown, Needed::File));
    }
    let path = roots.etc.join("resolv.conf");
    let text = read(&path)?.unwrap_or_default();
    if !is_loopback_only(&text) {
        return Ok(Needed::Nothing(reachable(&text, &path)));
    }
    for candidate in UPSTREAM {
        let path = roots.run.join(candidate);
        if let Some(contents) = read(&path)?.and_then(|upstream| reachable(&upstream, &path)) {
            return Ok(Needed::File(contents));
        }
    }
    Ok(Needed::Unknown)
}

/// Writes /etc/netns/NAME/resolv.conf, which [`exec`](super::exec()) and `ip netns exec` bind over /etc/resolv.conf.
///
/// One of ours gets other contents, as the same file, so that running commands see them. False if there is one of somebody else: it
/// is never overwritten.
///
/// # Errors
/// If it cannot be written; no new file is left then.
pub fn write(roots: &Roots, name: &Name, contents: &str) -> Result<bool> {
    let path = file_of(roots, name);
    let shown = path.display().to_string();
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory_of(roots, name))
        .map_err(|error| failed("create the directory of", &shown, error))?;
    // Neither an existing file nor a link is followed: create_new is O_EXCL.
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return rewrite(&path, contents).map_err(|error| failed("write", shown, error));
        }
        Err(error) => return Err(failed("create", shown, error)),
    };
    if let Err(error) = file.write_all(contents.as_bytes()) {
        let error = failed("write", &shown, error);
        return Err(match fs::remove_file(&path) {
            Ok(()) => error,
            Err(left) => error.remedy(format!("{shown} is left over ({left}): remove it")),
        });
    }
    Ok(true)
}

/// Replaces the contents of a file of ours. False if it is none.
fn rewrite(path: &Path, contents: &str) -> io::Result<bool> {
    let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path);
    let mut file = match opened {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(false),
        opened => opened?,
    };
    let mut found = Vec::new();
    file.read_to_end(&mut found)?;
    if !found.starts_with(MARK.as_bytes()) {
        return Ok(false);
    }
    file.write_all_at(contents.as_bytes(), 0)?;
    file.set_len(contents.len() as u64)?;
    Ok(true)
}

/// Whether /etc/netns/NAME/resolv.conf is one that [`write`] made.
#[must_use]
pub fn is_ours(roots: &Roots, name: &Name) -> bool {
    read(&file_of(roots, name)).is_ok_and(|text| text.is_some_and(|text| text.starts_with(MARK)))
}

/// Removes /etc/netns/NAME/resolv.conf if [`write`] made it, and the directories that are empty then.
///
/// False if there was none of ours.
///
/// # Errors
/// If it can be neither read nor removed.
pub fn remove(roots: &Roots, name: &Name) -> Result<bool> {
    let path = file_of(roots, name);
    let shown = path.display().to_string();
    if !read(&path)?.is_some_and(|text| text.starts_with(MARK)) {
        return Ok(false);
    }
    fs::remove_file(&path).map_err(|error| failed("remove", &shown, error))?;
    for directory in [directory_of(roots, name), roots.etc.join("netns")] {
        match fs::remove_dir(&directory) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => break,
            Err(error) => return Err(failed("remove", directory.display().to_string(), error)),
        }
    }
    Ok(true)
}

fn directory_of(roots: &Roots, name: &Name) -> PathBuf {
    roots.etc.join("netns").join(name.as_str())
}

fn file_of(roots: &Roots, name: &Name) -> PathBuf {
    directory_of(roots, name).join("resolv.conf")
}

/// The text of a file; `None` if there is none. Bytes that are no UTF-8 are replaced: they can only be in comments.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failed("read", path.display().to_string(), error)),
    }
}

/// Whether a resolv.conf names servers, and all of them are on loopback (resolv.conf(5)).
///
/// One without any server is taken as a host that resolves nothing: there is nothing to mend.
#[must_use]
pub fn is_loopback_only(resolv_conf: &str) -> bool {
    let mut servers = resolv_conf.lines().filter_map(nameserver).peekable();
    servers.peek().is_some() && servers.all(|(address, _)| address.is_loopback())
}

/// The server of a `nameserver` line, and its scope (`eth0` of `fe80::1%eth0`).
#[must_use]
pub fn nameserver(line: &str) -> Option<(IpAddr, Option<&str>)> {
    let mut words = line.split_whitespace();
    if words.next()? != "nameserver" {
        return None;
    }
    let text = words.next()?;
    let (address, scope) = text.split_once('%').map_or((text, None), |(address, scope)| (address, Some(scope)));
    let address: IpAddr = address.parse().ok()?;
    let address = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    Some((address, scope))
}

/// A resolv.conf with those servers of `upstream` that can be reached from a namespace; `None` if there are none.
///
/// IPv4 servers come first: the resolver asks in order and takes only three, and waits 5 s for one that is silent.
fn reachable(upstream: &str, path: &Path) -> Option<String> {
    let mut servers: Vec<IpAddr> = upstream
        .lines()
        .filter_map(nameserver)
        .filter(|(address, scope)| scope.is_none() && !address.is_loopback() && !is_link_local(*address))
        .map(|(address, _)| address)
        .collect();
    servers.sort_by_key(IpAddr::is_ipv6);
    if servers.is_empty() {
        return None;
    }
    let kept = upstream
        .lines()
        .map(str::trim)
        .filter(|line| matches!(line.split_whitespace().next(), Some("search" | "domain" | "options" | "sortlist")));
    let mut text = format!("{HEADER}\n# The servers are those of {}.\n", path.display());
    for line in servers.iter().map(|server| format!("nameserver {server}")).chain(kept.map(str::to_owned)) {
        text.push_str(&line);
        text.push('\n');
    }
    Some(text)
}

/// An address that means something else, or nothing, on another link.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => Ipv6Addr::is_unicast_link_local(&v6),
    }
}

mod server;
#[cfg(test)]
mod tests;

pub use server::{Found, Resolver, asking};
