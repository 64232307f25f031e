//! What operations on the kernel's own rules do to the model.

use super::{World, apply::take};
use crate::{Object, object};
use fwd_kernel::netlink::nft::Leaving;

impl World {
    /// Rules of nftables.
    pub(super) fn make_rules(&mut self, object: &Object) {
        match object.clone() {
            Object::Isolation(object::Isolation { network, .. }) => assert!(self.host.isolated.insert(network)),
            Object::KernelRate(it) => {
                assert!(self.host.net.link(&it.host_if).is_some(), "{} exists", it.host_if);
                self.host.set_rate(&it, it.to);
            }
            Object::NetworkPair(it) => drop(self.host.pair_rules.insert(it.comment(), it.count())),
            Object::Masquerade(object::Masquerade { network, leaving, .. }) => {
                let (Leaving::By(interface) | Leaving::NotBy(interface)) = leaving;
                assert!(self.host.net.link(&interface).is_some(), "{interface} exists");
                self.host.masquerades.insert(network);
            }
            Object::SourceNat(it) => drop(self.host.source_rules.insert(it.comment())),
            Object::KernelPolicy(it) => {
                assert!(self.host.net.link(&it.bridge).is_some(), "{} exists", it.bridge);
                self.host.set_policy_rules(&it, &it.to);
            }
            Object::Rules6(object::Rules6 { network, uplink, separation, .. }) => {
                let is_there = |uplink: &String| self.host.net.link(uplink).is_some();
                assert!(separation.internal || uplink.iter().all(is_there), "{uplink:?} exists");
                self.host.ruled6.insert(network);
            }
            _ => self.make_noted(object),
        }
    }

    /// Rules of nftables, for whom the host answers, and what is about names.
    pub(super) fn remove_rules(&mut self, object: &Object) {
        match object {
            Object::ProxyNeighbour(object::ProxyNeighbour { uplink, address }) => {
                let index = self.index(uplink);
                take(&mut self.host.net.proxies, |proxy| *proxy == (index, *address));
            }
            Object::Isolation(object::Isolation { network, .. }) => assert!(self.host.isolated.remove(network)),
            Object::KernelRate(it) => self.host.set_rate(it, it.from),
            Object::NetworkPair(it) => assert!(self.host.pair_rules.remove(&it.comment()).is_some()),
            Object::Masquerade(object::Masquerade { network, .. }) => assert!(self.host.masquerades.remove(network)),
            Object::SourceNat(it) => assert!(self.host.source_rules.remove(&it.comment())),
            Object::KernelPolicy(it) => self.host.set_policy_rules(it, &it.from),
            // Of several some may have been left.
            Object::Rules6(object::Rules6 { network, .. }) => drop(self.host.ruled6.remove(network)),
            // It may have been deleted by hand.
            Object::ResolvConf(object::ResolvConf { ns, .. }) => {
                self.written.retain(|name| name != ns);
                self.resolvers.remove(ns);
            }
            Object::NameServer(object::NameServer { network, .. }) => {
                assert!(self.host.served.remove(network).is_some(), "it answers for {network}");
            }
            other => panic!("{other} is not removed by a plan"),
        }
    }
}
