//! Neighbours: which hardware address an IP address has.

use std::net::{IpAddr, Ipv6Addr};

use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    },
};

use crate::netlink::{Mac, Netlink};
use fwd_base::Result;

/// An entry of the neighbour tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Index of the interface.
    pub ifindex: u32,
    /// Its IP address.
    pub address: IpAddr,
    /// Its hardware address, once known.
    pub mac: Option<Mac>,
    /// Set by the administrator, never verified nor dropped.
    pub permanent: bool,
}

impl Netlink {
    /// The neighbours of both families.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn neighbours(&self) -> Result<Vec<Neighbour>> {
        let objects = self.dump(&RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()));
        let objects = objects.map_err(|failure| failure.doing("list", "the neighbours"))?;
        Ok(objects.into_iter().filter_map(read).collect())
    }

    /// The neighbour of this address at an interface, if there is one.
    ///
    /// # Errors
    /// The kernel refuses for another reason than its absence.
    pub fn neighbour(&self, index: u32, address: IpAddr) -> Result<Option<Neighbour>> {
        match self.get(RouteNetlinkMessage::GetNeighbour(message(index, address))) {
            Ok(objects) => Ok(objects.into_iter().find_map(read)),
            Err(failure) if failure.is_absence() => Ok(None),
            Err(failure) => Err(failure.doing("look up", format!("neighbour {address} of {}", self.label(index)))),
        }
    }

    /// Sets a permanent neighbour, in place of what was known.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if the interface is absent.
    pub fn replace_neighbour(&self, index: u32, address: IpAddr, mac: Mac) -> Result<()> {
        let mut message = message(index, address);
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        self.change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|failure| failure.doing("set", format!("neighbour {address} of {}", self.label(index))))
    }

    /// Removes a neighbour.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if it or the interface is absent.
    pub fn del_neighbour(&self, index: u32, address: IpAddr) -> Result<()> {
        self.change(RouteNetlinkMessage::DelNeighbour(message(index, address)), 0)
            .map_err(|failure| failure.doing("remove", format!("neighbour {address} of {}", self.label(index))))
    }

    /// Has the kernel ask who has this address at an interface, unless it knows.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if the interface is absent.
    pub fn ask_for_neighbour(&self, index: u32, address: IpAddr) -> Result<()> {
        let mut message = message(index, address);
        message.header.flags = NeighbourFlags::Use;
        self.change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE)
            .map_err(|failure| failure.doing("ask for", format!("neighbour {address} of {}", self.label(index))))
    }

    /// The addresses of IPv6 for which the host answers in place of those that have them, and at which interface.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn proxies(&self) -> Result<Vec<(u32, Ipv6Addr)>> {
        let mut asked = NeighbourMessage::default();
        asked.header.family = AddressFamily::Inet6;
        asked.header.flags = NeighbourFlags::Proxy;
        let objects = self.dump(&RouteNetlinkMessage::GetNeighbour(asked));
        let objects = objects.map_err(|failure| failure.doing("list", "the neighbours that the host speaks for"))?;
        Ok(objects.into_iter().filter_map(read_proxy).collect())
    }

    /// Lets the host answer for an address at an interface.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if the interface is absent.
    pub fn add_proxy(&self, index: u32, address: Ipv6Addr) -> Result<()> {
        self.change(RouteNetlinkMessage::NewNeighbour(proxy(index, address)), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|failure| failure.doing("set", format!("proxy neighbour {address} of {}", self.label(index))))
    }

    /// Takes that back.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if it or the interface is absent.
    pub fn del_proxy(&self, index: u32, address: Ipv6Addr) -> Result<()> {
        self.change(RouteNetlinkMessage::DelNeighbour(proxy(index, address)), 0)
            .map_err(|failure| failure.doing("remove", format!("proxy neighbour {address} of {}", self.label(index))))
    }
}

fn proxy(index: u32, address: Ipv6Addr) -> NeighbourMessage {
    let mut message = message(index, address.into());
    message.header.flags = NeighbourFlags::Proxy;
    message
}

fn read_proxy(object: RouteNetlinkMessage) -> Option<(u32, Ipv6Addr)> {
    let RouteNetlinkMessage::NewNeighbour(message) = object else { return None };
    // Older kernels list everything.
    if !message.header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some((message.header.ifindex, *address)),
        _ => None,
    })
}

fn message(index: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.ifindex = index;
    message.attributes.push(NeighbourAttribute::Destination(address.into()));
    message
}

fn read(object: RouteNetlinkMessage) -> Option<Neighbour> {
    let RouteNetlinkMessage::NewNeighbour(message) = object else { return None };
    let mut address = None;
    let mut mac = None;
    for attribute in message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => address = Some(ip.into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => address = Some(ip.into()),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok(),
            _ => {}
        }
    }
    let permanent = message.header.state == NeighbourState::Permanent;
    Some(Neighbour { ifindex: message.header.ifindex, address: address?, mac, permanent })
}
