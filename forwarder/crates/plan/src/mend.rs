//! Uplinks that were renamed, or deleted and made anew, as PPP, WireGuard and bonds are: networks follow the name.
//!
//! A renamed one is still the same interface, and only what names it is corrected. One that was made anew is another interface: it is
//! guarded before any network leads through it, and what belonged to the former is removed at the end. What was begun is not undone:
//! the next command goes on with it.

use std::borrow::Cow;

use super::{
    Actual, Datapath, NetworkRecord, Object, Op, Undo, UplinkRecord, object,
    uplink::{self, Uplink},
};
use fwd_kernel::netlink::Link;

/// What has to be done, what there is afterwards, and what the user ought to know.
pub(super) struct Mended<'a> {
    pub(super) ops: Vec<Op>,
    pub(super) actual: Cow<'a, Actual>,
    pub(super) notes: Vec<String>,
}

/// A network and the uplink that it is to have in place of one that has gone.
pub(super) type Choice<'a> = Option<(&'a str, &'a str)>;

/// Mends the uplinks of all networks, as far as interfaces are there that can take their places.
pub(super) fn uplinks<'a>(actual: &'a Actual, choice: Choice<'_>) -> Mended<'a> {
    let mut mended = Mended { ops: Vec::new(), actual: Cow::Borrowed(actual), notes: Vec::new() };
    for record in &actual.records.uplinks {
        match actual.recorded(record.index) {
            Some(link) if link.name == record.name => {}
            Some(link) => mended.rename(record, link),
            None => {
                let networks = networks_of(actual, record);
                let chosen = choice.filter(|(name, _)| networks.iter().any(|network| network.name == *name));
                let name = chosen.map_or(record.name.as_str(), |(_, uplink)| uplink);
                if let Some(uplink) = successor(actual, &networks, name) {
                    mended.replace(record, &networks, &uplink);
                }
            }
        }
    }
    mended
}

fn networks_of(actual: &Actual, record: &UplinkRecord) -> Vec<NetworkRecord> {
    actual.records.networks.iter().filter(|network| network.uplink == record.index).cloned().collect()
}

/// The interface of this name, if the networks can lead through it.
fn successor(actual: &Actual, networks: &[NetworkRecord], name: &str) -> Option<Uplink> {
    let uplink = uplink::choose(actual, Some(name)).ok()?;
    networks.iter().all(|network| uplink.check(network.datapath, actual).is_ok()).then_some(uplink)
}

impl Mended<'_> {
    fn rename(&mut self, record: &UplinkRecord, link: &Link) {
        let (index, from, to) = (record.index, record.name.clone(), link.name.clone());
        self.notes.push(format!("uplink {from} is called {to} now"));
        for network in networks_of(&self.actual, record) {
            self.masquerade(&network, &link.name);
        }
        // Last: by its name the next command sees that there is something to do.
        self.make(Object::UplinkName(object::UplinkName { index, from, to }));
    }

    fn replace(&mut self, record: &UplinkRecord, networks: &[NetworkRecord], uplink: &Uplink) {
        let by = if uplink.name == record.name { "made anew" } else { "replaced" };
        self.notes.push(format!("uplink {} was {by}: its networks lead through {} now", record.name, uplink.name));
        let uses = |wanted: fn(Datapath) -> bool| networks.iter().any(|network| wanted(network.datapath));
        let (ebpf, xdp) = (uses(Datapath::is_ebpf), uses(Datapath::has_xdp));
        for object in uplink.objects(&self.actual, ebpf, xdp) {
            if !self.actual.has(&object) {
                self.make(object);
            }
        }
        for network in networks {
            let (name, bridge) = (network.name.clone(), network.index);
            self.masquerade(network, &uplink.name);
            // After it, as above.
            self.make(Object::NetworkUplink(object::NetworkUplink {
                network: name,
                bridge,
                from: record.index,
                to: uplink.index,
            }));
        }
        self.forget(record);
    }

    /// The rule of a network names the interface.
    fn masquerade(&mut self, network: &NetworkRecord, uplink: &str) {
        if network.datapath == Datapath::Kernel {
            self.make(Object::Masquerade(object::Masquerade {
                network: network.name.clone(),
                bridge: network.bridge.clone(),
                subnet: network.subnet(),
                uplink: uplink.into(),
            }));
        }
    }

    /// Removes what belonged to an uplink that has gone.
    fn forget(&mut self, record: &UplinkRecord) {
        let (name, index) = (record.name.clone(), record.index);
        let layer = Default::default();
        let hooks = [
            Object::UplinkXdp(object::UplinkXdp { name: name.clone(), index }),
            Object::UplinkHooks(object::UplinkHooks { name: name.clone(), index, layer }),
            Object::Uplink(object::Uplink { name, index, address: record.address }),
        ];
        let of_it = |entry: &&Undo| match entry {
            Undo::Sysctl(sysctl) => sysctl.is_of(index),
            _ => false,
        };
        let entries: Vec<Object> = self.actual.undo.iter().filter(of_it).cloned().map(Object::Undo).collect();
        for object in hooks.into_iter().chain(entries) {
            if self.actual.has(&object) {
                self.actual.to_mut().unmake(&object);
                self.ops.push(Op::remove(object));
            }
        }
    }

    fn make(&mut self, object: Object) {
        self.actual.to_mut().make(&object);
        self.ops.push(Op::make(object));
    }
}

impl Actual {
    /// What these objects change.
    fn make(&mut self, object: &Object) {
        let records = &mut self.records;
        match object {
            Object::Undo(entry) => self.undo.push(entry.clone()),
            Object::Sysctl(record) => drop(self.host.sysctls.insert(record.path.clone(), record.ours.clone())),
            Object::Uplink(object::Uplink { name, index, address }) => {
                records.uplinks.push(UplinkRecord { index: *index, name: name.clone(), address: *address });
                records.devices.insert(*index);
            }
            Object::UplinkHooks(object::UplinkHooks { index, .. }) => drop(records.uplink_hooks.insert(*index)),
            Object::UplinkXdp(object::UplinkXdp { index, .. }) => drop(records.uplink_xdp.insert(*index)),
            Object::UplinkName(object::UplinkName { index, to, .. }) => {
                let renamed = records.uplinks.iter_mut().find(|uplink| uplink.index == *index);
                renamed.into_iter().for_each(|uplink| uplink.name.clone_from(to));
            }
            Object::NetworkUplink(object::NetworkUplink { bridge, to, .. }) => {
                let networks = records.networks.iter_mut().filter(|network| network.index == *bridge);
                networks.for_each(|network| network.uplink = *to);
                let endpoints = records.endpoints.iter_mut().filter(|endpoint| endpoint.network_index == *bridge);
                endpoints.for_each(|endpoint| endpoint.uplink = *to);
            }
            _ => {}
        }
    }

    fn unmake(&mut self, object: &Object) {
        let records = &mut self.records;
        match object {
            Object::Undo(entry) => self.undo.retain(|known| known.key() != entry.key()),
            Object::Uplink(object::Uplink { index, .. }) => {
                records.uplinks.retain(|uplink| uplink.index != *index);
                records.devices.remove(index);
            }
            Object::UplinkHooks(object::UplinkHooks { index, .. }) => drop(records.uplink_hooks.remove(index)),
            Object::UplinkXdp(object::UplinkXdp { index, .. }) => drop(records.uplink_xdp.remove(index)),
            _ => {}
        }
    }
}
