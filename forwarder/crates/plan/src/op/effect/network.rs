//! What changes about networks.

use crate::{Actual, Object, object};

impl Actual {
    pub(super) fn make_network(&mut self, object: &Object) {
        let records = &mut self.records;
        match object {
            Object::Network(spec) => {
                let index = self.host.net.link(&spec.bridge).map_or(0, |link| link.index);
                records.devices.insert(index);
                records.networks.push(spec.record(index));
            }
            Object::NetworkBridge(it) => {
                it.apply(records, self.host.net.link(&it.bridge).map_or(0, |link| link.index));
            }
            Object::NetworkUplink(object::NetworkUplink { bridge, to, .. }) => {
                let networks = records.networks.iter_mut().filter(|network| network.index == *bridge);
                networks.for_each(|network| network.uplink = *to);
                let endpoints = records.endpoints.iter_mut().filter(|endpoint| endpoint.network_index == *bridge);
                endpoints.for_each(|endpoint| endpoint.uplink = *to);
            }
            Object::NetworkKept(object::NetworkKept { network, .. }) => {
                records.networks.iter_mut().filter(|it| it.name == *network).for_each(|it| it.kept = true);
            }
            Object::NetworkAllows(object::NetworkAllows { network, to, .. }) => {
                records.networks.iter_mut().filter(|it| it.name == *network).for_each(|it| it.allows.clone_from(to));
            }
            Object::NetworkSource(object::NetworkSource { network, to, .. }) => {
                records.networks.iter_mut().filter(|it| it.name == *network).for_each(|it| it.source = *to);
            }
            Object::NetworkHook(object::NetworkHook { bridge, index }) => {
                let index = index.or_else(|| self.host.net.link(bridge).map(|link| link.index));
                records.network_hooks.extend(index);
            }
            other => unreachable!("{other} is no part of a network"),
        }
    }
}
