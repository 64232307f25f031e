//! What is known of an endpoint besides what programs read: one document each, by the endpoint's identity.
//!
//! It is written before the record that names it and removed after it: a record always has its metadata, and metadata without a record
//! are those that an interrupted command left. Nothing of the data path rests on them: whose packets are whose says the record.

pub(crate) mod identity;

use std::collections::{HashMap, HashSet};

use aya_obj::generated::BPF_F_NO_PREALLOC;
use forwarder_common::abi::{Endpoint, METADATA_LEN, maps::Map};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Dataplane, EndpointId, object::maps};
use fwd_base::{Context as _, Error, Kind, Result};

/// Version of the document. Keys may be added, each with what its absence means; another meaning is another version.
const VERSION: u32 = 1;

type Document = [u8; METADATA_LEN];

/// What is known of an endpoint besides its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Whom it is about.
    pub id: EndpointId,
    /// Name of the network.
    pub network: String,
    /// The namespace, as it was found.
    pub netns: NetnsMetadata,
    /// Name of the host-side veth.
    pub host_if: String,
    /// Addresses inside, each with the length of its prefix.
    pub addresses: Vec<IpNet>,
    /// Routes inside.
    pub routes: Vec<RouteMetadata>,
}

/// How a namespace can be found. Whether it is the one that is meant tells the cookie in the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsMetadata {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Process that it was given by.
    pub pid: Option<u32>,
    /// Path that it was given by, if that is text.
    #[serde(default)]
    pub path: Option<String>,
    /// Its inode on nsfs.
    pub inode: u64,
}

/// A route inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteMetadata {
    /// Where it leads.
    pub to: IpNet,
    /// By this router.
    pub via: std::net::IpAddr,
}

/// The document with its version.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    endpoint: T,
}

/// An endpoint: its record, and what else is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What programs read.
    pub record: Endpoint,
    /// What else is known.
    pub metadata: Metadata,
}

/// The map as it is declared, which no program has: its elements take memory as they come.
pub(crate) fn map(declared: &Map) -> aya_obj::Map {
    let [key, value, entries] = [declared.key_size, declared.value_size, declared.entries].map(|size| size as u32);
    aya_obj::Map::new_from_params(declared.kind as u32, key, value, entries, BPF_F_NO_PREALLOC)
}

/// # Errors
/// [`Kind::Usage`] if there is more to say than there is room for.
fn write(metadata: &Metadata) -> Result<Document> {
    let text = serde_json::to_vec(&Versioned { version: VERSION, endpoint: metadata })
        .doing("write", format!("metadata of endpoint {}", metadata.id))?;
    let mut document = [0; METADATA_LEN];
    let Some(room) = document.get_mut(..text.len()) else {
        let why = format!("names, addresses and routes take {} bytes, of which there are {METADATA_LEN}", text.len());
        return Err(Error::new(Kind::Usage, "record", format!("endpoint {}", metadata.id), why)
            .remedy("give the namespace a shorter name or path"));
    };
    room.copy_from_slice(&text);
    Ok(document)
}

/// # Errors
/// It is not what this version writes.
fn read(document: &[u8]) -> Result<Metadata> {
    let end = document.iter().position(|byte| *byte == 0).unwrap_or(document.len());
    let what = "metadata of an endpoint";
    let Versioned { version, endpoint } = serde_json::from_slice(&document[..end]).doing("read", what)?;
    if version != VERSION {
        let why = format!("they are of version {version}, and this fwd reads version {VERSION}");
        return Err(Error::new(Kind::Unsupported, "read", what, why));
    }
    Ok(endpoint)
}

impl Dataplane {
    /// Writes what is known of an endpoint of the namespace with `cookie`, before its record; the record's [`Endpoint::metadata`].
    ///
    /// # Errors
    /// It is too long, another endpoint has the same key, or the map cannot be written.
    pub fn put_metadata(&self, metadata: &Metadata, cookie: u64) -> Result<u64> {
        let key = metadata.id.key(cookie);
        if let Some(found) = self.metadata(key)?.filter(|found| found.id != metadata.id) {
            let why = format!("its key is that of endpoint {}", found.id);
            return Err(Error::new(Kind::Conflict, "record", format!("endpoint {}", metadata.id), why)
                .remedy("give it another name"));
        }
        let document = write(metadata)?;
        if self.put(maps::METADATA, &key, &document).is_err() {
            // Interrupted commands may have filled the map.
            self.forget_orphaned_metadata()?;
            self.put(maps::METADATA, &key, &document)?;
        }
        Ok(key)
    }

    fn metadata(&self, key: u64) -> Result<Option<Metadata>> {
        self.one(maps::METADATA, &key)?.map(|document| read(&document)).transpose()
    }

    /// Removes metadata that no record names any more; they may be absent.
    pub(crate) fn forget_metadata(&self, key: u64) -> Result<()> {
        self.forget(maps::METADATA, &key)
    }

    /// An endpoint with what is known of it.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn describe(&self, record: Endpoint) -> Result<Described> {
        Ok(Described { record, metadata: self.metadata(record.metadata)?.unwrap_or_default() })
    }

    /// Every endpoint with the ifindex of its host-side veth, in that order, and what is known of it.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn described_endpoints(&self) -> Result<Vec<(u32, Described)>> {
        // The records first: what comes later may have no metadata here yet, but not the other way round.
        let records = self.endpoints()?;
        let entries: Vec<(u64, Document)> = self.entries(maps::METADATA)?;
        let documents: HashMap<u64, &Document> = entries.iter().map(|(key, document)| (*key, document)).collect();
        let mut described = Vec::new();
        for (ifindex, record) in records {
            match documents.get(&record.metadata) {
                Some(document) => described.push((ifindex, Described { record, metadata: read(*document)? })),
                // It has gone meanwhile, or nobody has described it.
                None if self.endpoint(ifindex)?.is_none() => {}
                None => described.push((ifindex, Described { record, metadata: Metadata::default() })),
            }
        }
        Ok(described)
    }

    /// Removes the metadata that no record names: what interrupted commands left.
    fn forget_orphaned_metadata(&self) -> Result<()> {
        let named: HashSet<u64> = self.endpoints()?.into_iter().map(|(_, endpoint)| endpoint.metadata).collect();
        let entries: Vec<(u64, Document)> = self.entries(maps::METADATA)?;
        entries.iter().filter(|(key, _)| !named.contains(key)).try_for_each(|(key, _)| self.forget_metadata(*key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EndpointOwner;

    fn metadata(id: &str) -> Metadata {
        Metadata {
            id: EndpointId { owner: EndpointOwner::Cni, id: id.into(), ifname: "eth0".into() },
            network: "web".into(),
            netns: NetnsMetadata { name: Some("a \"b\"".into()), pid: None, path: None, inode: 7 },
            host_if: "veth0".into(),
            addresses: vec!["10.77.0.2/24".parse().unwrap()],
            routes: vec![RouteMetadata { to: "0.0.0.0/0".parse().unwrap(), via: "10.77.0.1".parse().unwrap() }],
        }
    }

    #[test]
    fn metadata_are_read_as_they_were_written() {
        let metadata = metadata("0123abcd");
        assert_eq!(read(&write(&metadata).unwrap()).unwrap(), metadata);
    }

    #[test]
    fn metadata_without_room_or_of_another_version_are_refused() {
        assert_eq!(write(&metadata(&"x".repeat(METADATA_LEN))).unwrap_err().kind, Kind::Usage);
        let text = serde_json::to_vec(&Versioned { version: VERSION + 1, endpoint: metadata("x") }).unwrap();
        assert_eq!(read(&text).unwrap_err().kind, Kind::Unsupported);
        assert!(read(b"\0").is_err());
    }
}
