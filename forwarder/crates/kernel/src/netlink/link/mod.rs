//! Network interfaces, and what is known of those that are bridges, ports of bridges, and pairs.

mod bridge;
mod carrier;
mod fdb;
mod netnsid;
mod offload;
mod pair;
mod read;
mod xdp;

pub use self::{
    bridge::BridgeSpec,
    fdb::FdbEntry,
    offload::{is_prepared_for_xdp, offloads, prepare_for_xdp},
    pair::{PairKind, PairSpec},
};

use rtnetlink::{
    LinkMessageBuilder, LinkUnspec,
    packet_core::DefaultNla,
    packet_route::{
        RouteNetlinkMessage,
        link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage},
    },
};

use crate::netlink::{Mac, Netlink, transport::Failure};
use fwd_base::{Error, Kind, Result};

/// Longest alias the kernel keeps, in bytes (`IFALIASZ` − 1).
pub const ALIAS_MAX: usize = 255;
/// `IFLA_IFALIAS` (include/uapi/linux/if_link.h).
const IFLA_IFALIAS: u16 = 20;

/// What stands in front of the network header in an interface's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkLayer {
    /// An Ethernet header.
    #[default]
    Ethernet,
    /// Nothing: tun, WireGuard, PPP and others (`dev_is_mac_header_xmit`, include/linux/if_arp.h).
    None,
    /// Another header, by its number (`ARPHRD_*`, include/uapi/linux/if_arp.h).
    Other(u16),
}

/// How an XDP program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// The driver runs it, before it makes a packet of a frame.
    Native,
    /// The kernel runs it, on a packet that it has made already.
    Generic,
}

impl XdpMode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Native, Self::Generic];

    /// `native` or `generic`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// An XDP program at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// How it is attached.
    pub mode: XdpMode,
    /// Its number.
    pub id: u32,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Number within its namespace.
    pub index: u32,
    /// Name within its namespace.
    pub name: String,
    /// Other names that it answers to (`ip link property add altname`): nothing else can be called so.
    pub altnames: Vec<String>,
    /// `veth`, `bridge`, …; none for physical interfaces and `lo`.
    pub kind: Option<String>,
    /// Of a bridge: netfilter looks at what it passes on from port to port, also where the host's setting does not say so.
    pub filtered: bool,
    /// Hardware address, where it has six bytes.
    pub mac: Option<Mac>,
    /// Largest IP packet, bytes.
    pub mtu: u32,
    /// Free text attached to it.
    pub alias: Option<String>,
    /// Set up by the administrator.
    pub up: bool,
    /// Able to carry packets: up, with carrier.
    pub running: bool,
    /// Index of the bridge, bond or VRF it is a port of.
    pub controller: Option<u32>,
    /// Index of the other end of a pair or of the interface below, in the namespace `peer_netnsid` where that is set.
    pub peer: Option<u32>,
    /// The namespace of `peer` by the id it has in this one.
    pub peer_netnsid: Option<i32>,
    /// Takes what is for any group of multicast, because the administrator wants it to (`ip link set allmulticast on`).
    pub allmulti: bool,
    /// Is `lo`.
    pub loopback: bool,
    /// The header of its packets.
    pub layer: LinkLayer,
    /// The XDP program that is attached to it.
    pub xdp: Option<XdpProgram>,
    /// The group of interfaces that it belongs to; 0 unless somebody says otherwise.
    ///
    /// The kernel takes no alias when an interface is made, but a group. So one with an alias `fwd1:NUMBER:…` is in the group of that
    /// (hexadecimal) number until it has the alias, and whose it is can be told of one that an interrupted command has left.
    pub group: u32,
}

impl Netlink {
    /// All interfaces.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn links(&self) -> Result<Vec<Link>> {
        let objects = self.dump(&RouteNetlinkMessage::GetLink(query()));
        let objects = objects.map_err(|failure| failure.doing("list", "the interfaces"))?;
        Ok(objects.into_iter().filter_map(read::link).collect())
    }

    /// The interface of this name, which may be an alternative one.
    ///
    /// # Errors
    /// The kernel refuses for another reason than its absence.
    pub fn link(&self, name: &str) -> Result<Option<Link>> {
        // What is no interface name (empty, 16 bytes and more) names no interface.
        if name.is_empty() || name.len() >= libc::IFNAMSIZ {
            return Ok(None);
        }
        let mut message = query();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        self.one(message).map_err(|failure| failure.doing("look up", format!("interface {name}")))
    }

    /// The interface of this index.
    ///
    /// # Errors
    /// The kernel refuses for another reason than its absence.
    pub fn link_by_index(&self, index: u32) -> Result<Option<Link>> {
        let mut message = query();
        message.header.index = index;
        self.one(message).map_err(|failure| failure.doing("look up", format!("interface with index {index}")))
    }

    /// Deletes an interface; an end of a pair takes its other end with it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if it is absent.
    pub fn delete_link(&self, index: u32) -> Result<()> {
        let label = self.label(index);
        let message = LinkUnspec::new_with_index(index).build();
        self.change(RouteNetlinkMessage::DelLink(message), 0).map_err(|failure| failure.doing("delete", label))
    }

    /// Deletes several interfaces at once, which takes hardly longer than deleting one: the kernel waits for all CPUs and for
    /// their memory once instead of each time. Those that are absent are left out.
    ///
    /// # Errors
    /// One of them cannot be deleted: then none is.
    pub fn delete_links(&self, names: &[&str]) -> Result<()> {
        let group = group_of_nobody();
        for name in names {
            let message = LinkUnspec::new_with_name(name).append_extra_attribute(LinkAttribute::Group(group)).build();
            match self.change(RouteNetlinkMessage::SetLink(message), 0) {
                Err(failure) if failure.is_absence() => {}
                result => result.map_err(|failure| failure.doing("delete", format!("interface {name}")))?,
            }
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Group(group));
        match self.change(RouteNetlinkMessage::DelLink(message), 0) {
            Err(failure) if failure.is_absence() => Ok(()),
            result => result.map_err(|failure| failure.doing("delete", format!("{} interfaces", names.len()))),
        }
    }

    /// Sets an interface up.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if it is absent.
    pub fn set_up(&self, index: u32) -> Result<()> {
        self.set(index, "set up", LinkMessageBuilder::up)
    }

    /// Sets an interface down.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if it is absent.
    pub fn set_down(&self, index: u32) -> Result<()> {
        self.set(index, "set down", LinkMessageBuilder::down)
    }

    /// Has an interface take what is for any group of multicast, or for those alone that somebody has joined (`IFF_ALLMULTI`).
    ///
    /// # Errors
    /// [`Kind::NotFound`] if it is absent.
    pub fn set_allmulti(&self, index: u32, on: bool) -> Result<()> {
        let mut message = LinkUnspec::new_with_index(index).build();
        message.header.change_mask = LinkFlags::Allmulti;
        message.header.flags = if on { LinkFlags::Allmulti } else { LinkFlags::empty() };
        self.change(RouteNetlinkMessage::SetLink(message), 0)
            .map_err(|failure| failure.doing("change what is taken for groups by", self.label(index)))
    }

    /// Sets the largest IP packet, bytes.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the interface is absent; the driver may refuse the size.
    pub fn set_mtu(&self, index: u32, mtu: u32) -> Result<()> {
        self.set(index, &format!("set MTU {mtu} of"), |message| message.mtu(mtu))
    }

    /// Sets the alias, at most [`ALIAS_MAX`] bytes, of an interface that was made as one of a group, and takes it out of that.
    ///
    /// # Errors
    /// As [`set_alias`](Self::set_alias).
    pub(in crate::netlink) fn name_owner(&self, index: u32, alias: &str) -> Result<()> {
        let (alias, group) = (alias_attribute(alias)?, LinkAttribute::Group(0));
        self.set(index, "set the alias of", |message| {
            message.append_extra_attribute(alias).append_extra_attribute(group)
        })
    }

    /// Sets the alias, at most [`ALIAS_MAX`] bytes.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the interface is absent; [`Kind::Usage`] if the alias is too long.
    pub fn set_alias(&self, index: u32, alias: &str) -> Result<()> {
        let attribute = alias_attribute(alias)?;
        self.set(index, "set the alias of", |message| message.append_extra_attribute(attribute))
    }

    /// Makes an interface a port of a bridge, or of nothing.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if either is absent.
    pub fn set_controller(&self, index: u32, controller: Option<u32>) -> Result<()> {
        let doing = match controller {
            Some(controller) => format!("make a port of {}:", self.label(controller)),
            None => "detach from its bridge".into(),
        };
        self.set(index, &doing, |message| message.controller(controller.unwrap_or(0)))
    }

    /// Sets the hardware address.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the interface is absent; the driver may refuse.
    pub fn set_mac(&self, index: u32, mac: Mac) -> Result<()> {
        self.set(index, "set the hardware address of", |message| message.address(mac.to_vec()))
    }

    /// The ports of a bridge.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn bridge_ports(&self, bridge: u32) -> Result<Vec<Link>> {
        Ok(self.links()?.into_iter().filter(|link| link.controller == Some(bridge)).collect())
    }

    /// Index of an interface just created, found by its name.
    pub(in crate::netlink) fn created(&self, name: &str) -> Result<u32> {
        match self.link(name)? {
            Some(link) => Ok(link.index),
            None => {
                let why = "it was deleted by somebody else right after it was made";
                Err(Error::new(Kind::Failed, "create", format!("interface {name}"), why))
            }
        }
    }

    /// Keeps IPv6 from giving an interface a link-local address: it shall not be a way into the host.
    pub(crate) fn disable_addrgen(&self, index: u32) -> Result<()> {
        let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        let attribute = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]);
        let message = LinkUnspec::new_with_index(index).append_extra_attribute(attribute).build();
        match self.change(RouteNetlinkMessage::SetLink(message), 0) {
            // A kernel booted with ipv6.disable=1 has nothing to turn off.
            Err(failure) if failure.errno() == Some(libc::EAFNOSUPPORT) => Ok(()),
            result => result.map_err(|failure| failure.doing("turn off IPv6 addresses of", self.label(index))),
        }
    }

    fn set(
        &self,
        index: u32,
        doing: &str,
        change: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> Result<()> {
        let message = change(LinkUnspec::new_with_index(index)).build();
        self.change(RouteNetlinkMessage::SetLink(message), 0).map_err(|failure| failure.doing(doing, self.label(index)))
    }

    fn one(&self, message: LinkMessage) -> Result<Option<Link>, Failure> {
        match self.get(RouteNetlinkMessage::GetLink(message)) {
            Ok(objects) => Ok(objects.into_iter().find_map(read::link)),
            Err(failure) if failure.is_absence() => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// The group that says the same as an alias; 0 for aliases that name none.
pub(in crate::netlink) fn group_of(alias: &str) -> u32 {
    let number = alias.strip_prefix("fwd1:").and_then(|rest| rest.split(':').next());
    number.and_then(|number| u32::from_str_radix(number, 16).ok()).unwrap_or(0)
}

/// A group of interfaces that nobody uses: one of two thousand million, by chance.
fn group_of_nobody() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    // RandomState is seeded by the operating system's random numbers. Group 0 is everybody's.
    (RandomState::new().build_hasher().finish() as u32) >> 1 | 1
}

/// A request for interfaces without their statistics.
pub(in crate::netlink) fn query() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message
}

/// The alias as bytes: with the NUL that `LinkAttribute::IfAlias` appends, the kernel takes one byte less.
fn alias_attribute(alias: &str) -> Result<LinkAttribute> {
    if alias.len() > ALIAS_MAX {
        let why = format!("it has {} bytes and the kernel keeps {ALIAS_MAX}", alias.len());
        return Err(Error::new(Kind::Usage, "use", format!("alias {alias:?}"), why));
    }
    Ok(LinkAttribute::Other(DefaultNla::new(IFLA_IFALIAS, alias.as_bytes().to_vec())))
}
