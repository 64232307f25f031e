//! Uplinks that were renamed, or deleted and made anew, as PPP, WireGuard and bonds are: networks follow the name.
//!
//! A renamed one is still the same interface, and only what names it is corrected. One that was made anew is another interface: it is
//! guarded before any network leads through it, and what belonged to the former is removed at the end. What was begun is not undone:
//! the next command goes on with it.

use std::borrow::Cow;

use super::{ipv6, rules};

use crate::{
    Actual, Datapath, Desired, Ipv4, NetworkRecord, Object, Op, Undo, UplinkRecord, advice, object,
    uplink::{self, Uplink},
    ways::{self, Followed},
};
use fwd_kernel::netlink::Link;

/// What has to be done, what there is afterwards, and what the user ought to know.
pub(crate) struct Mended<'a> {
    pub(crate) ops: Vec<Op>,
    pub(crate) actual: Cow<'a, Actual>,
    pub(crate) notes: Vec<String>,
}

/// Mends the uplinks of all networks, as far as interfaces are there that can take their places: of one that has gone, that of its name, or
/// the one that is desired.
pub(crate) fn uplinks<'a>(actual: &'a Actual, desired: &Desired) -> Mended<'a> {
    let mut mended = Mended { ops: Vec::new(), actual: Cow::Borrowed(actual), notes: Vec::new() };
    for record in &actual.records.uplinks {
        match actual.recorded(record.index) {
            Some(link) if link.name == record.name => {}
            Some(link) => mended.rename(record, link),
            None => mended.gone(record, desired),
        }
    }
    mended.lead_first();
    mended.take_in();
    mended.lost_rules();
    mended
}

/// Takes in what the host's routes lead by, where a network follows them, and makes rules anew that are gone.
pub(crate) fn ways<'a>(actual: &'a Actual) -> Mended<'a> {
    let mut mended = Mended { ops: Vec::new(), actual: Cow::Borrowed(actual), notes: Vec::new() };
    mended.take_in();
    mended.lost_rules();
    mended
}

fn networks_of(actual: &Actual, record: &UplinkRecord) -> Vec<NetworkRecord> {
    actual.records.networks.iter().filter(|network| network.uplink == record.index).cloned().collect()
}

/// The interface of this name, if the networks can lead through it.
fn successor(actual: &Actual, networks: &[NetworkRecord], name: &str) -> Option<Uplink> {
    let uplink = uplink::choose(actual, Some(name), ipv4_of(networks)).ok()?;
    networks.iter().all(|network| uplink.check_programs(network.datapath, actual).is_ok()).then_some(uplink)
}

/// What an uplink needs of IPv4 for these networks; for none, as any other.
fn ipv4_of(networks: &[NetworkRecord]) -> Ipv4 {
    Ipv4::of(networks.is_empty() || networks.iter().any(|network| network.gateway.is_some()))
}

impl Mended<'_> {
    /// An interface that is there no more: another one takes its place, for all of its networks, or for those that follow the host's routes.
    fn gone(&mut self, record: &UplinkRecord, desired: &Desired) {
        let networks = networks_of(&self.actual, record);
        if networks.is_empty() {
            return self.lost(record);
        }
        let options = networks.iter().filter_map(|network| desired.networks.get(&network.name));
        let mut chosen = options.filter_map(|network| network.uplink.interface());
        let name = chosen.next().unwrap_or(&record.name);
        if let Some(uplink) = successor(&self.actual, &networks, name) {
            self.replace(record, &networks, &uplink);
            return self.forget(record);
        }
        let (bound, following): (Vec<_>, Vec<_>) = networks.into_iter().partition(|network| network.treatment.bound);
        let (dual, alone): (Vec<_>, Vec<_>) = following.into_iter().partition(|network| network.gateway.is_some());
        let led =
            [(dual, Ipv4::On), (alone, Ipv4::Off)].map(|(networks, ipv4)| self.led_elsewhere(record, &networks, ipv4));
        if bound.is_empty() && led == [true; 2] {
            self.forget(record);
        }
    }

    /// Leads networks of an uplink that is gone by what the host's default route leads by now. False if nothing is in its place.
    fn led_elsewhere(&mut self, record: &UplinkRecord, networks: &[NetworkRecord], ipv4: Ipv4) -> bool {
        if networks.is_empty() {
            return true;
        }
        let host = &self.actual.host.net;
        let name = uplink::default_route(host, ipv4).map(|route| host.name_of(route.ifindex));
        let Some(uplink) = name.and_then(|name| successor(&self.actual, networks, &name)) else { return false };
        self.replace(record, networks, &uplink);
        true
    }

    /// Networks that had no way out when they were made lead by what there is now.
    fn lead_first(&mut self) {
        let waits = |network: &&NetworkRecord| network.uplink == 0 && network.follows_routes();
        let waiting: Vec<NetworkRecord> = self.actual.records.networks.iter().filter(waits).cloned().collect();
        for network in waiting {
            let Ok(Some(uplink)) = ways::first(&self.actual, network.ipv4()) else { continue };
            if uplink.check_programs(network.datapath, &self.actual).is_err() {
                continue;
            }
            self.notes.push(format!("network {} leaves by {} now", network.name, uplink.name));
            let forwarding = network.gateway6.map(|_| ipv6::forwarding(&self.actual, &uplink));
            self.complete(forwarding.into_iter().flatten());
            self.lead(0, &[network], &uplink);
        }
    }

    /// One that was no network's own. Who asked for it gets the one that has its name now; until there is one its record waits.
    fn lost(&mut self, record: &UplinkRecord) {
        if record.asked {
            let Some(uplink) = successor(&self.actual, &[], &record.name) else { return };
            let objects = uplink.objects(&self.actual, Ipv4::On, (self.actual.records.table.is_some(), false));
            self.complete(objects.into_iter().chain([ways::asked(&uplink)]));
            self.order(record, &uplink);
        }
        self.forget(record);
    }

    /// What the host's routes lead by, where a network follows them.
    fn take_in(&mut self) {
        let mut follow = self.actual.records.networks.iter().filter(|network| network.follows_routes()).peekable();
        if follow.peek().is_some() {
            let followed = Followed::by(&self.actual.records.networks);
            let objects = ways::objects(&self.actual, followed, follow.any(|network| network.datapath.is_ebpf()));
            self.notes.extend(advice::switched_off_ways(&self.actual, &objects));
            self.complete(objects.into_iter());
        }
    }

    /// Rules of nftables that somebody has taken away (`nft flush ruleset`): where those of a network are gone, those of all its endpoints may
    /// be, and otherwise those of the one that is meant.
    fn lost_rules(&mut self) {
        for network in self.actual.records.networks.clone() {
            let rules = self.actual.lost_rules(&network);
            let is_lost = !rules.is_empty();
            self.complete(rules.into_iter());
            let meant = self.actual.attached().map(|endpoint| endpoint.index);
            let mut members =
                self.actual.records.endpoints.iter().filter(|endpoint| endpoint.network == network.name).peekable();
            // One without members may be what a command that was killed had begun.
            if is_lost && members.peek().is_some() {
                let note = format!("rules of nftables for network {} were gone: they are made anew", network.name);
                self.notes.push(note);
            }
            let concerned = members.filter(|endpoint| is_lost || Some(endpoint.index) == meant);
            let rules: Vec<Object> = concerned.flat_map(|endpoint| self.actual.lost_rules_of(endpoint)).collect();
            rules.into_iter().for_each(|object| self.make(object));
        }
    }

    /// Makes what is not there.
    fn complete(&mut self, objects: impl Iterator<Item = Object>) {
        for object in objects {
            if !self.actual.has(&object) {
                self.make(object);
            }
        }
    }

    fn rename(&mut self, record: &UplinkRecord, link: &Link) {
        let (index, from, to) = (record.index, record.name.clone(), link.name.clone());
        self.notes.push(format!("uplink {from} is called {to} now"));
        for network in networks_of(&self.actual, record) {
            self.rules(&network, &link.name);
        }
        // Last: by its name the next command sees that there is something to do.
        self.make(Object::UplinkName(object::UplinkName { index, from, to }));
    }

    fn replace(&mut self, record: &UplinkRecord, networks: &[NetworkRecord], uplink: &Uplink) {
        let by = if uplink.name == record.name { "made anew" } else { "replaced" };
        self.notes.push(format!("uplink {} was {by}: its networks lead through {} now", record.name, uplink.name));
        self.lead(record.index, networks, uplink);
        self.order(record, uplink);
    }

    /// The programs stand among others as at the uplink that has gone.
    fn order(&mut self, record: &UplinkRecord, uplink: &Uplink) {
        let order = ways::ordered(&self.actual, uplink, record.order);
        order.into_iter().for_each(|object| self.make(object));
    }

    /// Leads networks through this uplink instead of the one with the index `from`.
    fn lead(&mut self, from: u32, networks: &[NetworkRecord], uplink: &Uplink) {
        let uses = |wanted: fn(Datapath) -> bool| networks.iter().any(|network| wanted(network.datapath));
        let (ebpf, xdp) = (uses(Datapath::is_ebpf), uses(Datapath::has_xdp));
        for object in uplink.objects(&self.actual, ipv4_of(networks), (ebpf, xdp)) {
            // A command that was killed may have attached one of two programs: to attach both again is no harm.
            let anew = matches!(object, Object::UplinkHooks(_));
            if anew || !self.actual.has(&object) {
                self.make(object);
            }
        }
        for network in networks {
            let (name, bridge) = (network.name.clone(), network.index);
            self.rules(network, &uplink.name);
            let answers = ipv6::announced_again(&self.actual, network, uplink);
            self.complete(answers.into_iter());
            // After it, as above.
            self.make(Object::NetworkUplink(object::NetworkUplink { network: name, bridge, from, to: uplink.index }));
        }
    }

    /// The rules of a network name the interface, unless it follows the host's routes.
    fn rules(&mut self, network: &NetworkRecord, uplink: &str) {
        if !network.treatment.bound {
            return;
        }
        network.masquerade(uplink).into_iter().for_each(|masquerade| self.make(Object::Masquerade(masquerade)));
        if let Some(rules6) = network.rules6(uplink) {
            // A command that was killed may have come no further than the record.
            let noted = Object::Undo(Undo::Rules6 { network: network.name.clone() });
            if !self.actual.has(&noted) {
                self.make(noted);
            }
            self.make(Object::Rules6(rules6));
        }
        rules::of_network(&self.actual, network, uplink).into_iter().for_each(|object| self.make(object));
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
                self.run(Op::remove(object));
            }
        }
    }

    fn make(&mut self, object: Object) {
        self.run(Op::make(object));
    }

    fn run(&mut self, op: Op) {
        self.actual.to_mut().apply(&op);
        self.ops.push(op);
    }
}
