//! Forwarding entries of bridges: behind which port a hardware address is.

use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    },
};

use crate::netlink::{Mac, Netlink};
use fwd_base::Result;

/// A forwarding entry of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FdbEntry {
    /// Index of the port.
    pub port: u32,
    /// The hardware address behind it.
    pub mac: Mac,
    /// Set by the administrator; false: learnt, or the bridge's own.
    pub fixed: bool,
}

impl Netlink {
    /// The forwarding entries of a bridge.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn fdb(&self, bridge: u32) -> Result<Vec<FdbEntry>> {
        self.dump_fdb(bridge, 0)
    }

    /// The forwarding entries of one port of a bridge.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn fdb_of_port(&self, bridge: u32, port: u32) -> Result<Vec<FdbEntry>> {
        self.dump_fdb(bridge, port).map(|entries| entries.into_iter().filter(|entry| entry.port == port).collect())
    }

    /// Of one port, or, with port 0, of all.
    fn dump_fdb(&self, bridge: u32, port: u32) -> Result<Vec<FdbEntry>> {
        let mut query = NeighbourMessage::default();
        query.header.family = AddressFamily::Bridge;
        query.header.ifindex = port;
        query.attributes.push(NeighbourAttribute::Controller(bridge));
        let objects = match self.dump(&RouteNetlinkMessage::GetNeighbour(query)) {
            Err(failure) if failure.is_absence() => Vec::new(),
            result => result.map_err(|failure| failure.doing("list", "the forwarding entries"))?,
        };
        Ok(objects.into_iter().filter_map(|object| read(object, bridge)).collect())
    }

    /// Sets a static entry: frames to `mac` leave by this port, whatever the bridge learns.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if the port is absent; the kernel refuses what is no port of a bridge.
    pub fn add_fdb(&self, port: u32, mac: Mac) -> Result<()> {
        // NUD_NOARP is `static` to `bridge fdb`; NUD_PERMANENT would make the address one of the host's own.
        let message = message(port, mac, NeighbourState::Noarp);
        self.change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|failure| failure.doing("set", format!("forwarding entry {} of {}", text(mac), self.label(port))))
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if the port or the entry is absent.
    pub fn del_fdb(&self, port: u32, mac: Mac) -> Result<()> {
        let message = message(port, mac, NeighbourState::None);
        self.change(RouteNetlinkMessage::DelNeighbour(message), 0).map_err(|failure| {
            failure.doing("remove", format!("forwarding entry {} of {}", text(mac), self.label(port)))
        })
    }
}

/// `NTF_MASTER`: the entry is the bridge's, not the device's own.
fn message(port: u32, mac: Mac, state: NeighbourState) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port;
    message.header.state = state;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    message
}

fn read(object: RouteNetlinkMessage, bridge: u32) -> Option<FdbEntry> {
    let RouteNetlinkMessage::NewNeighbour(message) = object else { return None };
    let mut mac = None;
    let mut controller = None;
    for attribute in message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok(),
            NeighbourAttribute::Controller(index) => controller = Some(index),
            _ => {}
        }
    }
    let fixed = message.header.state == NeighbourState::Noarp;
    (controller == Some(bridge)).then_some(FdbEntry { port: message.header.ifindex, mac: mac?, fixed })
}

/// `02:00:00:00:00:01`.
fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
