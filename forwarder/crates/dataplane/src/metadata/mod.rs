//! What is known of an endpoint besides what programs read: one document each, by the endpoint's identity.
//!
//! It is written before the record that names it and removed after it: a record always has its metadata, and metadata without a record
//! are those that an interrupted command left. Nothing of the data path rests on them: whose packets are whose says the record.

pub(crate) mod identity;
pub(crate) mod network;

use std::{
    collections::{HashMap, HashSet},
    ffi::CStr,
    net::{Ipv4Addr, Ipv6Addr},
};

use forwarder_common::abi::{Endpoint, METADATA_LEN, endpoint_flags};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::{Dataplane, EndpointId, EndpointOwner, name_of, object::maps, read::records::steady};
use fwd_base::{Context as _, Error, HostName, Kind, Result};
use fwd_kernel::netlink::Netlink;

/// Version of the document. Keys may be added, each with what its absence means; another meaning is another version.
const VERSION: u32 = 1;

type Document = [u8; METADATA_LEN];

/// The text of a document, without what fills it.
fn text_of(document: &[u8]) -> &[u8] {
    CStr::from_bytes_until_nul(document).map_or(document, CStr::to_bytes)
}

/// What is known of an endpoint besides its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Whom it is about.
    pub id: EndpointId,
    /// Name of the network.
    pub network: String,
    /// What the owner calls the network, where that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_network: Option<String>,
    /// The namespace, as it was found.
    pub netns: NetnsMetadata,
    /// Name of the host-side veth.
    pub host_if: String,
    /// Addresses inside, each with the length of its prefix.
    pub addresses: Vec<IpNet>,
    /// Routes inside.
    pub routes: Vec<RouteMetadata>,
    /// Names by which it is found, besides that of its namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<HostName>,
}

/// How a namespace can be found. Whether it is the one that is meant tells the cookie in the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsMetadata {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Process that it was given by.
    pub pid: Option<u32>,
    /// Path that it was given by, if that is text, and the endpoint's identity does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What the container is called that it was given by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
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
    /// With this metric, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

/// What every version's document has.
#[derive(Deserialize)]
struct Version {
    version: u32,
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
    /// Why its document cannot be read: then the metadata say what the records tell.
    pub unreadable: Option<String>,
}

impl Described {
    /// Whether its interface waits in the host's namespace for the one that its runtime is going to make.
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        self.record.flags & endpoint_flags::AWAITED != 0
    }
}

/// # Errors
/// [`Kind::Usage`] if there is more to say than there is room for.
fn write(metadata: &Metadata) -> Result<Document> {
    let text = serde_json::to_vec(&Versioned { version: VERSION, endpoint: metadata })
        .doing("write", format!("metadata of endpoint {}", metadata.id))?;
    let mut document = [0; METADATA_LEN];
    let Some(room) = document.get_mut(..text.len()) else {
        let why = format!("names, addresses and routes take {} bytes, of which there are {METADATA_LEN}", text.len());
        let object = format!("endpoint {}", shortened(&metadata.id.to_string()));
        return Err(Error::new(Kind::Usage, "record", object, why).remedy("give the namespace a shorter name or path"));
    };
    room.copy_from_slice(&text);
    Ok(document)
}

/// The beginning of what is too long for a message.
fn shortened(text: &str) -> String {
    const LONG: usize = 60;
    if text.chars().count() <= LONG { text.into() } else { text.chars().take(LONG).chain(['…']).collect() }
}

/// # Errors
/// Why it is not what this version writes, in words.
fn read(document: &[u8]) -> Result<Metadata, String> {
    let text = text_of(document);
    let whole = serde_json::from_slice(text);
    if let Ok(Versioned { version: VERSION, endpoint }) = whole {
        return Ok(endpoint);
    }
    // The version before what is missing or unknown: what another one writes may look otherwise.
    let Version { version } = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match whole {
        Err(error) if version == VERSION => Err(error.to_string()),
        _ => Err(format!("it is of version {version}, and this fwd reads version {VERSION}")),
    }
}

impl Metadata {
    /// # Errors
    /// [`Kind::Usage`] if there is more to say than there is room for.
    pub fn check(&self) -> Result<()> {
        write(self).map(drop)
    }
}

impl Dataplane {
    /// Writes what is known of an endpoint of the namespace with `cookie`, before its record; the record's [`Endpoint::metadata`].
    ///
    /// # Errors
    /// It is too long, another endpoint has the same key, or the map cannot be written.
    pub fn put_metadata(&self, metadata: &Metadata, cookie: u64) -> Result<u64> {
        let key = metadata.id.key(cookie);
        let found = self.document(key)?.and_then(|document| read(&document).ok());
        if let Some(found) = found.filter(|found| found.id != metadata.id) {
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

    fn document(&self, key: u64) -> Result<Option<Document>> {
        steady(|| self.one(maps::METADATA, &key))
    }

    /// Removes metadata that no record names any more; they may be absent.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn forget_metadata(&self, key: u64) -> Result<()> {
        self.forget(maps::METADATA, &key)
    }

    /// The endpoint with this record and host-side veth, with what is known of it.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn describe(&self, ifindex: u32, record: Endpoint) -> Result<Described> {
        let document = self.document(record.metadata)?;
        self.described(ifindex, record, document.map(|document| read(&document)))
    }

    /// One whose document cannot be read is described by what the records and its interface tell: nothing else is kept from going on by it.
    fn described(
        &self,
        ifindex: u32,
        record: Endpoint,
        document: Option<Result<Metadata, String>>,
    ) -> Result<Described> {
        match document.unwrap_or_else(|| Err("there is none".into())) {
            Ok(metadata) => Ok(Described { record, metadata, unreadable: None }),
            Err(why) => Ok(Described { record, metadata: self.guessed(ifindex, &record)?, unreadable: Some(why) }),
        }
    }

    fn guessed(&self, ifindex: u32, record: &Endpoint) -> Result<Metadata> {
        let network = self.network(record.network)?;
        let link = if self.is_same_device(ifindex)? { Netlink::here()?.link_by_index(ifindex)? } else { None };
        let prefix = network.and_then(|network| u8::try_from(network.prefix_v4).ok()).filter(|prefix| *prefix <= 32);
        let address = Some(Ipv4Addr::from(record.v4)).filter(|address| !address.is_unspecified());
        let address = address.map(|address| Ipv4Net::new_assert(address, prefix.unwrap_or(32)).into());
        let prefix6 = network.and_then(|network| u8::try_from(network.prefix_v6).ok()).filter(|prefix| *prefix <= 128);
        let address6 = Some(Ipv6Addr::from(record.v6)).filter(|address| !address.is_unspecified());
        let address6 = address6.map(|address| Ipv6Net::new_assert(address, prefix6.unwrap_or(128)).into());
        let via = network.map(|network| Ipv4Addr::from(network.gateway_v4)).filter(|via| !via.is_unspecified());
        let via6 = network.map(|network| Ipv6Addr::from(network.gateway_v6)).filter(|via| !via.is_unspecified());
        let default = via.map(|via| (Ipv4Net::default().into(), via.into()));
        let default6 = via6.map(|via| (Ipv6Net::default().into(), via.into()));
        Ok(Metadata {
            id: EndpointId { owner: EndpointOwner::Unknown, ..EndpointId::default() },
            network: network.map(|network| name_of(&network.name)).unwrap_or_default(),
            host_if: link.map(|link| link.name).unwrap_or_default(),
            addresses: address.into_iter().chain(address6).collect(),
            routes: default
                .into_iter()
                .chain(default6)
                .map(|(to, via)| RouteMetadata { to, via, metric: None })
                .collect(),
            ..Metadata::default()
        })
    }

    /// Every endpoint with the ifindex of its host-side veth, in that order, and what is known of it.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn described_endpoints(&self) -> Result<Vec<(u32, Described)>> {
        let mut described = Vec::new();
        self.each_described(|ifindex, endpoint| {
            described.push((ifindex, endpoint));
            Ok(())
        })?;
        Ok(described)
    }

    /// The same, one after the other: of a thousand, each takes a page of memory or two.
    ///
    /// # Errors
    /// A map cannot be read; what `read` returns.
    pub fn each_described(&self, mut read: impl FnMut(u32, Described) -> Result<()>) -> Result<()> {
        // The records first: what comes later may have no metadata here yet, but not the other way round.
        let records = self.endpoints()?;
        let mut documents = HashMap::with_capacity(records.len());
        self.each_entry(maps::METADATA, |key, document| {
            documents.insert(*key, self::read(document));
        })?;
        for (ifindex, record) in records {
            let document = match documents.remove(&record.metadata) {
                // It has gone meanwhile.
                None if self.endpoint(ifindex)?.is_none() => continue,
                None => self.document(record.metadata)?.map(|document| self::read(&document)),
                document => document,
            };
            read(ifindex, self.described(ifindex, record, document)?)?;
        }
        Ok(())
    }

    /// Every endpoint with the ifindex of its host-side veth, in that order, if none of them is called `id`, and none is of the namespace with
    /// `cookie`: the records alone tell. None if one is, whatever it was called by then.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn strangers(&self, id: &EndpointId, cookie: u64) -> Result<Option<Vec<(u32, Endpoint)>>> {
        let records = self.endpoints()?;
        let concerns = |it: &Endpoint| it.netns_cookie == cookie || it.metadata == id.key(it.netns_cookie);
        Ok((!records.iter().any(|(_, record)| concerns(record))).then_some(records))
    }

    /// Removes the metadata that no record names: what interrupted commands left.
    fn forget_orphaned_metadata(&self) -> Result<()> {
        let mut named: HashSet<u64> = self.endpoints()?.into_iter().map(|(_, endpoint)| endpoint.metadata).collect();
        named.extend(self.network_keys()?);
        let entries: Vec<(u64, Document)> = self.entries(maps::METADATA)?;
        entries.iter().filter(|(key, _)| !named.contains(key)).try_for_each(|(key, _)| self.forget_metadata(*key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(id: &str) -> Metadata {
        Metadata {
            id: EndpointId { owner: EndpointOwner::Cni, id: id.into(), ifname: "eth0".into() },
            network: "web".into(),
            owner_network: Some("front".into()),
            netns: NetnsMetadata { name: Some("a \"b\"".into()), pid: None, path: None, container: None, inode: 7 },
            host_if: "veth0".into(),
            addresses: vec!["10.77.0.2/24".parse().unwrap()],
            routes: vec![RouteMetadata {
                to: "0.0.0.0/0".parse().unwrap(),
                via: "10.77.0.1".parse().unwrap(),
                metric: Some(200),
            }],
            aliases: vec!["www".parse().unwrap()],
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
        let text = serde_json::to_vec(&Versioned { version: VERSION + 1, endpoint: "something else" }).unwrap();
        assert_eq!(read(&text).unwrap_err(), "it is of version 2, and this fwd reads version 1");
        for text in [&b"\0"[..], b"{}", b"[1]", &[0xff; METADATA_LEN]] {
            assert!(read(text).is_err());
        }
    }

    #[test]
    fn owner_that_a_later_version_knows_is_unknown() {
        let mut value = serde_json::to_value(Versioned { version: VERSION, endpoint: metadata("x") }).unwrap();
        value["endpoint"]["id"]["owner"] = "nomad".into();
        let read = read(&serde_json::to_vec(&value).unwrap()).unwrap();
        assert_eq!((read.id.owner, read.id.id.as_str()), (EndpointOwner::Unknown, "x"));
    }

    #[test]
    fn what_is_read_while_it_changes_is_read_again() {
        let values = std::cell::RefCell::new(vec![3, 3, 2, 1]);
        assert_eq!(steady(|| Ok(values.borrow_mut().pop())).unwrap(), Some(3));
        assert_eq!(steady(|| Ok(None::<u8>)).unwrap(), None);
    }
}
