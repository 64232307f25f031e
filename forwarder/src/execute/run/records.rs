//! Records in the maps, and programs at their hooks.

use std::net::Ipv4Addr;

use forwarder_common::abi::endpoint_flags;

use super::{super::record, Runner};
use crate::{
    Error, Kind, Result,
    dataplane::{Backend, XdpHook, name, name_of},
    netlink::{LinkLayer, XdpMode},
    reconcile::{EndpointSpec, NetworkSpec, Object},
};

impl Runner<'_> {
    pub(super) fn make_record(&mut self, object: &Object) -> Result<()> {
        match object {
            Object::Uplink { name, index, address } => {
                let plane = self.plane()?;
                let counters = plane.free_counters(2)?;
                let [inward, outward] = counters[..] else { return Err(no_counters()) };
                plane.note_device(*index)?;
                plane.put_uplink(*index, &record::of_uplink(name, *address, inward, outward)?)
            }
            Object::UplinkAddress { index, to, .. } => self.readdress(*index, *to),
            Object::UplinkName { index, to, .. } => self.rename_uplink(*index, to),
            Object::NetworkUplink { bridge, to, .. } => self.lead_through(*bridge, *to),
            Object::UplinkHooks { index, layer, .. } => self.plane()?.attach_uplink(*index, *layer != LinkLayer::None),
            Object::Network(spec) => self.record_network(spec),
            Object::NetworkHook { bridge, .. } => self.plane()?.attach_network(self.link(bridge)?.index),
            Object::Endpoint(spec) => self.record_endpoint(spec),
            Object::EndpointBridge { host_if, bridge, .. } => self.rehome(host_if, self.link(bridge)?.index),
            Object::EndpointHook { host_if, attach, .. } => {
                self.plane()?.attach_endpoint(self.link(host_if)?.index, *attach)
            }
            Object::EndpointAttach { host_if, to, .. } => self.attach_otherwise(host_if, *to),
            Object::UplinkXdp { index, .. } => self.plane()?.attach_xdp(XdpHook::FromUplink, *index, None).map(drop),
            Object::EndpointXdp { host_if, uplink, .. } => self.attach_endpoint_xdp(host_if, uplink),
            _ => Ok(()),
        }
    }

    pub(super) fn remove_record(&mut self, object: &Object) -> Result<()> {
        match object {
            Object::Uplink { index, .. } => self.plane()?.remove_uplink(*index),
            Object::UplinkAddress { index, from, .. } => self.readdress(*index, *from),
            Object::UplinkName { index, from, .. } => self.rename_uplink(*index, from),
            Object::NetworkUplink { bridge, from, .. } => self.lead_through(*bridge, *from),
            Object::UplinkHooks { index, .. } => self.plane()?.detach_uplink(*index),
            Object::Network(NetworkSpec { index, bridge, .. }) => {
                self.plane()?.remove_network(self.index(*index, bridge)?)
            }
            Object::NetworkHook { bridge, index } => self.plane()?.detach_network(self.index(*index, bridge)?),
            Object::Endpoint(EndpointSpec { index, host_if, .. }) => {
                self.plane()?.remove_endpoint(self.index(*index, host_if)?)
            }
            Object::EndpointBridge { host_if, from, .. } => self.rehome(host_if, *from),
            Object::EndpointAttach { host_if, from, .. } => self.attach_otherwise(host_if, *from),
            Object::EndpointHook { host_if, index, .. } => self.plane()?.detach_endpoint(self.index(*index, host_if)?),
            Object::UplinkXdp { index, .. } => self.plane()?.detach_xdp(XdpHook::FromUplink, *index),
            Object::EndpointXdp { host_if, index, .. } => {
                self.plane()?.detach_xdp(XdpHook::FromNs, self.index(*index, host_if)?)
            }
            _ => Ok(()),
        }
    }

    /// The number of an interface: of the record, which may be all that is left of it, or by its name.
    fn index(&self, recorded: Option<u32>, name: &str) -> Result<u32> {
        recorded.map_or_else(|| self.link(name).map(|link| link.index), Ok)
    }

    fn record_network(&self, spec: &NetworkSpec) -> Result<()> {
        let plane = self.plane()?;
        let counters = plane.free_counters(usize::from(spec.datapath.is_ebpf()))?;
        let record = record::of_network(spec, counters.first().copied().unwrap_or_default())?;
        let index = self.link(&spec.bridge)?.index;
        plane.note_device(index)?;
        plane.put_network(index, &record)
    }

    fn record_endpoint(&self, spec: &EndpointSpec) -> Result<()> {
        let plane = self.plane()?;
        let host_veth = self.link(&spec.host_if)?.index;
        let bridge = self.link(&spec.bridge)?.index;
        if let Some(mut network) = plane.network(bridge)? {
            // First: an address is rather skipped than given out twice in a row.
            network.last_v4 = spec.address.octets();
            plane.put_network(bridge, &network)?;
        }
        let counters = plane.free_counters(1)?;
        let [counters] = counters[..] else { return Err(no_counters()) };
        let numbers = record::Numbers { network: bridge, counters };
        plane.note_device(host_veth)?;
        plane.put_endpoint(host_veth, &record::of_endpoint(spec, self.namespace(&spec.target)?, &numbers)?)
    }

    /// A frame that the driver of the host-side veth redirects is lost if the uplink takes none: then the kernel redirects packets.
    fn attach_endpoint_xdp(&self, host_if: &str, uplink: &str) -> Result<()> {
        let uplink = self.link(uplink)?;
        let generic = (!self.netlink.takes_frames(&uplink)?).then_some(XdpMode::Generic);
        self.plane()?.attach_xdp(XdpHook::FromNs, self.link(host_if)?.index, generic).map(drop)
    }

    /// Attaches the program of a host-side veth by `backend` and no other. At each moment one of them translates.
    fn attach_otherwise(&self, host_if: &str, backend: Backend) -> Result<()> {
        let plane = self.plane()?;
        let index = self.link(host_if)?.index;
        let endpoint = plane.endpoint(index)?;
        let mut endpoint = endpoint.ok_or_else(|| unrecorded(format!("endpoint {host_if}")))?;
        plane.attach_endpoint_too(index, backend)?;
        match backend {
            Backend::Tcx => endpoint.flags &= !endpoint_flags::CLSACT,
            Backend::Clsact => endpoint.flags |= endpoint_flags::CLSACT,
        }
        plane.put_endpoint(index, &endpoint)?;
        plane.detach_endpoint_but(index, backend)
    }

    /// Points an endpoint at another bridge.
    fn rehome(&self, host_if: &str, bridge: u32) -> Result<()> {
        let plane = self.plane()?;
        let endpoint = plane.endpoints()?.into_iter().find(|(_, endpoint)| name_of(&endpoint.host_if) == host_if);
        let (index, mut endpoint) = endpoint.ok_or_else(|| unrecorded(format!("endpoint {host_if}")))?;
        endpoint.network = bridge;
        plane.put_endpoint(index, &endpoint)
    }

    /// Gives an uplink another address.
    fn readdress(&self, index: u32, address: Ipv4Addr) -> Result<()> {
        let plane = self.plane()?;
        let uplink = plane.uplinks()?.into_iter().find(|(key, _)| *key == index);
        let (_, mut uplink) = uplink.ok_or_else(|| unrecorded(format!("uplink with index {index}")))?;
        uplink.v4 = address.octets();
        plane.put_uplink(index, &uplink)
    }

    /// Gives an uplink another name.
    fn rename_uplink(&self, index: u32, to: &str) -> Result<()> {
        let plane = self.plane()?;
        let uplink = plane.uplinks()?.into_iter().find(|(key, _)| *key == index);
        let (_, mut uplink) = uplink.ok_or_else(|| unrecorded(format!("uplink with index {index}")))?;
        uplink.ifname = name(to)?;
        plane.put_uplink(index, &uplink)
    }

    /// Lets a network and its endpoints go out by another uplink.
    fn lead_through(&self, bridge: u32, uplink: u32) -> Result<()> {
        let plane = self.plane()?;
        let network = plane.network(bridge)?;
        let mut network = network.ok_or_else(|| unrecorded(format!("network of the bridge with index {bridge}")))?;
        network.uplink = uplink;
        plane.put_network(bridge, &network)?;
        for (index, mut endpoint) in plane.endpoints()? {
            if endpoint.network == bridge {
                endpoint.uplink = uplink;
                plane.put_endpoint(index, &endpoint)?;
            }
        }
        Ok(())
    }
}

fn unrecorded(object: String) -> Error {
    Error::new(Kind::NotFound, "correct", object, "it has no record")
}

fn no_counters() -> Error {
    Error::new(Kind::Failed, "count for", "one more interface", "there are no counters left")
}
