//! The scoped read, as `execute` does it: a plan made of it does the same as one made in view of everything.

use std::collections::BTreeSet;

use super::{Actual, World};
use crate::{
    ALL_FORWARDING6, Action, DownRequest, EndpointRecord, Followed, NetConfig, Object, Op, TargetRef, Undo, UpRequest,
    object, plan_down, plan_up,
};
use fwd_kernel::netns::Name;

impl World {
    /// What is read for a command about `target`; none where that would not do.
    fn scoped(&self, whole: &Actual, target: &TargetRef) -> Option<Actual> {
        let inside = self.resolve(target).and_then(|name| self.namespaces.get(&name));
        let is_ours = |endpoint: &EndpointRecord| {
            let by_name = match target {
                TargetRef::Named(name) => endpoint.ns.as_deref() == Some(name.as_str()),
                TargetRef::Pid(pid) => endpoint.pid == Some(*pid),
                TargetRef::Path(_) | TargetRef::Awaited(_) => false,
                TargetRef::Container(_) => target.id(&endpoint.id.ifname) == endpoint.id,
            };
            by_name || inside.is_some_and(|it| it.cookie == endpoint.cookie)
        };
        let (host, records) = (&whole.host.net, &whole.records);
        let (ours, others): (Vec<_>, Vec<_>) = records.endpoints.iter().partition(|endpoint| is_ours(endpoint));
        let named = |it: &&EndpointRecord| records.devices.contains(&it.index);
        let homed = |it: &EndpointRecord| {
            records.networks.iter().any(|network| network.index == it.network_index && network.name == it.network)
        };
        let bridged = records
            .networks
            .iter()
            .all(|network| host.by_index(network.index).is_some_and(|link| whole.host.owner.has_bridge(link)));
        let peers = inside.into_iter().flat_map(|it| &it.net.links).filter_map(|link| host.by_index(link.peer?));
        let recorded = |index: u32| records.endpoints.iter().any(|endpoint| endpoint.index == index);
        let orphans = peers.filter(|link| whole.host.owner.has_veth(link)).any(|link| !recorded(link.index));
        if !records.loaded || orphans || !bridged || !others.iter().all(named) || !records.endpoints.iter().all(homed) {
            return None;
        }
        let known = ours.iter().map(|it| it.index).chain(records.networks.iter().map(|it| it.index));
        let mut known: Vec<u32> = known.chain(records.uplinks.iter().map(|it| it.index)).collect();
        if known.iter().any(|index| host.by_index(*index).is_none()) {
            return None;
        }
        let followed = Followed::by(&records.networks);
        let routes: Vec<_> = host.routes.iter().filter(|route| followed.leads(route)).cloned().collect();
        known.extend(routes.iter().map(|route| route.ifindex));
        let addresses = host.addresses.iter().filter(|(index, _)| known.contains(index)).copied().collect();
        known.extend(whole.undo.iter().filter_map(Undo::interface));
        let links = host.links.iter().filter(|link| known.contains(&link.index)).cloned().collect::<Vec<_>>();
        let neighbours = host
            .neighbours
            .iter()
            .filter(|it| ours.iter().any(|our| our.addresses().any(|address| it.address == address)))
            .cloned();
        let mut scoped = whole.clone();
        scoped.host.net = NetConfig {
            links,
            addresses,
            routes,
            neighbours: neighbours.collect(),
            proxies: whole.host.net.proxies.clone(),
        };
        scoped.host.fdb.retain(|entry| ours.iter().any(|our| our.index == entry.port));
        let cookies: BTreeSet<u64> =
            ours.iter().map(|it| it.cookie).chain(inside.map(|inside| inside.cookie)).collect();
        let names = ours.iter().filter_map(|endpoint| Name::try_from(endpoint.ns.as_deref()?).ok());
        let names: Vec<Option<Name>> = names.map(Some).chain([target.name().cloned()]).collect();
        let concerns = |entry: &Undo| names.iter().any(|it| Undo::may_concern(&entry.key(), it.as_ref(), &cookies));
        scoped.undo.retain(concerns);
        // Others are not opened.
        scoped.namespaces.retain(|known| known.reference == *target);
        scoped.host.out_of_scope = others.iter().map(|it| it.index).collect();
        Some(scoped)
    }

    /// Plans in both views, and compares.
    pub(super) fn check_scoped_up(&self, request: &UpRequest, whole: &Actual) {
        let Some(scoped) = self.scoped(whole, &request.target) else { return };
        if whole.records.networks.iter().any(|network| !whole.lost_rules(network).is_empty()) {
            return;
        }
        let Ok(plan) = plan_up(request, &scoped) else { return };
        let exceeds_scope = |op: &Op| match &op.object {
            Object::Network(_) | Object::NetworkBridge(_) | Object::Bridge(_) => true,
            Object::Sysctl(record) => record.path == ALL_FORWARDING6,
            Object::Veth(object::Veth { spec, .. }) => whole.host.net.link(&spec.host_if).is_some(),
            _ => false,
        };
        if plan.ops.iter().filter(|op| op.action == Action::Make).any(exceeds_scope) {
            return;
        }
        let mut all = plan_up(request, whole).expect("a scoped read is enough to know").ops;
        // Others are mended besides.
        let others: Vec<&EndpointRecord> =
            whole.records.endpoints.iter().filter(|it| scoped.host.out_of_scope.contains(&it.index)).collect();
        all.retain(|op| match &op.object {
            Object::Port(object::Port { host_if, .. })
            | Object::HostSide(object::HostSide { host_if, .. })
            | Object::Fdb(object::Fdb { host_if, .. })
            | Object::EndpointBridge(object::EndpointBridge { host_if, .. }) => {
                others.iter().all(|it| it.host_if != *host_if)
            }
            Object::Neighbour(object::Neighbour { address, .. }) => {
                others.iter().all(|it| it.addresses().all(|its| its != *address))
            }
            Object::ProxyNeighbour(object::ProxyNeighbour { address, .. }) => {
                others.iter().all(|it| it.address6 != Some(*address))
            }
            _ => true,
        });
        assert_eq!(plan.ops, all);
    }

    /// Plans in both views, and compares.
    pub(super) fn check_scoped_down(&self, request: &DownRequest, whole: &Actual) {
        let Some(scoped) = request.target.as_ref().and_then(|target| self.scoped(whole, target)) else { return };
        let out_of_scope = scoped.host.out_of_scope.len();
        if out_of_scope == 0 || scoped.records.endpoints.len() == out_of_scope {
            return;
        }
        let plan = plan_down(request, &scoped).expect("always possible").ops;
        if plan.iter().any(|op| matches!(op.object, Object::Sysctl(_) | Object::Undo(Undo::Sysctl(_)))) {
            return;
        }
        let mut all = plan_down(request, whole).expect("always possible").ops;
        // Bridges that no record mentions go besides.
        let recorded = |name: &str| whole.records.networks.iter().any(|network| network.bridge == name);
        all.retain(|op| !matches!(&op.object, Object::Bridge(spec) if !recorded(&spec.name)));
        assert_eq!(plan, all);
    }
}
