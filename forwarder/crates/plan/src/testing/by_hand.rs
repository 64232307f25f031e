//! What somebody does to the model by hand, and the kernel with it.

use super::World;
use crate::{NetConfig, sysctls::is_of};
use fwd_kernel::netns::Name;

impl World {
    /// `ip link del`.
    pub(in super::super) fn delete_link(&mut self, name: &str) {
        let gone = self.host.net.link(name).cloned().unwrap_or_else(|| panic!("{name} exists"));
        for net in std::iter::once(&mut self.host.net).chain(self.namespaces.values_mut().map(|inside| &mut inside.net))
        {
            let ends: Vec<u32> =
                net.links.iter().filter(|link| link.peer == Some(gone.index)).map(|link| link.index).collect();
            ends.into_iter().for_each(|end| forget(net, end));
        }
        for inside in self.namespaces.values_mut() {
            // The offloads were its.
            let links = &inside.net.links;
            inside.xdp_ready.retain(|name| links.iter().any(|link| link.name == *name));
            inside.ipv6_ready.retain(|name| links.iter().any(|link| link.name == *name));
        }
        forget(&mut self.host.net, gone.index);
        self.records.devices.remove(&gone.index);
        self.host.fdb.retain(|entry| entry.port != gone.index);
        for port in self.host.net.links.iter_mut().filter(|link| link.controller == Some(gone.index)) {
            port.controller = None;
            self.host.fdb.retain(|entry| entry.port != port.index);
        }
        self.host.sysctls.retain(|path, _| !is_of(path, name));
    }

    /// `ip link set FROM name TO`.
    pub(in super::super) fn rename_link(&mut self, from: &str, to: &str) {
        let link = self.host.net.links.iter_mut().find(|link| link.name == from).expect("it exists");
        link.name = to.into();
        let paths: Vec<String> = self.host.sysctls.keys().filter(|path| is_of(path, from)).cloned().collect();
        for path in paths {
            let value = self.host.sysctls.remove(&path).expect("it has one");
            self.host.sysctls.insert(path.replace(&format!("/{from}/"), &format!("/{to}/")), value);
        }
    }

    /// `ip netns del`, with nobody inside.
    pub(in super::super) fn delete_namespace(&mut self, name: &Name) {
        let inside = self.namespaces.remove(name).unwrap_or_else(|| panic!("{name} exists"));
        let peers: Vec<String> = inside
            .net
            .links
            .iter()
            .filter_map(|link| self.host.net.by_index(link.peer?).map(|host| host.name.clone()))
            .collect();
        peers.iter().for_each(|peer| self.delete_link(peer));
    }
}

fn forget(net: &mut NetConfig, index: u32) {
    net.links.retain(|link| link.index != index);
    net.addresses.retain(|(owner, _)| *owner != index);
    net.routes.retain(|route| route.ifindex != index);
    net.neighbours.retain(|neighbour| neighbour.ifindex != index);
}
