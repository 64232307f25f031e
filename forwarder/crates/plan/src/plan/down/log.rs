//! What the undo log says has to be undone. Each entry comes behind what it is about: it is removed if that succeeded.

use std::collections::BTreeSet;

use super::{super::pairs, Removal, target};
use crate::{
    EndpointNetns, EndpointRecord, NetworkRecord, Object, SysctlRecord, TargetRef, Undo, object, orphans,
    sysctls::{ALL_FORWARDING, ALL_FORWARDING6, ON, routes_since},
};
use fwd_kernel::{
    netlink::{
        Link,
        nft::{Leaving, Separation},
    },
    netns::Name,
};

impl Removal<'_> {
    /// What was done inside and for the namespaces of these endpoints, and for others that are meant.
    pub(crate) fn inside<'e>(&self, endpoints: impl Iterator<Item = &'e EndpointRecord> + Clone) -> Vec<Object> {
        // What others of the same namespace need stays with them.
        let endpoints = endpoints.filter(|endpoint| !self.staying.contains(&endpoint.cookie));
        let going: BTreeSet<u64> = endpoints.clone().map(|endpoint| endpoint.cookie).collect();
        let mut objects: Vec<Object> =
            endpoints.clone().flat_map(|endpoint| orphans::resolv_conf(self.actual, endpoint)).collect();
        let is_gone = orphans::gone(self.actual, orphans::dead_endpoints(self.actual));
        for entry in &self.actual.undo {
            match entry {
                Undo::ResolvConf { ns } if self.is_meant_by_name(ns) => {
                    let written = Object::ResolvConf(object::ResolvConf { ns: ns.clone(), contents: String::new() });
                    objects.extend([written, Object::Undo(entry.clone())]);
                }
                Undo::Loopback { cookie, .. }
                    if going.contains(cookie) || self.is_meant_by_cookie(*cookie, &is_gone) =>
                {
                    objects.extend(self.loopback(entry, *cookie));
                }
                _ => {}
            }
        }
        let mut seen: Vec<Object> = Vec::new();
        for object in objects {
            if !seen.contains(&object) {
                seen.push(object);
            }
        }
        seen
    }

    /// Whether the namespace of this name, if it has no endpoint that stays, is one that is meant.
    fn is_meant_by_name(&self, name: &Name) -> bool {
        let meant = match &self.scope.target {
            None => self.scope.is_everything(),
            Some(TargetRef::Named(wanted)) => wanted == name,
            Some(_) => target(self.scope, self.actual).is_some_and(|known| known.name.as_ref() == Some(name)),
        };
        let wanted = || {
            let mut targets = self.actual.targets.values();
            targets.any(|target| target.ns.is_some() && target.name.as_ref() == Some(name))
        };
        meant && !wanted() && self.kept.iter().all(|endpoint| endpoint.ns.as_deref() != Some(name.as_str()))
    }

    /// Whether a namespace that has no endpoint is one that is meant, or gone.
    fn is_meant_by_cookie(&self, cookie: u64, is_gone: impl Fn(u64) -> bool) -> bool {
        let meant = target(self.scope, self.actual);
        (!self.staying.contains(&cookie)
            && (self.scope.is_everything() || meant.is_some_and(|known| known.cookie == cookie)))
            || is_gone(cookie)
    }

    /// `lo` goes down again in a namespace that stays.
    fn loopback(&self, entry: &Undo, cookie: u64) -> impl Iterator<Item = Object> + use<> {
        let known = self.actual.namespaces.iter().find(|known| known.cookie == cookie);
        let stays = known.filter(|known| known.name.as_ref().is_none_or(|name| !self.doomed.contains(name)));
        let down = stays
            .filter(|known| known.is_loopback_up())
            .map(|known| Object::Loopback(object::Loopback { ns: known.reference.clone() }));
        down.into_iter().chain([Object::Undo(entry.clone())])
    }

    /// The rules in nftables of networks without endpoints, and of what is no network any more.
    pub(crate) fn rules(&self) -> Vec<Object> {
        let noted = self.actual.undo.iter().filter_map(|entry| match entry {
            Undo::Masquerade { network } => Some(network.as_str()),
            _ => None,
        });
        let host = &self.actual.host;
        let found = host.masquerades.union(&host.isolated).map(String::as_str);
        let all: BTreeSet<&str> = noted.chain(found).collect();
        let kept = |name: &str| self.kept_networks().any(|network| network.name == name);
        let stay: Vec<NetworkRecord> = self.kept_networks().cloned().collect();
        let mut objects = pairs::closed(self.actual, &stay);
        objects.extend(pairs::gone(self.actual, kept));
        for network in all.into_iter().filter(|network| !kept(network)) {
            let (network, bridge) = (network.to_owned(), String::new());
            let leaving = Leaving::NotBy(String::new());
            let entry = Object::Undo(Undo::Masquerade { network: network.clone() });
            let isolation = Object::Isolation(object::Isolation {
                network: network.clone(),
                bridge: bridge.clone(),
                separation: Separation::default(),
            });
            let masquerade =
                Object::Masquerade(object::Masquerade { network, bridge, subnet: ipnet::Ipv4Net::default(), leaving });
            objects.extend([masquerade, isolation, entry].into_iter().filter(|object| self.actual.has(object)));
        }
        objects.extend(self.rules6());
        objects
    }

    /// The same of IPv6.
    fn rules6(&self) -> Vec<Object> {
        let noted = self.actual.undo.iter().filter_map(|entry| match entry {
            Undo::Rules6 { network } => Some(network),
            _ => None,
        });
        let all: BTreeSet<&String> = noted.chain(&self.actual.host.ruled6).collect();
        let kept = |name: &str| self.kept_networks().any(|network| network.name == name && network.gateway6.is_some());
        let gone = all.into_iter().filter(|network| !kept(network));
        gone.flat_map(|network| {
            let network = network.clone();
            let entry = Some(Object::Undo(Undo::Rules6 { network: network.clone() }));
            let entry = entry.filter(|entry| self.actual.has(entry));
            // Of several rules some may be left: whether all are there says nothing.
            let rules = object::Rules6 {
                network,
                bridge: String::new(),
                subnet: ipnet::Ipv6Net::default(),
                uplink: None,
                masquerade: true,
                separation: Separation::default(),
                unguarded: false,
            };
            [Object::Rules6(rules)].into_iter().chain(entry)
        })
        .collect()
    }

    /// What stays as it was changed because networks of another run directory are there, in words. They found it so and noted nothing.
    pub(crate) fn left_to_others(&self) -> Vec<String> {
        let shared = self.actual.host.other_owners_bridge().filter(|_| self.kept_networks().next().is_none());
        let Some(Link { name: bridge, .. }) = shared else { return Vec::new() };
        let changed = self.actual.changed_sysctls().filter(|record| record.path != ALL_FORWARDING);
        let left = changed.filter(|record| !record.goes_with_forwarding6());
        let left = left.map(|record| {
            let path = &record.path;
            format!(
                "{path} stays {}: bridge {bridge} of another run directory may need it; when that is down, `fwd down --all` here sets it \
                 back to {}",
                record.ours, record.original
            )
        });
        left.collect()
    }

    /// Sysctls of other interfaces than the uplinks with these numbers.
    pub(crate) fn sysctls(&self, kept: &[u32]) -> Vec<Object> {
        if self.actual.host.other_owners_bridge().is_some() {
            return Vec::new();
        }
        let changed = self.actual.changed_sysctls().filter(|record| !record.is_ipv6() && record.path != ALL_FORWARDING);
        let (needed, free): (Vec<_>, Vec<_>) =
            changed.partition(|record| kept.iter().any(|index| record.is_of(*index)));
        let mut objects: Vec<Object> = free.into_iter().flat_map(|record| self.restored(record)).collect();
        if needed.is_empty() {
            let witness = self.actual.changed_sysctls().find(|record| record.path == ALL_FORWARDING);
            objects.extend(witness.cloned().map(|record| Object::Undo(Undo::Sysctl(record))));
        }
        objects
    }

    /// Forwarding of IPv6, where no network needs it any more, and only then what keeps router advertisements heeded meanwhile: the other
    /// way round, the kernel would forget the default route that it has by one.
    pub(crate) fn sysctls6(&self) -> Vec<Object> {
        let forwards = |network: &NetworkRecord| network.gateway6.is_some() && !network.treatment.internal;
        let needed = self.kept_networks().any(forwards);
        if needed || self.actual.host.other_owners_bridge().is_some() {
            return Vec::new();
        }
        let changed = self.actual.changed_sysctls().filter(|record| record.is_ipv6());
        let (all, others): (Vec<_>, Vec<_>) = changed.partition(|record| record.path == ALL_FORWARDING6);
        let forwards = self.actual.host.sysctls.get(ALL_FORWARDING6).is_some_and(|value| value == ON);
        let restored = |record: &SysctlRecord| {
            let now = record.now(&self.actual.host.net);
            let is = |path: &str, value: &String| self.actual.host.sysctls.get(path) == Some(value);
            // While all forward, an interface that does not was told so by somebody; by the time it gets back what it had, the kernel has
            // taken it from all.
            let is_ours = |now: &SysctlRecord| {
                is(&now.path, if forwards && now.goes_with_forwarding6() { &now.original } else { &now.ours })
            };
            let ours = now.filter(is_ours);
            ours.map(Object::Sysctl).into_iter().chain([Object::Undo(Undo::Sysctl(record.clone()))])
        };
        all.into_iter().chain(others).flat_map(restored).collect()
    }

    /// Restores a sysctl if the value is still ours and nobody turned forwarding on everywhere meanwhile: where it is now, if the
    /// interface was renamed. That of one that has gone is forgotten.
    fn restored(&self, record: &SysctlRecord) -> Vec<Object> {
        let value = |path: &str| self.actual.host.sysctls.get(path).map(String::as_str);
        let wanted_by_others = routes_since(self.actual.changed_sysctls(), value(ALL_FORWARDING));
        let now = record.now(&self.actual.host.net).filter(|_| !wanted_by_others);
        let ours = now.filter(|now| value(&now.path) == Some(now.ours.as_str()));
        ours.map(Object::Sysctl).into_iter().chain([Object::Undo(Undo::Sysctl(record.clone()))]).collect()
    }

    /// Entries about namespaces that are deleted, or gone.
    pub(crate) fn made(&self) -> impl Iterator<Item = Object> {
        let is_gone = orphans::gone(self.actual, orphans::dead_endpoints(self.actual));
        let known = self.actual.namespaces.iter();
        let (gone, rest): (Vec<_>, Vec<_>) =
            known.partition(|known| known.name.as_ref().is_some_and(|name| self.doomed.contains(name)));
        let cookies = |known: Vec<&EndpointNetns>| known.iter().map(|known| known.cookie).collect::<BTreeSet<u64>>();
        let (gone, rest) = (cookies(gone), cookies(rest));
        let goes = move |entry: &&Undo| match entry {
            // By whatever name: a killed command may have noted one that it never got.
            Undo::Netns { name, cookie: Some(cookie) } => match (gone.contains(cookie), rest.contains(cookie)) {
                (false, false) => is_gone(*cookie),
                (_, stays) => self.doomed.contains(name) || !stays,
            },
            _ => false,
        };
        self.actual.undo.iter().filter(goes).cloned().map(Object::Undo)
    }
}
