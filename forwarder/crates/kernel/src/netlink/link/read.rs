//! What the kernel tells of an interface.

use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    link::{InfoBridge, InfoData, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkXdp, Prop, XdpAttached},
};

use super::{Link, LinkLayer, XdpMode, XdpProgram};

impl From<LinkLayerType> for LinkLayer {
    fn from(layer: LinkLayerType) -> Self {
        match layer {
            LinkLayerType::Ether => Self::Ethernet,
            LinkLayerType::None | LinkLayerType::Rawip | LinkLayerType::Ppp => Self::None,
            other => Self::Other(other.into()),
        }
    }
}

/// The interface of a message about one.
pub(super) fn link(object: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = object else { return None };
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Running),
        allmulti: flags.contains(LinkFlags::Allmulti),
        loopback: flags.contains(LinkFlags::Loopback),
        layer: message.header.link_layer_type.into(),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::PropList(properties) => {
                let altname = |property| if let Prop::AltIfName(name) = property { Some(name) } else { None };
                link.altnames.extend(properties.into_iter().filter_map(altname));
            }
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(address) => link.mac = address.try_into().ok(),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Group(group) => link.group = group,
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::Link(index) => link.peer = Some(index),
            LinkAttribute::LinkNetNsId(id) => link.peer_netnsid = Some(id),
            LinkAttribute::Xdp(attributes) => link.xdp = xdp(&attributes),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
                        LinkInfo::Data(InfoData::Bridge(data)) => {
                            let calls = [InfoBridge::NfCallIpTables(true), InfoBridge::NfCallIp6Tables(true)];
                            link.filtered = calls.iter().all(|call| data.contains(call));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(link)
}

fn xdp(attributes: &[LinkXdp]) -> Option<XdpProgram> {
    let id = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) => Some(*id),
        _ => None,
    })?;
    let generic = attributes.contains(&LinkXdp::Attached(XdpAttached::SocketBuffer));
    Some(XdpProgram { mode: if generic { XdpMode::Generic } else { XdpMode::Native }, id })
}
