//! The kernel's network configuration over netlink: links, addresses, routes, neighbours, forwarding entries, nftables.
//!
//! A synchronous facade: each call sends its request and returns when the kernel has answered. A netlink socket belongs to
//! the network namespace of the thread that created it, so [`Netlink::open`] creates it inside and everything else runs on the
//! caller's thread. One file per kind of object, in a folder of its kind; [`records`](Netlink::records) shows all of them as comparable text.

mod forward;
mod ip;
mod link;
mod modules;
mod records;
mod tc;
mod transport;
mod xfrm;

pub mod nft;

use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_REQUEST},
    packet_route::RouteNetlinkMessage,
};

use self::transport::{Failure, Transport};
pub use self::{
    forward::{ForwardChain, Interface, Maker, Packets, forward_chains, input_chains, redirecting_tables},
    ip::{Address, MarkRule, Neighbour, Route, RouteKind, TABLE_MAIN, mark_rules},
    link::{
        ALIAS_MAX, BridgeSpec, FdbEntry, Link, LinkLayer, PairKind, PairSpec, XdpMode, XdpProgram, is_prepared_for_xdp,
        offloads, prepare_for_xdp,
    },
    modules::may_be_used,
    tc::{Filter, Shaper, TcDirection},
    xfrm::{Direction, XfrmPolicy, xfrm_policies},
};
use crate::netns::Netns;
use fwd_base::{Context, Result};

/// A hardware address.
pub type Mac = [u8; 6];

/// A connection to the routing netlink of one network namespace.
pub struct Netlink {
    transport: Transport,
}

impl Netlink {
    /// A connection to the namespace given.
    ///
    /// # Errors
    /// The namespace cannot be entered, or the kernel gives no netlink socket.
    pub fn open(ns: &Netns) -> Result<Self> {
        ns.visit(Self::here)
    }

    /// A connection to the namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel gives no netlink socket.
    pub fn here() -> Result<Self> {
        Ok(Self { transport: Transport::here().doing("open", "a netlink socket")? })
    }

    /// Sends a request that changes something; `flags` beyond request and acknowledgement.
    fn change(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Failure> {
        self.transport.request(message, NLM_F_REQUEST | NLM_F_ACK | flags).map(drop)
    }

    /// Sends a request for one object.
    fn get(&self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Failure> {
        self.transport.request(message, NLM_F_REQUEST)
    }

    /// Sends a request for all objects, until one answer was not disturbed by a change.
    fn dump(&self, message: &RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Failure> {
        self.transport.dump(message)
    }

    /// `interface eth0`, or by its number when it has gone: for error messages.
    fn label(&self, index: u32) -> String {
        match self.link_by_index(index) {
            Ok(Some(link)) => format!("interface {}", link.name),
            _ => format!("interface with index {index}"),
        }
    }
}
