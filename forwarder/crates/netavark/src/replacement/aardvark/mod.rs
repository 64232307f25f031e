//! Names of containers by aardvark-dns, the name server of podman: what it answers is in files below podman's directory, of which a signal tells it.

pub(super) mod entries;
mod server;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use self::entries::Entry;
use super::failure::{Failure, Result};

/// The port of the Domain Name System (RFC 1035 section 4.2), at which containers ask.
const DNS_PORT: u16 = 53;
/// What is added to the name of a file where nothing leaves its network: aardvark-dns asks nobody for its containers.
const INTERNAL: &str = "%int";

/// The name server of a directory of podman's.
#[derive(Debug)]
pub(super) struct Aardvark {
    /// Where its files are.
    directory: PathBuf,
    /// Beside that: nobody else changes files meanwhile.
    lock: PathBuf,
    /// The program.
    program: PathBuf,
    /// The port at which it answers.
    port: u16,
    /// It is started as a unit of the user's systemd.
    rootless: bool,
}

impl Aardvark {
    /// The server that has its files below `config`.
    pub(super) fn new(config: &Path, program: PathBuf, port: Option<u16>, rootless: bool) -> Self {
        let (directory, lock) = (config.join("aardvark-dns"), config.join("aardvark.lock"));
        let port = port.unwrap_or(DNS_PORT);
        Self { directory, lock, program, port, rootless }
    }

    /// Where the program ought to be, if it is not there.
    pub(super) fn missing(&self) -> Option<&Path> {
        (!self.program.exists()).then_some(self.program.as_path())
    }

    /// The port at which it answers, if that is none at which containers ask.
    pub(super) fn other_port(&self) -> Option<u16> {
        (self.port != DNS_PORT).then_some(self.port)
    }

    /// Makes the directory of the files, if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn prepare(&self) -> Result<()> {
        match fs::create_dir(&self.directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                let doing = format!("failed to create aardvark-dns directory {}", self.directory.display());
                Err(Failure::io(doing, &error))
            }
            _ => Ok(()),
        }
    }

    /// Makes these names known; what the user ought to know. Where the server does not start, none is.
    ///
    /// # Errors
    /// A file cannot be written, the server does not start.
    pub(super) fn add(&self, entries: &[Entry]) -> Result<Vec<String>> {
        let _lock = self.locked()?;
        let written = entries.iter().try_for_each(|entry| self.write(entry));
        let told = written.map_err(|error| Failure::io(self.directory.display(), &error)).and_then(|()| self.tell());
        told.inspect_err(|_| {
            // What says why it failed is told; what is left is overwritten by the next.
            let _removed: Vec<_> = entries.iter().map(|entry| self.erase(&entry.network, &entry.id)).collect();
        })
    }

    /// Forgets a container in these networks; what is not there is no error.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn remove(&self, id: &str, networks: &[String]) -> Result<()> {
        if !self.directory.exists() {
            return Ok(());
        }
        let _lock = self.locked()?;
        let erased: io::Result<Vec<bool>> = networks.iter().map(|network| self.erase(network, id)).collect();
        let erased = erased.map_err(|error| Failure::io("remove aardvark entries", &error))?;
        if erased.contains(&true) {
            server::signal(&self.directory);
        }
        Ok(())
    }

    /// Has a network ask these servers. One in which nobody is has no file, and is asked for them when somebody comes.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn ask(&self, network: &str, servers: &[String]) -> Result<()> {
        let failed = |error: io::Error| Failure::io("unable to modify network dns servers", &error);
        if !self.directory.exists() {
            return Ok(());
        }
        let _lock = self.locked()?;
        let Some((path, text)) = self.find(network).map_err(failed)? else { return Ok(()) };
        self.replace(&path, &entries::with_servers(&text, servers)).map_err(failed)?;
        server::signal(&self.directory);
        Ok(())
    }

    fn locked(&self) -> Result<File> {
        let open = || {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.lock)?;
            file.lock().map(|()| file)
        };
        open().map_err(|error| {
            Failure::io(format!("Failed to acquire exclusive lock on {}", self.lock.display()), &error)
        })
    }

    /// A network's file, and what it says.
    fn find(&self, network: &str) -> io::Result<Option<(PathBuf, String)>> {
        for path in [self.directory.join(network), self.directory.join(format!("{network}{INTERNAL}"))] {
            match fs::read_to_string(&path) {
                Ok(text) => return Ok(Some((path, text))),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn write(&self, entry: &Entry) -> io::Result<()> {
        let found = self.find(&entry.network)?;
        let suffix = if entry.internal { INTERNAL } else { "" };
        let path = self.directory.join(format!("{}{suffix}", entry.network));
        if let Some((former, _)) = found.as_ref().filter(|(former, _)| *former != path) {
            fs::rename(former, &path)?;
        }
        self.replace(&path, &entry.added(found.as_ref().map(|(_, text)| text.as_str())))
    }

    /// Has a file say this, whole or not at all: the server may be reading it, and there may be no room.
    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        // Beside the directory, in which the server takes each file for a network's.
        let new = self.lock.with_extension("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))
    }

    /// Whether there was anything to erase.
    fn erase(&self, network: &str, id: &str) -> io::Result<bool> {
        let Some((path, text)) = self.find(network)? else { return Ok(false) };
        match entries::without(&text, id) {
            Some(rest) if rest == text => return Ok(false),
            Some(rest) => self.replace(&path, &rest)?,
            None => fs::remove_file(path)?,
        }
        Ok(true)
    }

    /// Tells the server, or starts it.
    fn tell(&self) -> Result<Vec<String>> {
        match server::signal(&self.directory) {
            Some(pid) => Ok(server::is_elsewhere(pid, &self.directory).into_iter().collect()),
            None => server::start(&self.program, &self.directory, self.port, self.rootless).map(|()| Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, internal: bool) -> Entry {
        Entry {
            network: "web".into(),
            internal,
            gateways: vec!["10.89.3.1".parse().expect("an address")],
            network_servers: Vec::new(),
            id: id.into(),
            addresses: vec!["10.89.3.2".parse().expect("an address")],
            names: vec!["db".into()],
            servers: Vec::new(),
        }
    }

    fn aardvark(dir: &Path, program: &str) -> Aardvark {
        Aardvark::new(dir, program.into(), None, false)
    }

    #[test]
    fn files_come_with_the_first_container_and_go_with_the_last() {
        let dir = tempfile::tempdir().expect("a directory");
        // One that starts, and is gone at once: so each time it is started.
        let server = aardvark(dir.path(), "/bin/true");
        let file = |name: &str| fs::read_to_string(dir.path().join("aardvark-dns").join(name)).ok();
        server.prepare().expect("it is made");
        server.add(&[entry("f0", false)]).expect("it is written");
        server.add(&[entry("f1", false)]).expect("it is written");
        assert_eq!(file("web").as_deref(), Some("10.89.3.1\nf0 10.89.3.2  db\nf1 10.89.3.2  db\n"));
        server.ask("web", &["9.9.9.9".into()]).expect("it is written");
        server.ask("other", &["9.9.9.9".into()]).expect("nobody is in it");
        server.remove("f0", &["web".into(), "other".into()]).expect("it is written");
        assert_eq!(file("web").as_deref(), Some("10.89.3.1 9.9.9.9\nf1 10.89.3.2  db\n"));
        server.add(&[entry("f2", true)]).expect("it is written");
        assert_eq!((file("web"), file("web%int").is_some()), (None, true), "it is internal by now");
        for id in ["f1", "f2", "f2"] {
            server.remove(id, &["web".into()]).expect("it is written");
        }
        assert_eq!(file("web%int"), None);
    }

    #[test]
    fn files_that_cannot_be_written_whole_stay_as_they_were() {
        let dir = tempfile::tempdir().expect("a directory");
        let server = aardvark(dir.path(), "/bin/true");
        server.prepare().expect("it is made");
        for id in ["f0", "f1"] {
            server.add(&[entry(id, false)]).expect("it is written");
        }
        let file = || fs::read_to_string(dir.path().join("aardvark-dns/web")).expect("it is there");
        let before = file();
        // As where there is no room: what would be written is nowhere to be.
        fs::create_dir(dir.path().join("aardvark.new")).expect("it is made");
        server.add(&[entry("f2", false)]).expect_err("it cannot be written");
        server.ask("web", &["9.9.9.9".into()]).expect_err("it cannot be written");
        server.remove("f0", &["web".into()]).expect_err("it cannot be written");
        assert_eq!(file(), before);
    }

    #[test]
    fn nobody_is_noted_where_the_server_does_not_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let failed = |program: &str| {
            let server = aardvark(dir.path(), program);
            server.prepare().expect("it is made, or there");
            server.add(&[entry("f0", false)]).expect_err("it fails").0
        };
        assert_eq!(failed("/bin/false"), "aardvark-dns exited unexpectedly without error message");
        let none = failed("/proc/version");
        assert!(none.starts_with("aardvark-dns failed to start: Failed to find executable /proc/version"), "{none}");
        assert_eq!(fs::read_dir(dir.path().join("aardvark-dns")).expect("it is there").count(), 0);
        assert!(aardvark(dir.path(), "/nowhere/aardvark-dns").missing().is_some());
        aardvark(&dir.path().join("none"), "/bin/true").remove("f0", &["web".into()]).expect("there is nothing");
    }
}
