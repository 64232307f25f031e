//! What goes before anything comes: what is left of endpoints, namespaces and commands that are no more.

use std::collections::BTreeSet;

use super::{orphans, others::Others, pairs, rules};
use crate::{
    Actual, EndpointRecord, NS_IF, Object, Op, TargetRef, Undo, are_ends, names, object,
    settled::{Endpoint, Network},
};
use fwd_kernel::netlink::Link;

/// Removes the records of endpoints that are gone; those of the target are returned: what they know goes on.
pub(super) fn dead_endpoints(actual: &Actual, others: &Others) -> (Vec<Op>, Vec<EndpointRecord>) {
    let (mut ops, mut former) = (Vec::new(), Vec::new());
    let dead: BTreeSet<u32> = orphans::dead(actual, others.suspects(actual)).map(|it| it.index).collect();
    for endpoint in orphans::dead(actual, others.suspects(actual)) {
        if actual.is_of_target(endpoint) {
            former.push(endpoint.clone());
        } else {
            ops.extend(orphans::resolv_conf(actual, endpoint).into_iter().map(Op::remove));
        }
        ops.extend(orphans::published(actual, endpoint).map(Op::remove));
        ops.extend(rules::of_record(actual, endpoint).into_iter().map(Op::remove));
        // Of those that go together, the last one has what they share.
        let stays = |other: &EndpointRecord| other.index > endpoint.index || !dead.contains(&other.index);
        ops.extend(orphans::neighbours(actual, endpoint, stays).into_iter().map(Op::remove));
        let objects = orphans::record_objects(endpoint, actual.network_of(endpoint));
        ops.extend(objects.into_iter().filter(|object| actual.has(object)).map(Op::remove));
    }
    (ops, former)
}

/// Removes from the undo log what it says of namespaces that are gone, and what an interrupted command left of one.
pub(super) fn forgotten(actual: &Actual, others: &Others) -> Vec<Op> {
    let leftovers = actual.leftovers.iter().map(|name| Object::Netns(object::NamedNetns { name: name.clone() }));
    let is_gone = orphans::gone(actual, orphans::dead(actual, others.suspects(actual)));
    let goes = |entry: &&Undo| match entry {
        Undo::Netns { cookie, .. } => cookie.is_some_and(&is_gone),
        Undo::Loopback { cookie, .. } => is_gone(*cookie),
        Undo::Sysctl(_) | Undo::Masquerade { .. } | Undo::Rules6 { .. } | Undo::ResolvConf { .. } => false,
    };
    let entries = actual.undo.iter().filter(goes).cloned().map(Object::Undo);
    leftovers.chain(entries).map(Op::remove).collect()
}

/// Removes what an interrupted command left for the same namespace and network, and no record mentions.
pub(super) fn remove_orphans(actual: &Actual, network: &str) -> Vec<Op> {
    let inside = actual.target_netns().map_or(&[][..], |inside| &inside.net.links);
    let mut ops = Vec::new();
    // From the few interfaces inside: of the host's there may be thousands.
    let pairs = inside.iter().filter_map(|end| Some((actual.host.net.by_index(end.peer?)?, end)));
    for (veth, end) in pairs.filter(|(veth, end)| are_ends(veth, end) && actual.is_orphaned_veth(veth)) {
        let reference = actual.target.as_ref().map(|target| target.reference.clone());
        ops.extend(reference.map(|ns| Op::remove(orphans::veth_object(veth, &end.name, ns))));
    }
    let rest = actual.after(&ops);
    let recorded = rest.records.networks.iter().any(|record| record.name == network);
    let alias = actual.host.owner.network_alias(network);
    // One that was not yet given its alias is known by its name.
    let bridge = names::bridge(network, |_| false);
    let of_network = |link: &&Link| link.alias.as_deref() == Some(alias.as_str()) || link.name == bridge;
    let empty = |link: &&Link| rest.ports(link.index).next().is_none();
    if !recorded {
        let bridges = rest.orphaned_bridges().filter(of_network).filter(empty);
        ops.extend(bridges.map(|bridge| Op::remove(orphans::bridge_object(bridge))));
    }
    ops
}

/// Removes an orphaned veth pair of the name that is needed, what is left of the program at a bridge that was deleted, and what let in others
/// that the network allows no more.
pub(super) fn in_the_way(actual: &Actual, network: &Network, endpoint: Option<&Endpoint>) -> Vec<Op> {
    let mut ops = Vec::new();
    let found = endpoint.and_then(|endpoint| actual.host.net.link(&endpoint.host_if));
    if let Some(veth) = found.filter(|link| actual.is_orphaned_veth(link)) {
        let unknown = TargetRef::Path("somewhere".into());
        ops.push(Op::remove(orphans::veth_object(veth, NS_IF, unknown)));
    }
    let records = actual.records.networks.iter().filter(|record| record.name == network.name);
    let former = records.filter(|record| actual.bridge_of(record).is_none());
    ops.extend(former.filter_map(|record| orphans::network_hook(actual, record)).map(Op::remove));
    let mut networks = actual.records.networks.clone();
    let own = networks.iter_mut().find(|it| it.name == network.name);
    own.into_iter().for_each(|own| own.allows.clone_from(&network.allows));
    ops.extend(pairs::closed(actual, &networks).into_iter().map(Op::remove));
    let withdrawn = pairs::withdrawn(actual, &network.name, &network.allows);
    ops.extend(withdrawn.into_iter().map(Op::remove));
    ops
}
