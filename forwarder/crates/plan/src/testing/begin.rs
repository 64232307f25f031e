//! Commands that are killed within an operation of several system calls: the first of them have been made, the last has not.

use super::World;
use crate::{Action, NetworkRecord, Object, Op, Records, object};

impl World {
    /// Begins an operation. False if it is one system call, or what its first ones leave cannot be told from nothing.
    pub(super) fn begin(&mut self, op: &Op) -> bool {
        match op.action {
            Action::Make => self.begin_to_make(&op.object),
            Action::Remove => self.begin_to_remove(&op.object),
        }
    }

    fn begin_to_make(&mut self, object: &Object) -> bool {
        match object {
            Object::Records(_) => self.records.pinned = true,
            Object::Dataplane(_) => self.records.partly_loaded = true,
            Object::Uplink(object::Uplink { index, .. }) => self.note(*index),
            Object::UplinkHooks(object::UplinkHooks { index, .. }) => drop(self.half_hooked.insert(*index)),
            Object::Network(spec) => self.note(self.index(&spec.bridge)),
            // Its record is there twice, that of the bridge which is there first.
            Object::NetworkBridge(it) => {
                let to = self.index(&it.bridge);
                self.note(to);
                let networks = &mut self.records.networks;
                let former = networks.iter().find(|network| network.index == it.from).expect("it is recorded");
                let moved = NetworkRecord { index: to, ..former.clone() };
                if networks.iter().all(|network| network.index != to) {
                    networks.insert(0, moved);
                }
            }
            Object::Endpoint(spec) => {
                let (bridge, host_veth) = (self.index(&spec.bridge), self.index(&spec.host_if));
                let network = self.records.networks.iter_mut().find(|network| network.index == bridge);
                network.expect("the network exists").last = spec.number();
                self.note(host_veth);
            }
            Object::NetworkUplink(object::NetworkUplink { bridge, to, .. }) => {
                let mut endpoints = self.records.endpoints.iter_mut();
                let first = endpoints.find(|endpoint| endpoint.network_index == *bridge);
                first.into_iter().for_each(|endpoint| endpoint.uplink = *to);
            }
            Object::EndpointAttach(object::EndpointAttach { host_if, to, .. }) => {
                let index = self.index(host_if);
                let record = self.records.endpoints.iter_mut().find(|endpoint| endpoint.index == index);
                record.expect("it is recorded").attach = *to;
                self.attached_by(*to).insert(index);
            }
            _ => return false,
        }
        true
    }

    fn begin_to_remove(&mut self, object: &Object) -> bool {
        let records = &mut self.records;
        match object {
            Object::Records(_) => {
                let (pinned, others) = (true, records.others.clone());
                *records = Records { pinned, others, ..Records::default() };
            }
            Object::Dataplane(_) => records.table = None,
            Object::Uplink(object::Uplink { index, .. }) => drop(records.devices.remove(index)),
            Object::UplinkHooks(object::UplinkHooks { index, .. }) => {
                records.uplink_hooks.remove(index);
                self.half_hooked.insert(*index);
            }
            Object::Network(spec) => spec.index.iter().for_each(|index| _ = records.devices.remove(index)),
            Object::Endpoint(spec) => spec.index.iter().for_each(|index| _ = records.devices.remove(index)),
            _ => return false,
        }
        true
    }
}
