//! What there is inside of a namespace once an operation has run.

use super::{neighbour, route};
use crate::{Actual, Object, Undo, object};
use fwd_kernel::netlink::Route;

impl Actual {
    /// The interface that waited is in its namespace.
    pub(super) fn arrive(&mut self, arrival: &object::EndpointNetns) {
        let Some(index) = self.host.net.link(&arrival.host_if).map(|link| link.index) else { return };
        let known = self.namespaces.iter().find(|known| known.reference == arrival.ns);
        let Some(cookie) = known.map(|known| known.cookie) else { return };
        for endpoint in self.records.endpoints.iter_mut().filter(|endpoint| endpoint.index == index) {
            endpoint.id.ifname.clone_from(&arrival.ns_if);
            endpoint.cookie = cookie;
            endpoint.marks.awaited = false;
        }
        self.records.publications.iter_mut().filter(|it| it.endpoint == index).for_each(|it| it.cookie = cookie);
    }

    /// An endpoint of the pool is the target's.
    pub(super) fn take(&mut self, taken: &object::EndpointTaken) {
        let Some(index) = self.host.net.link(&taken.host_if).map(|link| link.index) else { return };
        for endpoint in self.records.endpoints.iter_mut().filter(|endpoint| endpoint.index == index) {
            taken.give(endpoint);
        }
        let is_former = |entry: &Undo| matches!(entry, Undo::Netns { name, cookie } if *cookie == Some(taken.cookie) && *name != taken.to);
        self.undo.retain(|entry| !is_former(entry));
        let noted = Undo::Netns { name: taken.to.clone(), cookie: Some(taken.cookie) };
        if !self.undo.contains(&noted) {
            self.undo.push(noted);
        }
        taken.former().for_each(|name| _ = self.named.remove(name));
        self.named.insert(taken.to.clone());
    }

    /// Inside the target.
    pub(super) fn make_inside(&mut self, object: &Object) {
        let Some(inside) = self.target.as_mut().and_then(|target| target.ns.as_mut()) else { return };
        let net = &mut inside.net;
        let index = |name: &str| net.link(name).map_or(0, |link| link.index);
        match object {
            Object::Loopback(_) => net.links.iter_mut().filter(|link| link.loopback).for_each(|link| link.up = true),
            Object::NsAddress(object::NsAddress { ns_if, address, .. }) => {
                let index = index(ns_if);
                net.addresses.push((index, *address));
            }
            Object::NsLinkUp(object::NsLinkUp { ns_if, .. }) => {
                net.links.iter_mut().filter(|link| link.name == *ns_if).for_each(|link| link.up = true);
            }
            Object::NsOffloads(it) => _ = inside.xdp_ready.insert(it.ns_if.clone()),
            Object::NsIpv6(it) => _ = inside.ipv6_ready.insert(it.ns_if.clone()),
            Object::NsDefaultRoute(it) => {
                let route = route(index(&it.ns_if), it.destination(), Some(it.gateway));
                net.routes.push(Route { metric: it.metric.unwrap_or(route.metric), ..route });
            }
            Object::NsRoute(it) => {
                let route = route(index(&it.ns_if), it.to, Some(it.via));
                net.routes.push(route);
            }
            Object::NsNeighbour(object::NsNeighbour { ns_if, gateway, mac, .. }) => {
                let entry = neighbour(index(ns_if), *gateway, *mac);
                net.neighbours.push(entry);
            }
            other => unreachable!("{other} is not inside a namespace"),
        }
    }
}
