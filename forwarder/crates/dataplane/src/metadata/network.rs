//! What is known of a network besides its record: a document each, by its name, as of endpoints.
//!
//! A network without one is as usual. That two networks reach each other follows from the documents of both, and is told to the programs
//! by their bridges whenever one of them changes.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use forwarder_common::abi::{METADATA_LEN, NetworkPair, endpoint_flags};
use serde::{Deserialize, Serialize};

use super::{Document, text_of};
use crate::{Dataplane, name_of, object::maps, read::records::steady};
use fwd_base::{Context as _, Error, Kind, Result, hash::fnv};

/// Version of the document. Keys may be added, each with what its absence means; another meaning is another version.
const VERSION: u32 = 1;

/// What is known of a network besides its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkMetadata {
    /// Its name.
    pub name: String,
    /// Networks that may reach it, by their names, whether they are there or not.
    pub allows: BTreeSet<String>,
    /// The first address of the host behind which endpoints appear that ask for none, and how many there are.
    #[serde(default)]
    pub source: Option<(Ipv4Addr, u16)>,
    /// The same of IPv6.
    #[serde(default)]
    pub source6: Option<(Ipv6Addr, u16)>,
}

/// The document with its version.
#[derive(Serialize, Deserialize)]
struct Versioned {
    version: u32,
    network: NetworkMetadata,
}

/// The key of a network's document. Keys of endpoints begin with an owner's name.
fn key(name: &str) -> u64 {
    fnv(["network", name].join("\0").into_bytes())
}

/// # Errors
/// [`Kind::Usage`] if there is more to say than there is room for.
fn write(metadata: &NetworkMetadata) -> Result<Document> {
    let object = || format!("what network {} allows", metadata.name);
    let text =
        serde_json::to_vec(&Versioned { version: VERSION, network: metadata.clone() }).doing("write", object())?;
    let mut document = [0; METADATA_LEN];
    let Some(room) = document.get_mut(..text.len()) else {
        let why = format!("the names take {} bytes, of which there are {METADATA_LEN}", text.len());
        return Err(Error::new(Kind::Usage, "record", object(), why).remedy("allow fewer networks"));
    };
    room.copy_from_slice(&text);
    Ok(document)
}

impl NetworkMetadata {
    /// # Errors
    /// [`Kind::Usage`] if there is more to say than there is room for.
    pub fn check(&self) -> Result<()> {
        write(self).map(drop)
    }
}

impl Dataplane {
    /// What is known of the network of this name; of one whose document is not there, or cannot be read, that it is as usual: isolated.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn network_metadata(&self, name: &str) -> Result<NetworkMetadata> {
        let document = steady(|| self.one(maps::METADATA, &key(name)))?;
        let read = |document: Document| {
            let versioned: Versioned = serde_json::from_slice(text_of(&document)).ok()?;
            Some(versioned).filter(|it| it.version == VERSION && it.network.name == name).map(|it| it.network)
        };
        let usual = || NetworkMetadata { name: name.into(), ..NetworkMetadata::default() };
        Ok(document.and_then(read).unwrap_or_else(usual))
    }

    /// Writes what is known of a network, and tells the programs which networks reach each other then.
    ///
    /// # Errors
    /// There is more to say than there is room for, or a map cannot be written.
    pub fn put_network_metadata(&self, metadata: &NetworkMetadata) -> Result<()> {
        let usual = NetworkMetadata { name: metadata.name.clone(), ..NetworkMetadata::default() };
        if *metadata == usual {
            self.forget(maps::METADATA, &key(&metadata.name))?;
        } else {
            self.put(maps::METADATA, &key(&metadata.name), &write(metadata)?)?;
        }
        self.follow_allowed()
    }

    /// Forgets what was known of a network that is gone.
    pub(crate) fn forget_network_metadata(&self, name: &str) -> Result<()> {
        self.forget(maps::METADATA, &key(name))?;
        self.follow_allowed()
    }

    /// Keys of the documents of networks that are there.
    pub(super) fn network_keys(&self) -> Result<Vec<u64>> {
        Ok(self.networks()?.iter().map(|(_, network)| key(&name_of(&network.name))).collect())
    }

    /// Lets those networks reach each other that have allowed each other, and no others: not one whose bridge was deleted, because its number may be
    /// another's by now.
    pub(crate) fn follow_allowed(&self) -> Result<()> {
        let (devices, mut networks) = (self.devices()?, Vec::new());
        for (bridge, record) in self.networks()? {
            if record.flags & endpoint_flags::KERNEL_DATAPATH == 0 && devices.contains(&bridge) {
                networks.push((bridge, self.network_metadata(&name_of(&record.name))?));
            }
        }
        let found: Vec<(NetworkPair, u32)> = self.entries(maps::REACHES)?;
        let wanted = pairs(&networks);
        for (pair, _) in found.iter().filter(|(pair, _)| !wanted.contains(&(pair.from, pair.to))) {
            self.forget(maps::REACHES, pair)?;
        }
        wanted.into_iter().try_for_each(|(from, to)| self.put(maps::REACHES, &NetworkPair { from, to }, &1))
    }
}

/// The pairs of networks, by their bridges, that have allowed each other.
fn pairs(networks: &[(u32, NetworkMetadata)]) -> BTreeSet<(u32, u32)> {
    let reach = |one: &NetworkMetadata, other: &NetworkMetadata| {
        one.allows.contains(&other.name) && other.allows.contains(&one.name)
    };
    let of = |(from, one): &(u32, NetworkMetadata)| {
        let others = networks.iter().filter(|(_, other)| reach(one, other));
        others.map(|(to, _)| (*from, *to)).collect::<Vec<_>>()
    };
    networks.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, allows: &[&str]) -> NetworkMetadata {
        let allows = allows.iter().map(|it| (*it).to_owned()).collect();
        NetworkMetadata { name: name.into(), allows, ..NetworkMetadata::default() }
    }

    #[test]
    fn networks_reach_each_other_once_both_allow_it() {
        let (web, db) = (network("web", &["db", "gone"]), network("db", &["web"]));
        let (app, none) = (network("app", &["web", "db"]), network("none", &[]));
        let all = [(1, web), (2, db), (3, app), (4, none)];
        assert_eq!(pairs(&all), [(1, 2), (2, 1)].into());
        assert_eq!(pairs(&all[..1]), BTreeSet::new());
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let many: Vec<String> = (0..1000).map(|number| format!("network{number}")).collect();
        let many =
            NetworkMetadata { name: "web".into(), allows: many.into_iter().collect(), ..NetworkMetadata::default() };
        assert_eq!(many.check().expect_err("it is refused").kind, Kind::Usage);
        network("web", &["db"]).check().expect("there is room");
    }
}
