//! The record of an endpoint, and the programs at its host-side veth.

mod taken;

use forwarder_common::abi::{Endpoint, endpoint_flags};

use super::{super::record, Execute, Runner, unrecorded};
use fwd_base::{HostName, Result};
use fwd_dataplane::{Backend, Described, Rule, XdpHook};
use fwd_kernel::{netlink::XdpMode, netns::Netns};
use fwd_plan::{
    Announced, EndpointSpec, Limits, TargetRef,
    object::{
        EndpointAttach, EndpointBridge, EndpointHook, EndpointLimits, EndpointNames, EndpointNetns, EndpointPolicy,
        EndpointXdp,
    },
};

impl Execute for EndpointSpec {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.record_endpoint(self)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.remove_endpoint(runner.index(self.index, &self.host_if)?)
    }
}

impl Execute for EndpointBridge {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.rehome(&self.host_if, runner.number(&self.bridge)?)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.rehome(&self.host_if, self.from)
    }
}

impl Execute for EndpointHook {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.attach_endpoint(runner.number(&self.host_if)?, self.attach)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.detach_endpoint(runner.index(self.index, &self.host_if)?)
    }
}

impl Execute for EndpointAttach {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.attach_otherwise(&self.host_if, self.to)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.attach_otherwise(&self.host_if, self.from)
    }
}

impl Execute for EndpointLimits {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.shape((&self.host_if, &self.ns, &self.ns_if), self.mtu, self.to)?;
        runner.limit(&self.host_if, self.to)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.shape((&self.host_if, &self.ns, &self.ns_if), self.mtu, self.from)?;
        runner.limit(&self.host_if, self.from)
    }
}

impl Execute for EndpointNames {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.call(&self.host_if, &self.to)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.call(&self.host_if, &self.from)
    }
}

impl Execute for EndpointNetns {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let ns = runner.namespace(&self.ns)?;
        let place = Whereabouts { ifname: &self.ns_if, cookie: ns.cookie()?, inode: ns.inode()?, awaited: false };
        runner.move_to(&self.host_if, &place)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        let host = Netns::current()?;
        let place = Whereabouts { ifname: &self.from, cookie: runner.cookie, inode: host.inode()?, awaited: true };
        runner.move_to(&self.host_if, &place)
    }
}

/// Where the interface inside is.
struct Whereabouts<'a> {
    ifname: &'a str,
    cookie: u64,
    inode: u64,
    /// It waits there for another namespace.
    awaited: bool,
}

impl Execute for EndpointPolicy {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.give_rules(&self.host_if, &self.to)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.give_rules(&self.host_if, &self.from)
    }
}

impl Execute for EndpointXdp {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.attach_endpoint_xdp(&self.host_if, &self.uplink)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.detach_xdp(XdpHook::FromNs, runner.index(self.index, &self.host_if)?)
    }
}

impl Runner<'_> {
    fn record_endpoint(&mut self, spec: &EndpointSpec) -> Result<()> {
        if spec.limits != Limits::default() {
            self.shape((&spec.host_if, &spec.target, &spec.id.ifname), spec.mtu, spec.limits)?;
        }
        let [counters] = self.take_counters()?;
        let plane = self.plane()?;
        let host_veth = self.number(&spec.host_if)?;
        let bridge = self.number(&spec.bridge)?;
        // First: an address is rather skipped than given out twice in a row.
        plane.note_last(bridge, spec.number().to_be_bytes())?;
        let ns = self.namespace(&spec.target)?;
        let cookie = ns.cookie()?;
        plane.note_device(host_veth)?;
        let metadata = plane.put_metadata(&spec.metadata(ns.inode()?), cookie)?;
        let numbers = record::Numbers { network: bridge, counters, cookie, metadata };
        plane.put_limited_endpoint(host_veth, &record::of_endpoint(spec, &numbers), &record::of_limits(spec.limits))?;
        // Those of IPv6 are told once the kernel answers for them.
        self.announce(spec.uplink, spec.source.of(Announced { v6: false, ..spec.announce }).addresses());
        Ok(())
    }

    /// Has what leaves wait inside, and what is delivered at the host-side veth. They go with the veth pair.
    fn shape(&mut self, (host_if, ns, ns_if): (&str, &TargetRef, &str), mtu: u32, limits: Limits) -> Result<()> {
        self.netlink.shape(self.number(host_if)?, limits.inbound.shaper(mtu))?;
        self.within(ns, ns_if, |netlink, link| netlink.shape(link, limits.outbound.shaper(mtu)))
    }

    /// Lets an endpoint send and get something else from now on, its present flows too.
    fn limit(&self, host_if: &str, limits: Limits) -> Result<()> {
        let plane = self.plane()?;
        let index = self.number(host_if)?;
        let endpoint = plane.endpoint(index)?.ok_or_else(|| unrecorded(format!("endpoint {host_if}")))?;
        plane.put_limited_endpoint(index, &endpoint, &record::of_limits(limits))
    }

    /// Has an endpoint be found by these names from now on, besides that of its namespace.
    fn call(&self, host_if: &str, aliases: &[HostName]) -> Result<()> {
        let plane = self.plane()?;
        let index = self.number(host_if)?;
        let endpoint = plane.endpoint(index)?.ok_or_else(|| unrecorded(format!("endpoint {host_if}")))?;
        let Described { record, mut metadata, unreadable: _ } = plane.describe(index, endpoint)?;
        metadata.aliases = aliases.to_vec();
        plane.put_metadata(&metadata, record.netns_cookie).map(drop)
    }

    /// Says that the interface inside is somewhere else now. The record last: as long as it says what it did, this can be done again.
    fn move_to(&self, host_if: &str, place: &Whereabouts<'_>) -> Result<()> {
        let plane = self.plane()?;
        let index = self.number(host_if)?;
        let found = plane.endpoint(index)?.ok_or_else(|| unrecorded(format!("endpoint {host_if}")))?;
        let Described { record, mut metadata, unreadable: _ } = plane.describe(index, found)?;
        place.ifname.clone_into(&mut metadata.id.ifname);
        metadata.netns.inode = place.inode;
        let key = plane.put_metadata(&metadata, place.cookie)?;
        let own = plane.publications()?.into_iter().filter(|it| it.endpoint == index);
        own.into_iter().try_for_each(|it| plane.publish(index, place.cookie, &it.ports))?;
        let flags = record.flags & !endpoint_flags::AWAITED;
        let awaited = if place.awaited { endpoint_flags::AWAITED } else { 0 };
        let moved = Endpoint { netns_cookie: place.cookie, metadata: key, flags: flags | awaited, ..record };
        plane.put_endpoint(index, &moved)?;
        if record.metadata == key { Ok(()) } else { plane.forget_metadata(record.metadata) }
    }

    /// Lets an endpoint speak with others from now on than before. What is forbidden now ends.
    fn give_rules(&self, host_if: &str, rules: &[Rule]) -> Result<()> {
        let plane = self.plane()?;
        let index = self.number(host_if)?;
        let endpoint = plane.endpoint(index)?.ok_or_else(|| unrecorded(format!("endpoint {host_if}")))?;
        plane.set_policy(index, &endpoint, rules)
    }

    /// A frame that the driver of the host-side veth redirects is lost if the uplink takes none: then the kernel redirects packets.
    fn attach_endpoint_xdp(&self, host_if: &str, uplink: &str) -> Result<()> {
        let uplink = self.link(uplink)?;
        let generic = (!self.netlink.takes_frames(&uplink)?).then_some(XdpMode::Generic);
        self.plane()?.attach_xdp(XdpHook::FromNs, self.number(host_if)?, generic).map(drop)
    }

    /// Attaches the program of a host-side veth by `backend` and no other. At each moment one of them translates.
    fn attach_otherwise(&self, host_if: &str, backend: Backend) -> Result<()> {
        let plane = self.plane()?;
        let index = self.number(host_if)?;
        let endpoint = plane.endpoint(index)?;
        let mut endpoint = endpoint.ok_or_else(|| unrecorded(format!("endpoint {host_if}")))?;
        plane.attach_endpoint_too(index, backend)?;
        match backend {
            Backend::Tcx => endpoint.flags &= !endpoint_flags::CLSACT,
            Backend::Clsact => endpoint.flags |= endpoint_flags::CLSACT,
            // The data path says so, which stays.
            Backend::Netkit => {}
        }
        plane.put_endpoint(index, &endpoint)?;
        plane.detach_endpoint_but(index, backend)
    }

    /// Points an endpoint at another bridge.
    fn rehome(&self, host_if: &str, bridge: u32) -> Result<()> {
        let plane = self.plane()?;
        let mut endpoints = plane.described_endpoints()?.into_iter();
        let endpoint = endpoints.find(|(_, endpoint)| endpoint.metadata.host_if == host_if);
        let (index, Described { record: mut endpoint, .. }) =
            endpoint.ok_or_else(|| unrecorded(format!("endpoint {host_if}")))?;
        endpoint.network = bridge;
        plane.put_endpoint(index, &endpoint)
    }
}
