//! Bridges.

use std::fmt;

use rtnetlink::{
    LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{BridgeStpState, InfoBridge, InfoBridgePort, InfoData, InfoKind, LinkAttribute, LinkInfo},
    },
};

use super::group_of;
use crate::netlink::{Mac, Netlink};
use fwd_base::Result;

/// A bridge to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSpec {
    /// Name, at most 15 bytes.
    pub name: String,
    /// Hardware address. Set explicitly, it does not change as ports join.
    pub mac: Mac,
    /// Largest IP packet, bytes.
    pub mtu: u32,
    /// Who owns it; see [`Link::group`](super::Link::group).
    pub alias: String,
}

impl fmt::Display for BridgeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bridge {}", self.name)
    }
}

impl Netlink {
    /// Creates a bridge that forwards at once and sends nothing by itself: no spanning tree, no multicast queries, no VLANs,
    /// no IPv6 addresses. It is up when this returns, and gone again when this fails. Returns its index.
    ///
    /// # Errors
    /// [`Conflict`](fwd_base::Kind::Conflict) if an interface has that name.
    pub fn create_bridge(&self, spec: &BridgeSpec) -> Result<u32> {
        let message = LinkMessageBuilder::<LinkBridge>::new(&spec.name)
            .stp_state(BridgeStpState::Disabled)
            .mcast_snooping(false)
            .vlan_default_pvid(0)
            .address(spec.mac.to_vec())
            .append_extra_attribute(LinkAttribute::Group(group_of(&spec.alias)))
            .build();
        self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|failure| failure.doing("create", format!("bridge {}", spec.name)))?;
        let index = self.created(&spec.name)?;
        self.or_delete(index, || {
            self.name_owner(index, &spec.alias)?;
            // Set after creation, so that the bridge keeps it instead of following its ports.
            self.set_mtu(index, spec.mtu)?;
            self.disable_addrgen(index)?;
            self.set_up(index)
        })
    }

    /// Lets a bridge learn nothing at a port, and send nothing there that is for nobody it knows.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if the port is absent; the kernel refuses what is no port of a bridge.
    pub fn fix_port(&self, port: u32) -> Result<()> {
        let message = LinkBridgePort::new(port)
            .append_info_data(InfoBridgePort::Learning(false))
            .append_info_data(InfoBridgePort::UnicastFlood(false));
        // Properties of a port are taken from this message only, which makes nothing without `NLM_F_CREATE`.
        self.change(RouteNetlinkMessage::NewLink(message.build()), 0)
            .map_err(|failure| failure.doing("turn off learning and flooding of", self.label(port)))
    }

    /// Lets a bridge pass nothing on from this port to others of which that is said too (Linux 4.18).
    ///
    /// # Errors
    /// As [`fix_port`](Self::fix_port).
    pub fn isolate_port(&self, port: u32) -> Result<()> {
        let message = LinkBridgePort::new(port).append_info_data(InfoBridgePort::Isolated(true));
        self.change(RouteNetlinkMessage::NewLink(message.build()), 0)
            .map_err(|failure| failure.doing("isolate", self.label(port)))
    }

    /// Lets a bridge send back by this port what came in by it, or not: where the bridge calls netfilter, destination NAT may lead a packet to
    /// whom has sent it.
    ///
    /// # Errors
    /// As [`fix_port`](Self::fix_port).
    pub fn hairpin_port(&self, port: u32, on: bool) -> Result<()> {
        let message = LinkBridgePort::new(port).append_info_data(InfoBridgePort::HairpinMode(on));
        self.change(RouteNetlinkMessage::NewLink(message.build()), 0)
            .map_err(|failure| failure.doing("set hairpin mode of", self.label(port)))
    }

    /// Has frames that a bridge passes on from port to port be looked at by netfilter as packets of IPv4 and IPv6 are that are forwarded, or no more.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if the bridge is absent; the kernel refuses what is none, or has no bridge netfilter.
    pub fn filter_bridge(&self, bridge: u32, on: bool) -> Result<()> {
        let message = LinkUnspec::new_with_index(bridge);
        let info = vec![InfoBridge::NfCallIpTables(on), InfoBridge::NfCallIp6Tables(on)];
        let info =
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(InfoData::Bridge(info))]);
        self.change(RouteNetlinkMessage::NewLink(message.append_extra_attribute(info).build()), 0)
            .map_err(|failure| failure.doing("have netfilter look at frames of", self.label(bridge)))
    }

    /// Runs the rest of a creation; deletes what was begun if it fails.
    pub(in crate::netlink) fn or_delete(&self, index: u32, rest: impl FnOnce() -> Result<()>) -> Result<u32> {
        match rest() {
            Ok(()) => Ok(index),
            Err(error) => {
                if let Err(second) = self.delete_link(index) {
                    tracing::warn!("{second}");
                }
                Err(error)
            }
        }
    }
}
