//! Interfaces, neighbours and rules of the host.

use super::Runner;
use crate::{
    Result,
    netlink::nft::{self, Masquerade},
    reconcile::Object,
};

impl Runner<'_> {
    pub(super) fn make_outside(&mut self, object: &Object) -> Result<()> {
        match object {
            Object::Bridge(spec) => self.netlink.create_bridge(spec).map(drop),
            Object::GatewayAddress { bridge, address } => {
                self.netlink.add_address(self.link(bridge)?.index, (*address).into())
            }
            Object::LinkUp { name } => self.netlink.set_up(self.link(name)?.index),
            Object::Masquerade { network, subnet, uplink, .. } => {
                let rule = Masquerade { network: self.owner.rule(network), subnet: *subnet, uplink: uplink.clone() };
                nft::ensure_masquerade(&rule).map(drop)
            }
            Object::Isolation { network, bridge } => nft::ensure_isolation(&self.owner.rule(network), bridge).map(drop),
            Object::Veth { spec, ns } => self.netlink.create_veth(spec, self.namespace(ns)?).map(drop),
            Object::Port { host_if, bridge, learns } => {
                let (port, bridge) = (self.link(host_if)?.index, self.link(bridge)?.index);
                self.netlink.set_controller(port, Some(bridge))?;
                if *learns { Ok(()) } else { self.netlink.fix_port(port) }
            }
            Object::Fdb { host_if, mac } => self.netlink.add_fdb(self.link(host_if)?.index, *mac),
            Object::Neighbour { bridge, address, mac } => {
                self.netlink.replace_neighbour(self.link(bridge)?.index, (*address).into(), *mac)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn remove_outside(&mut self, object: &Object) -> Result<()> {
        match object {
            Object::Bridge(spec) => self.netlink.delete_link(self.link(&spec.name)?.index),
            Object::GatewayAddress { bridge, address } => {
                self.netlink.del_address(self.link(bridge)?.index, (*address).into())
            }
            Object::LinkUp { name } => self.netlink.set_down(self.link(name)?.index),
            Object::Masquerade { network, .. } => nft::remove_masquerade(&self.owner.rule(network)).map(drop),
            Object::Isolation { network, .. } => nft::remove_isolation(&self.owner.rule(network)).map(drop),
            Object::Veth { spec, .. } => self.netlink.delete_link(self.link(&spec.host_if)?.index),
            Object::Port { host_if, .. } => self.netlink.set_controller(self.link(host_if)?.index, None),
            Object::Fdb { host_if, mac } => self.netlink.del_fdb(self.link(host_if)?.index, *mac),
            Object::Neighbour { bridge, address, .. } => {
                self.netlink.del_neighbour(self.link(bridge)?.index, (*address).into())
            }
            _ => Ok(()),
        }
    }
}
