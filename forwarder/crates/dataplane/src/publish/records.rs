//! Published ports in the maps `PUBLISHED` and `PUBLISHED_PORTS`.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use aya::maps::{LpmTrie, MapData, MapError, lpm_trie::Key};
use forwarder_common::{
    abi::{
        self, ALL_V4, ALL_V6, Addr, HOST_SOCKET_BITS, HostSocket, PUBLISHED_WORDS, PortPrefix, SocketSender, Withdrawn,
    },
    decide::unsolicited::publish::place,
    flow::ipv6::fingerprint,
};
use ipnet::IpNet;

use super::{PublishedPorts, Senders, Transport, prefixes::prefixes};
use crate::{
    Dataplane,
    object::maps,
    read::{batch, field::address},
};
use fwd_base::{Context as _, Result};

/// Ports that lead to an endpoint, as the maps have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    /// ifindex of the endpoint's host-side veth.
    pub endpoint: u32,
    /// Cookie of its namespace.
    pub cookie: u64,
    /// Which ports.
    pub ports: PublishedPorts,
    /// All of them are published: a command was not interrupted.
    pub whole: bool,
}

impl Dataplane {
    fn published(&self) -> Result<LpmTrie<MapData, HostSocket, abi::Publication>> {
        LpmTrie::try_from(self.map(maps::PUBLISHED)?).doing("open", maps::PUBLISHED)
    }

    /// Every publication, in the order of its ports.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn publications(&self) -> Result<Vec<Publication>> {
        let mut entries: HashMap<abi::Publication, usize> = HashMap::new();
        for value in self.published_values()? {
            // Those of both families count together.
            let addr = if value.both_families == 0 { value.addr } else { ALL_V4 };
            *entries.entry(abi::Publication { addr, ..value }).or_default() += 1;
        }
        let restricted = entries.keys().any(|value| value.senders != 0);
        let senders = if restricted { self.senders()? } else { Vec::new() };
        let read = entries.into_iter().filter_map(|(value, found)| publication(&value, found, &senders));
        let mut publications: Vec<Publication> = read.collect();
        publications.sort_by_key(|it| (it.ports.transport, it.ports.first, it.ports.host, it.endpoint));
        Ok(publications)
    }

    fn published_to(&self) -> Result<LpmTrie<MapData, SocketSender, u64>> {
        LpmTrie::try_from(self.map(maps::PUBLISHED_TO)?).doing("open", maps::PUBLISHED_TO)
    }

    /// Who may use which publications, and the cookie of each.
    fn senders(&self) -> Result<Vec<Sender>> {
        let mut senders = Vec::new();
        for entry in self.published_to()?.iter() {
            let (key, cookie) = entry.doing("read", maps::PUBLISHED_TO)?;
            let SocketSender { socket, sender } = key.data();
            let address = Ipv6Addr::from(sender).to_canonical();
            let before = HOST_SOCKET_BITS + if address.is_ipv4() { MAPPED_BITS } else { 0 };
            let length = u8::try_from(key.prefix_len().saturating_sub(before)).unwrap_or(u8::MAX);
            senders.extend(IpNet::new(address, length).ok().map(|prefix| (socket, prefix, cookie)));
        }
        Ok(senders)
    }

    /// Says who may use the ports, in place of what an interrupted command has left.
    fn set_senders(&self, cookie: u64, ports: &PublishedPorts) -> Result<()> {
        if ports.senders.are_all() {
            return Ok(());
        }
        self.clear_senders(ports, |_| true)?;
        let mut trie = self.published_to()?;
        for prefix in ports.senders.prefixes() {
            trie.insert(&sender(socket_for(ports, *prefix), *prefix), &cookie, 0).doing("write", maps::PUBLISHED_TO)?;
        }
        Ok(())
    }

    /// Takes back what [`Dataplane::set_senders`] did, as far as it is there and nobody else's.
    fn remove_senders(&self, cookie: u64, ports: &PublishedPorts) -> Result<()> {
        if ports.senders.are_all() { Ok(()) } else { self.clear_senders(ports, |found| found == cookie) }
    }

    /// Removes who may use the ports, of the namespaces whose cookies are meant.
    fn clear_senders(&self, ports: &PublishedPorts, is_meant: impl Fn(u64) -> bool) -> Result<()> {
        let mut trie = self.published_to()?;
        let is_its = |(of, _, found): &Sender| first_sockets(ports).any(|socket| socket == *of) && is_meant(*found);
        for (socket, prefix, _) in self.senders()?.into_iter().filter(is_its) {
            trie.remove(&sender(socket, prefix)).doing("write", maps::PUBLISHED_TO)?;
        }
        Ok(())
    }

    fn published_values(&self) -> Result<Vec<abi::Publication>> {
        let data = self.map_data(maps::PUBLISHED)?;
        match batch::entries::<PortPrefix, abi::Publication>(&data) {
            Ok(mut entries) => {
                entries.sort_by_key(|(key, _)| (key.socket.addr, key.socket.proto, key.socket.port, key.length));
                // One that changed meanwhile may have been met twice.
                entries.dedup_by_key(|(key, _)| *key);
                Ok(entries.into_iter().map(|(_, value)| value).collect())
            }
            // A kernel before 5.17 has no batches of this type of map.
            Err(_) => {
                let trie = self.published()?;
                trie.iter().map(|entry| entry.map(|(_, value)| value).doing("read", maps::PUBLISHED)).collect()
            }
        }
    }

    /// Whether any port is published.
    pub(crate) fn publishes(&self) -> Result<bool> {
        Ok(self.published()?.keys().next().transpose().doing("read", maps::PUBLISHED)?.is_some())
    }

    /// Publishes ports of the endpoint with host-side veth `endpoint`, whose namespace has this `cookie`. The entries come last: while one
    /// is missing, the publication is not [whole](Publication::whole).
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn publish(&self, endpoint: u32, cookie: u64, ports: &PublishedPorts) -> Result<()> {
        let mut bits = self.array(maps::PUBLISHED_PORTS)?;
        for (word, mask) in words(ports) {
            let found = bits.get(&word, 0).doing("read", maps::PUBLISHED_PORTS)?;
            bits.set(word, &(found | mask), 0).doing("write", maps::PUBLISHED_PORTS)?;
        }
        self.set_publishing(true)?;
        self.set_senders(cookie, ports)?;
        let mut trie = self.published()?;
        for (key, value) in entries(endpoint, cookie, ports) {
            trie.insert(&key, &value, 0).doing("write", maps::PUBLISHED)?;
        }
        Ok(())
    }

    /// Takes back what [`Dataplane::publish`] did, as far as it is there and nobody else's.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn unpublish(&self, endpoint: u32, cookie: u64, ports: &PublishedPorts) -> Result<()> {
        let mut trie = self.published()?;
        for (key, ours) in entries(endpoint, cookie, ports) {
            // What is found may lie beside: then the key itself is somebody's wider range, and there is nothing to remove.
            match trie.get(&key, 0) {
                Ok(found) if found == ours => {}
                Ok(_) | Err(MapError::KeyNotFound) => continue,
                Err(error) => return Err(error).doing("read", maps::PUBLISHED),
            }
            match trie.remove(&key) {
                Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
                result => result.doing("write", maps::PUBLISHED)?,
            }
        }
        self.remove_senders(cookie, ports)?;
        self.clear_bits(ports)?;
        self.set_publishing(self.publishes()?)?;
        // Who came in by them stays in no longer.
        let PublishedPorts { host, first, last, transport, inside: _, senders: _ } = *ports;
        let (family, addr) = match host.filter(|host| !host.is_unspecified()) {
            Some(IpAddr::V4(host)) => (4, host.octets()),
            Some(IpAddr::V6(host)) => (6, fingerprint(host.octets(), &self.config()?.secret)),
            None => (host.map_or(0, |host| if host.is_ipv4() { 4 } else { 6 }), [0; 4]),
        };
        let proto = transport.number();
        self.flush(endpoint, Withdrawn { addr: u32::from_ne_bytes(addr), first, last, proto, family, _pad: [0; 2] })
    }

    /// Takes the bits of ports that nobody publishes any more.
    fn clear_bits(&self, ports: &PublishedPorts) -> Result<()> {
        let mut left = vec![0_u64; PUBLISHED_WORDS];
        let others = self.publications()?.into_iter().filter(|other| other.ports.transport == ports.transport);
        for (word, mask) in others.flat_map(|other| words(&other.ports)) {
            left[word as usize] |= mask;
        }
        let mut bits = self.array(maps::PUBLISHED_PORTS)?;
        for (word, _) in words(ports) {
            bits.set(word, &left[word as usize], 0).doing("write", maps::PUBLISHED_PORTS)?;
        }
        Ok(())
    }
}

/// Who may use what is published at a socket: a prefix of senders, and the cookie of the endpoint's namespace.
type Sender = (HostSocket, IpNet, u64);

/// Bits before an address of IPv4 in its mapped form.
const MAPPED_BITS: u32 = 96;

/// At which addresses of the host they are published, as the maps have them.
fn addresses(ports: &PublishedPorts) -> impl Iterator<Item = Addr> + Clone + use<> {
    let (one, other) = match ports.host {
        Some(host) => (address(host), None),
        None => (ALL_V4, Some(ALL_V6)),
    };
    [one].into_iter().chain(other)
}

/// The entries of these ports.
fn entries(
    endpoint: u32,
    cookie: u64,
    ports: &PublishedPorts,
) -> impl Iterator<Item = (Key<HostSocket>, abi::Publication)> + use<'_> {
    let proto = ports.transport.number();
    addresses(ports).flat_map(move |addr| {
        prefixes(ports.first, ports.last).into_iter().map(move |(port, bits)| {
            let socket = HostSocket { addr, proto: proto.into(), _pad: 0, port: port.to_be_bytes() };
            (Key::new(HOST_SOCKET_BITS - 16 + bits, socket), value(endpoint, cookie, ports, addr))
        })
    })
}

fn sender(socket: HostSocket, prefix: IpNet) -> Key<SocketSender> {
    let before = if prefix.addr().is_ipv4() { MAPPED_BITS } else { 0 };
    let length = HOST_SOCKET_BITS + before + u32::from(prefix.prefix_len());
    Key::new(length, SocketSender { socket, sender: address(prefix.network()) })
}

/// By what the senders of a publication are found, at each of its addresses.
fn first_sockets(ports: &PublishedPorts) -> impl Iterator<Item = HostSocket> + Clone + use<> {
    let (proto, port) = (ports.transport.number(), ports.first.to_be_bytes());
    addresses(ports).map(move |addr| HostSocket { addr, proto: proto.into(), _pad: 0, port })
}

/// That by which senders with `prefix` come.
fn socket_for(ports: &PublishedPorts, prefix: IpNet) -> HostSocket {
    let addr = match (ports.host, prefix) {
        (Some(host), _) => address(host),
        (None, IpNet::V4(_)) => ALL_V4,
        (None, IpNet::V6(_)) => ALL_V6,
    };
    HostSocket { addr, proto: ports.transport.number().into(), _pad: 0, port: ports.first.to_be_bytes() }
}

fn value(endpoint: u32, netns_cookie: u64, ports: &PublishedPorts, addr: Addr) -> abi::Publication {
    let PublishedPorts { host, first, last, inside, transport, senders } = *ports;
    abi::Publication {
        netns_cookie,
        addr,
        endpoint,
        first,
        last,
        inside,
        proto: transport.number(),
        senders: senders.prefixes().len() as u8,
        both_families: host.is_none().into(),
    }
}

/// What an entry says, of which there are as many as were `found`, with those of `senders` who may use it; none if it is not one of ours.
fn publication(value: &abi::Publication, found: usize, senders: &[Sender]) -> Option<Publication> {
    let abi::Publication {
        netns_cookie: cookie,
        addr,
        endpoint,
        first,
        last,
        inside,
        proto,
        senders: count,
        both_families,
    } = *value;
    let transport = Transport::ALL.into_iter().find(|transport| transport.number() == proto)?;
    let host = (both_families == 0).then(|| Ipv6Addr::from(addr).to_canonical());
    let ports = PublishedPorts { host, first, last, inside, transport, senders: Senders::default() };
    let is_its =
        |(of, _, found): &&Sender| count != 0 && *found == cookie && first_sockets(&ports).any(|socket| socket == *of);
    let its = senders.iter().filter(is_its).map(|(_, prefix, _)| *prefix).collect::<Vec<_>>();
    let entries = addresses(&ports).count() * prefixes(first, last).len();
    let whole = found == entries && its.len() == usize::from(count);
    let ports = PublishedPorts { senders: Senders::of(its)?, ..ports };
    Some(Publication { endpoint, cookie, ports, whole })
}

/// The elements of `PUBLISHED_PORTS` that have bits of these ports, and the bits.
fn words(ports: &PublishedPorts) -> Vec<(u32, u64)> {
    let mut words: Vec<(u32, u64)> = Vec::new();
    for (word, bit) in (ports.first..=ports.last).filter_map(|port| place(ports.transport.number(), port)) {
        match words.last_mut() {
            Some((last, mask)) if *last == word => *mask |= bit,
            _ => words.push((word, bit)),
        }
    }
    words
}
