//! What operations on records do to the model.

use super::World;
use crate::{EndpointSpec, NetworkSpec, TargetNetns, Undo, object};
use fwd_dataplane::{Backend, Publication};
use fwd_kernel::netns::Name;

impl World {
    pub(super) fn record_network(&mut self, spec: &NetworkSpec) {
        let index = self.index(&spec.bridge);
        assert!(self.records.networks.iter().all(|network| network.name != spec.name));
        self.note(index);
        self.records.networks.push(spec.record(index));
    }

    pub(super) fn rebridge(&mut self, moved: &object::NetworkBridge) {
        let to = self.index(&moved.bridge);
        self.note(to);
        assert!(self.records.networks.iter().any(|network| network.index == moved.from), "it is recorded");
        moved.apply(&mut self.records, to);
    }

    pub(super) fn record_endpoint(&mut self, spec: EndpointSpec) {
        let target = self.resolve(&spec.target).expect("the namespace exists");
        let netns = self.namespaces.get(&target).map(|ns| (ns.cookie, ns.inode)).expect("the namespace exists");
        let network_index = self.index(&spec.bridge);
        let network = self.records.networks.iter_mut().find(|network| network.index == network_index);
        network.expect("the network exists").last = spec.number();
        let index = self.index(&spec.host_if);
        assert!(self.records.endpoints.iter().all(|endpoint| endpoint.index != index));
        self.note(index);
        self.records.endpoints.push(spec.record([index, network_index], netns));
    }

    pub(super) fn give_access(&mut self, object::HostAccess { id, .. }: &object::HostAccess) {
        assert!(self.records.table.is_some(), "the programs are loaded");
        (self.records.host_cgroup, self.records.host_attached) = (Some(*id), true);
    }

    pub(super) fn take_access(&mut self) {
        assert!(self.records.host_attached && self.records.publications.is_empty(), "nobody needs them");
        (self.records.host_cgroup, self.records.host_attached) = (None, false);
    }

    pub(super) fn publish(&mut self, object::Published { host_if, recorded: _, ports, kernel }: &object::Published) {
        let endpoint = self.index(host_if);
        let record = self.records.endpoints.iter().find(|it| it.index == endpoint).expect("it is recorded");
        let publication = Publication { endpoint, cookie: record.cookie, ports: *ports, whole: true };
        // Once more is the same, where rules of nftables were lost.
        self.records.publications.retain(|it| it.endpoint != endpoint || it.ports != *ports);
        let live = |it: &Publication| self.records.devices.contains(&it.endpoint);
        let taken = self.records.publications.iter().find(|it| it.whole && live(it) && it.ports.overlap(ports));
        assert_eq!(taken, None, "{ports} leads to one endpoint");
        self.records.publications.push(publication);
        self.host.port_rules.extend(kernel.iter().flat_map(|kernel| kernel.comments(ports)));
    }

    pub(super) fn withdraw(&mut self, object::Published { recorded, ports, kernel, host_if: _ }: &object::Published) {
        let comments = kernel.iter().flat_map(|kernel| kernel.comments(ports));
        comments.for_each(|comment| _ = self.host.port_rules.remove(&comment));
        let before = self.records.publications.len();
        let is_it = |it: &Publication| Some((it.endpoint, it.cookie)) == *recorded && it.ports == *ports;
        self.records.publications.retain(|it| !is_it(it));
        assert!(recorded.is_none() || self.records.publications.len() < before, "{ports} was published");
    }

    pub(super) fn lead_through(&mut self, bridge: u32, from: u32, to: u32) {
        let network = self.records.networks.iter_mut().find(|network| network.index == bridge).expect("it is recorded");
        assert!(network.uplink == from || network.uplink == to);
        network.uplink = to;
        if network.datapath.is_ebpf() {
            assert!(self.records.uplink_hooks.contains(&to), "what leaves is not guarded");
        }
        let endpoints = self.records.endpoints.iter_mut().filter(|endpoint| endpoint.network_index == bridge);
        endpoints.for_each(|endpoint| endpoint.uplink = to);
    }

    pub(super) fn allow(&mut self, object::NetworkAllows { network, from, to }: &object::NetworkAllows) {
        let record = self.records.networks.iter_mut().find(|record| record.name == *network).expect("it is recorded");
        assert_eq!(std::mem::replace(&mut record.allows, to.clone()), *from);
    }

    pub(super) fn appear_behind(&mut self, object::NetworkSource { network, from, to }: &object::NetworkSource) {
        let record = self.records.networks.iter_mut().find(|record| record.name == *network).expect("it is recorded");
        assert_eq!(std::mem::replace(&mut record.source, *to), *from);
    }

    pub(super) fn keep(&mut self, network: &str) {
        let record = self.records.networks.iter_mut().find(|record| record.name == network).expect("it is recorded");
        assert!(!std::mem::replace(&mut record.kept, true));
    }

    pub(super) fn note(&mut self, index: u32) {
        assert!(self.host.net.by_index(index).is_some(), "interface {index} exists");
        self.records.devices.insert(index);
    }

    pub(super) fn change_address(&mut self, index: u32, from: std::net::Ipv4Addr, to: std::net::Ipv4Addr) {
        let record = self.records.uplinks.iter_mut().find(|uplink| uplink.index == index).expect("it is recorded");
        assert_eq!(std::mem::replace(&mut record.address, to), from);
    }

    pub(super) fn rename_uplink(&mut self, object::UplinkName { index, from, to }: object::UplinkName) {
        assert_eq!(self.host.net.by_index(index).map(|link| &link.name), Some(&to));
        let record = self.records.uplinks.iter_mut().find(|uplink| uplink.index == index);
        assert_eq!(std::mem::replace(&mut record.expect("it is recorded").name, to), from);
    }

    pub(super) fn limit(&mut self, object::EndpointLimits { host_if, from, to, .. }: &object::EndpointLimits) {
        let index = self.index(host_if);
        let record = self.records.endpoints.iter_mut().find(|endpoint| endpoint.index == index);
        assert_eq!(std::mem::replace(&mut record.expect("it is recorded").limits, *to), *from);
    }

    pub(super) fn rename(&mut self, object::EndpointNames { host_if, from, to }: &object::EndpointNames) {
        let index = self.index(host_if);
        let record = self.records.endpoints.iter_mut().find(|endpoint| endpoint.index == index);
        assert_eq!(std::mem::replace(&mut record.expect("it is recorded").aliases, to.clone()), *from);
    }

    pub(super) fn arrive(&mut self, object::EndpointNetns { host_if, ns, from, ns_if }: &object::EndpointNetns) {
        let index = self.index(host_if);
        let TargetNetns { cookie, inode, .. } = *self.namespace(ns);
        let record = self.records.endpoints.iter_mut().find(|endpoint| endpoint.index == index);
        let record = record.expect("it is recorded");
        assert_eq!(std::mem::replace(&mut record.id.ifname, ns_if.clone()), *from);
        assert!(std::mem::replace(&mut record.marks.awaited, false));
        (record.cookie, record.inode) = (cookie, inode);
        self.records.publications.iter_mut().filter(|it| it.endpoint == index).for_each(|it| it.cookie = cookie);
    }

    /// The namespace gets another name, and its record says so.
    pub(super) fn take(&mut self, taken: &object::EndpointTaken) {
        let index = self.index(&taken.host_if);
        let record = self.records.endpoints.iter_mut().find(|endpoint| endpoint.index == index);
        taken.give(record.expect("it is recorded"));
        let is_it = |inside: &TargetNetns| inside.cookie == taken.cookie;
        let (name, inside) = self.namespaces.iter().find(|(_, inside)| is_it(inside)).expect("it exists");
        let (name, inside) = (name.clone(), inside.clone());
        self.namespaces.remove(&name);
        assert!(self.namespaces.insert(taken.to.clone(), inside).is_none(), "the name is free");
        let of_it = |entry: &Undo| matches!(entry, Undo::Netns { cookie, .. } if *cookie == Some(taken.cookie));
        self.undo.retain(|entry| !of_it(entry));
        self.undo.push(Undo::Netns { name: taken.to.clone(), cookie: Some(taken.cookie) });
    }

    pub(super) fn give_rules(&mut self, object::EndpointPolicy { host_if, from, to }: &object::EndpointPolicy) {
        let index = self.index(host_if);
        let record = self.records.endpoints.iter_mut().find(|endpoint| endpoint.index == index);
        assert_eq!(std::mem::replace(&mut record.expect("it is recorded").policy, to.clone()), *from);
    }

    pub(super) fn attach_otherwise(&mut self, host_if: &str, from: Backend, to: Backend) {
        let index = self.index(host_if);
        let record = self.records.endpoints.iter_mut().find(|endpoint| endpoint.index == index);
        assert_eq!(std::mem::replace(&mut record.expect("it is recorded").attach, to), from);
        self.attached_by(to).insert(index);
        let other = if to == Backend::Tcx { Backend::Clsact } else { Backend::Tcx };
        self.attached_by(other).remove(&index);
    }

    pub(super) fn rehome(&mut self, object::EndpointBridge { host_if, from, bridge }: &object::EndpointBridge) {
        let to = self.index(bridge);
        let record = self.records.endpoints.iter_mut().find(|record| record.host_if == *host_if);
        let record = record.expect("the endpoint exists");
        assert_eq!(std::mem::replace(&mut record.network_index, to), *from);
    }

    /// A resolv.conf is written anew where it says something else.
    pub(super) fn resolve_by(&mut self, ns: Name, contents: String) {
        assert_ne!(self.resolvers.get(&ns), Some(&contents), "it says so already");
        if self.resolvers.insert(ns.clone(), contents).is_none() {
            assert!(!self.written.contains(&ns), "it is written once");
            self.written.push(ns);
        }
    }
}
