//! The files in which networks are noted, with their endpoints: what docker says once, and takes for granted after its own restart and the
//! machine's.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::{CreateNetwork, Id, Interface, PortBinding};
use fwd_base::{Context as _, Error, Kind, Result};

/// Version of the documents. Keys may be added, each with what its absence means; another meaning is another version.
const VERSION: u32 = 1;

/// A network, and what docker has said of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotedNetwork {
    version: u32,
    /// As docker asked for it.
    pub(crate) network: CreateNetwork,
    /// What it is called here.
    pub(crate) name: String,
    /// Its endpoints.
    #[serde(default)]
    pub(crate) endpoints: BTreeMap<Id, NotedEndpoint>,
}

/// An endpoint that docker has asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotedEndpoint {
    /// Its interface inside.
    pub(crate) interface: Interface,
    /// Ports of the host that lead to it.
    #[serde(default)]
    pub(crate) ports: Vec<PortBinding>,
}

impl NotedNetwork {
    /// Notes an endpoint, in place of one that had its address: docker has not told of its end.
    pub(crate) fn add(&mut self, id: Id, endpoint: NotedEndpoint) {
        let address = endpoint.interface.address;
        self.endpoints.retain(|_, known| known.interface.address != address);
        self.endpoints.insert(id, endpoint);
    }

    pub(crate) fn new(network: CreateNetwork, name: String) -> Self {
        Self { version: VERSION, network, name, endpoints: BTreeMap::new() }
    }
}

/// The directory.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    /// Held while a file is read and written again.
    changing: Mutex<()>,
}

impl Store {
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn open(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).doing("make", directory.display().to_string())?;
        Ok(Self { directory, changing: Mutex::new(()) })
    }

    /// What is noted of a network.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if nothing is; the file cannot be read.
    pub(crate) fn get(&self, id: &Id) -> Result<NotedNetwork> {
        self.find(id)?.ok_or_else(|| {
            let object = format!("docker's network {}", id.short(12));
            let why = format!("there is no file of it in {}", self.directory.display());
            Error::new(Kind::NotFound, "find", object, why)
                .remedy("remove it with `docker network rm`, and make it anew")
        })
    }

    /// The same; none if nothing is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn find(&self, id: &Id) -> Result<Option<NotedNetwork>> {
        read(&self.path(id))
    }

    /// What is noted of all networks.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn all(&self) -> Result<Vec<NotedNetwork>> {
        let name = || self.directory.display().to_string();
        let mut noted = Vec::new();
        for entry in fs::read_dir(&self.directory).doing("read", name())? {
            let path = entry.doing("read", name())?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                noted.extend(read(&path)?);
            }
        }
        Ok(noted)
    }

    /// Notes a network.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn put(&self, noted: &NotedNetwork) -> Result<()> {
        let path = self.path(&noted.network.network);
        let text = serde_json::to_vec(noted).doing("write", path.display().to_string())?;
        write(&path, &text).doing("write", path.display().to_string())
    }

    /// Changes what is noted of a network.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`put`](Self::put).
    pub(crate) fn change<T>(&self, id: &Id, change: impl FnOnce(&mut NotedNetwork) -> T) -> Result<T> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut noted = self.get(id)?;
        let result = change(&mut noted);
        self.put(&noted)?;
        Ok(result)
    }

    /// Forgets a network; it may be absent.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(crate) fn forget(&self, id: &Id) -> Result<()> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).doing("remove", path.display().to_string())
            }
            _ => Ok(()),
        }
    }

    fn path(&self, id: &Id) -> PathBuf {
        self.directory.join(format!("{}.json", id.as_str()))
    }
}

fn read(path: &Path) -> Result<Option<NotedNetwork>> {
    let object = || path.display().to_string();
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.doing("read", object())?,
    };
    let unreadable = |why: String| {
        Error::new(Kind::Failed, "read", object(), why)
            .remedy("remove the file, and the network with `docker network rm`, and make it anew")
    };
    let noted: NotedNetwork = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    match noted.version {
        VERSION => Ok(Some(noted)),
        version => Err(unreadable(format!("it is of version {version}, and this fwd reads version {VERSION}"))),
    }
}

/// Writes a file so that whoever reads it, also after the machine has lost power, finds the former contents or these.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let passing = path.with_extension("new");
    let mut file = File::create(&passing)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&passing, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(id: &str) -> NotedNetwork {
        let request = serde_json::json!({
            "NetworkID": id, "Options": { "com.docker.network.internal": true },
            "IPv4Data": [{ "AddressSpace": "LocalDefault", "Pool": "10.80.0.0/24", "Gateway": "10.80.0.1/24" }],
        });
        NotedNetwork::new(serde_json::from_value(request).expect("a network"), "n1".into())
    }

    #[test]
    fn networks_are_read_as_they_were_written_and_gone_when_they_are_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path().join("a/b")).expect("it is made");
        let (one, other) = (noted("a1"), noted("b2"));
        store.put(&one).expect("it is written");
        store.put(&other).expect("it is written");
        let id = &one.network.network;
        assert_eq!(store.get(id).expect("it is there"), one);
        let endpoint = Id::try_from("e1".to_owned()).expect("an id");
        let former = Id::try_from("e0".to_owned()).expect("an id");
        for id_of_endpoint in [&former, &endpoint] {
            store.change(id, |noted| noted.add(id_of_endpoint.clone(), NotedEndpoint::default())).expect("changed");
        }
        let endpoints = store.get(id).expect("it is there").endpoints;
        assert_eq!(endpoints.keys().collect::<Vec<_>>(), [&endpoint], "one has an address");
        assert_eq!(store.all().expect("they are there").len(), 2);
        store.forget(id).expect("it goes");
        store.forget(id).expect("it has gone");
        assert_eq!(store.get(id).expect_err("it has gone").kind, Kind::NotFound);
        assert_eq!(store.all().expect("one is there"), [other]);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path().into()).expect("it is there");
        let id = Id::try_from("a1".to_owned()).expect("an id");
        let newer = serde_json::to_string(&NotedNetwork { version: 2, ..noted("a1") }).expect("JSON");
        for (text, why) in [("{", "EOF"), (newer.as_str(), "version 2")] {
            fs::write(directory.path().join("a1.json"), text).expect("it is written");
            let error = store.find(&id).expect_err("it cannot be read");
            assert!(error.why.contains(why) && error.remedy.is_some(), "{error}");
        }
    }
}
