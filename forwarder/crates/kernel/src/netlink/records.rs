//! The whole configuration of a namespace as comparable text.

use std::fmt::Debug;

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{AfSpecInet6, AfSpecUnspec, InfoBridge, InfoBridgePort, InfoData, InfoPortData, LinkAttribute, LinkInfo},
    neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::{RouteAttribute, RouteFlags, RouteMessage},
    rule::RuleMessage,
    tc::{TcAttribute, TcMessage},
};

use super::{Netlink, link};
use fwd_base::Result;

impl Netlink {
    /// One line per property of every link, address, route (all tables), rule, fixed neighbour, fixed forwarding entry and
    /// queueing discipline, sorted. Without what changes by itself: counters, ages, learnt entries.
    ///
    /// Sysctls are left out too. The lines are for comparison within one build, no format to parse.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn records(&self) -> Result<Vec<String>> {
        let mut bridge = NeighbourMessage::default();
        bridge.header.family = AddressFamily::Bridge;
        let queries = [
            RouteNetlinkMessage::GetLink(link::query()),
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            RouteNetlinkMessage::GetRoute(RouteMessage::default()),
            RouteNetlinkMessage::GetRule(RuleMessage::default()),
            RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
            RouteNetlinkMessage::GetNeighbour(bridge),
            RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()),
        ];
        let mut lines = Vec::new();
        for query in queries {
            let objects = self.dump(&query).map_err(|failure| failure.doing("list", "the network configuration"))?;
            objects.into_iter().for_each(|object| describe(object, &mut lines));
        }
        lines.sort();
        Ok(lines)
    }
}

fn describe(object: RouteNetlinkMessage, lines: &mut Vec<String>) {
    match object {
        RouteNetlinkMessage::NewLink(message) => {
            let name = message.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
            let subject = format!("link {}", name.unwrap_or_default());
            lines.push(format!("{subject}: {:?}", message.header));
            message.attributes.into_iter().filter_map(lasting).for_each(|a| lines.push(format!("{subject}: {a:?}")));
        }
        RouteNetlinkMessage::NewAddress(message) => {
            let lasting = message.attributes.iter().filter(|a| !matches!(a, AddressAttribute::CacheInfo(_)));
            lines.push(line("address", &message.header, lasting));
        }
        RouteNetlinkMessage::NewRoute(message) if !message.header.flags.contains(RouteFlags::Cloned) => {
            let lasting = message.attributes.iter();
            let lasting = lasting.filter(|a| !matches!(a, RouteAttribute::CacheInfo(_) | RouteAttribute::Expires(_)));
            lines.push(line("route", &message.header, lasting));
        }
        RouteNetlinkMessage::NewRule(message) => {
            lines.push(line("rule", &message.header, message.attributes.iter()));
        }
        RouteNetlinkMessage::NewNeighbour(message) if is_fixed(&message) => {
            let lasting = message.attributes.iter();
            let lasting =
                lasting.filter(|a| !matches!(a, NeighbourAttribute::CacheInfo(_) | NeighbourAttribute::Probes(_)));
            lines.push(line("neighbour", &message.header, lasting));
        }
        RouteNetlinkMessage::NewQueueDiscipline(message) => {
            let lasting = message.attributes.iter();
            let lasting = lasting.filter(|a| matches!(a, TcAttribute::Kind(_) | TcAttribute::Options(_)));
            lines.push(line("qdisc", &message.header, lasting));
        }
        _ => {}
    }
}

/// Entries that somebody set: permanent neighbours, and the static and own entries of bridges.
fn is_fixed(message: &NeighbourMessage) -> bool {
    match message.header.state {
        // Groups that an interface listens to come and go with IPv6 addresses.
        _ if message.header.flags.contains(NeighbourFlags::Own) => false,
        NeighbourState::Permanent => true,
        // For IP neighbours the kernel makes NOARP entries by itself, for multicast and loopback destinations.
        NeighbourState::Noarp => message.header.family == AddressFamily::Bridge,
        _ => false,
    }
}

/// An attribute of a link without what counts or ages.
fn lasting(attribute: LinkAttribute) -> Option<LinkAttribute> {
    match attribute {
        LinkAttribute::Stats(_)
        | LinkAttribute::Stats64(_)
        | LinkAttribute::CarrierChanges(_)
        | LinkAttribute::CarrierUpCount(_)
        | LinkAttribute::CarrierDownCount(_) => None,
        LinkAttribute::AfSpecUnspec(families) => {
            let families = families.into_iter().filter_map(|family| match family {
                AfSpecUnspec::Inet6(mut attributes) => {
                    attributes
                        .retain(|attribute| matches!(attribute, AfSpecInet6::AddrGenMode(_) | AfSpecInet6::Token(_)));
                    Some(AfSpecUnspec::Inet6(attributes))
                }
                // What is left of either family are sysctls, which a snapshot reads as files.
                _ => None,
            });
            Some(LinkAttribute::AfSpecUnspec(families.collect()))
        }
        LinkAttribute::LinkInfo(mut properties) => {
            properties.iter_mut().for_each(without_timers);
            Some(LinkAttribute::LinkInfo(properties))
        }
        other => Some(other),
    }
}

/// Takes away the timers of a bridge and of its ports, and what it has learnt.
fn without_timers(property: &mut LinkInfo) {
    match property {
        LinkInfo::Data(InfoData::Bridge(attributes)) => attributes.retain(|attribute| {
            !matches!(
                attribute,
                InfoBridge::HelloTimer(_)
                    | InfoBridge::TcnTimer(_)
                    | InfoBridge::TopologyChangeTimer(_)
                    | InfoBridge::GcTimer(_)
                    | InfoBridge::FdbNLearned(_)
            )
        }),
        LinkInfo::PortData(InfoPortData::BridgePort(attributes)) => attributes.retain(|attribute| {
            !matches!(
                attribute,
                InfoBridgePort::MessageAgeTimer(_)
                    | InfoBridgePort::ForwardDelayTimer(_)
                    | InfoBridgePort::HoldTimer(_)
            )
        }),
        _ => {}
    }
}

fn line<'a, A: Debug + 'a>(what: &str, header: &impl Debug, attributes: impl Iterator<Item = &'a A>) -> String {
    let mut attributes: Vec<_> = attributes.map(|attribute| format!("{attribute:?}")).collect();
    attributes.sort();
    format!("{what} {header:?} {}", attributes.join(" "))
}
