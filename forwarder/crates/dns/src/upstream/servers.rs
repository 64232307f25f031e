//! The servers that the host asks, by its resolv.conf: its own stub on loopback among them, which knows where which domain is asked for.

use std::{
    cell::{Cell, RefCell},
    fs, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use fwd_kernel::netns::resolv;
use nix::net::if_::if_nametoindex;

use crate::PORT;

/// How long it is taken to be as it was.
const FRESH: Duration = Duration::from_secs(1);
/// As many as resolvers take (`MAXNS`, resolv.conf(5)).
const MOST: usize = 3;

/// The servers, read again when the file has changed.
#[derive(Debug)]
pub(crate) struct Servers {
    /// The first of these files that exists.
    files: Vec<PathBuf>,
    read: RefCell<Read>,
    /// The one that has answered last.
    preferred: Cell<usize>,
}

#[derive(Debug, Default)]
struct Read {
    at: Option<Instant>,
    version: Option<Version>,
    servers: Vec<SocketAddr>,
    problem: Option<String>,
}

/// Tells a file from what it was.
type Version = (PathBuf, SystemTime, u64);

impl Servers {
    pub(crate) fn of(files: Vec<PathBuf>) -> Self {
        Self { files, read: RefCell::default(), preferred: Cell::new(0) }
    }

    /// Those that are asked now, the one that has answered last at first.
    pub(crate) fn now(&self) -> Vec<SocketAddr> {
        self.refresh();
        let mut servers = self.read.borrow().servers.clone();
        let first = self.preferred.get().checked_rem(servers.len()).unwrap_or(0);
        servers.rotate_left(first);
        servers
    }

    /// Why there are none.
    pub(crate) fn problem(&self) -> Option<String> {
        self.refresh();
        self.read.borrow().problem.clone()
    }

    /// A server has answered.
    pub(crate) fn prefer(&self, server: SocketAddr) {
        let place = self.read.borrow().servers.iter().position(|known| *known == server);
        self.preferred.set(place.unwrap_or(0));
    }

    fn refresh(&self) {
        let mut read = self.read.borrow_mut();
        if read.at.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        read.at = Some(Instant::now());
        let found = self.files.iter().find_map(|file| Some((file, fs::metadata(file).ok()?)));
        let version =
            found.and_then(|(file, metadata)| Some((file.clone(), metadata.modified().ok()?, metadata.len())));
        if version.is_some() && version == read.version {
            return;
        }
        self.preferred.set(0);
        match self.load(version.as_ref()) {
            Ok(servers) => {
                let shown = || version.as_ref().map(|(file, ..)| file.display().to_string()).unwrap_or_default();
                read.problem = servers.is_empty().then(|| format!("{} names no server", shown()));
                read.servers = servers;
            }
            Err(problem) => (read.servers, read.problem) = (Vec::new(), Some(problem)),
        }
        read.version = version;
    }

    fn load(&self, version: Option<&Version>) -> Result<Vec<SocketAddr>, String> {
        let shown = || self.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        let (file, ..) = version.ok_or_else(|| format!("there is no {}", shown()))?;
        let text = fs::read(file).map_err(|error: io::Error| format!("{}: {error}", file.display()))?;
        Ok(parsed(&String::from_utf8_lossy(&text)))
    }
}

fn parsed(resolv_conf: &str) -> Vec<SocketAddr> {
    let address = |(address, scope): (IpAddr, Option<&str>)| match (address, scope) {
        (IpAddr::V6(address), Some(scope)) => scoped(address, scope),
        (address, _) => Some(SocketAddr::new(address, PORT)),
    };
    resolv_conf.lines().filter_map(resolv::nameserver).filter_map(address).take(MOST).collect()
}

/// An address on the link of an interface, which is named or numbered.
fn scoped(address: Ipv6Addr, scope: &str) -> Option<SocketAddr> {
    let index = scope.parse().or_else(|_| if_nametoindex(scope)).ok()?;
    Some(SocketAddrV6::new(address, PORT, 0, index).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stub_and_links_are_servers_too() {
        let text = "# x\nnameserver 127.0.0.53\nnameserver fe80::1%7\nnameserver nonsense\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n";
        let shown: Vec<String> = parsed(text).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.53:53", "[fe80::1%7]:53", "192.0.2.1:53"]);
    }

    #[test]
    fn file_that_changes_is_read_again_and_who_answers_goes_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let servers = Servers::of(vec![first.clone(), second.clone()]);
        let now = |servers: &Servers| {
            servers.read.borrow_mut().at = None;
            servers.now().iter().map(|server| server.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(now(&servers), [""; 0]);
        assert!(servers.problem().expect("none is there").contains("first"));
        fs::write(&second, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n").expect("a file");
        assert_eq!(now(&servers), ["192.0.2.1", "192.0.2.2"]);
        servers.prefer("192.0.2.2:53".parse().expect("an address"));
        assert_eq!(now(&servers), ["192.0.2.2", "192.0.2.1"]);
        fs::write(&first, "search x\n").expect("a file");
        assert_eq!(now(&servers), [""; 0]);
        assert!(servers.problem().expect("it names none").contains("names no server"));
    }
}
