//! The record of a network, and the program at its bridge.

mod name_server;

use forwarder_common::abi::endpoint_flags;

use super::{super::record, Execute, Runner, unrecorded};
use fwd_base::Result;
use fwd_dataplane::NetworkMetadata;
use fwd_plan::{
    NetworkSpec, Sources,
    object::{NetworkAllows, NetworkBridge, NetworkHook, NetworkKept, NetworkSource, NetworkUplink},
};

impl Execute for NetworkSpec {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.record_network(self)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.remove_network(runner.index(self.index, &self.bridge)?)
    }
}

impl Execute for NetworkBridge {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let (plane, to) = (runner.plane()?, runner.number(&self.bridge)?);
        plane.note_device(to)?;
        plane.move_network(self.from, to)
    }

    /// Where several records went on as one, that of the first that is asked for has everything.
    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        let (plane, bridge) = (runner.plane()?, runner.number(&self.bridge)?);
        if plane.network(bridge)?.is_some() { plane.move_network(bridge, self.from) } else { Ok(()) }
    }
}

impl Execute for NetworkUplink {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.lead_through(self.bridge, self.to)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.lead_through(self.bridge, self.from)
    }
}

impl Execute for NetworkKept {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.keep(&self.bridge, true)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.keep(&self.bridge, false)
    }
}

impl Execute for NetworkAllows {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.know_of_network(&self.network, |known| NetworkMetadata { allows: self.to.clone(), ..known })
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.know_of_network(&self.network, |known| NetworkMetadata { allows: self.from.clone(), ..known })
    }
}

impl Execute for NetworkSource {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.know_of_network(&self.network, |known| with_sources(known, self.to))
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.know_of_network(&self.network, |known| with_sources(known, self.from))
    }
}

fn with_sources(known: NetworkMetadata, Sources { v4, v6 }: Sources) -> NetworkMetadata {
    let (source, source6) =
        (v4.map(|range| (range.first(), range.count())), v6.map(|range| (range.first(), range.count())));
    NetworkMetadata { source, source6, ..known }
}

impl Execute for NetworkHook {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.attach_network(runner.number(&self.bridge)?)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.detach_network(runner.index(self.index, &self.bridge)?)
    }
}

impl Runner<'_> {
    /// Changes what is known of a network besides its record.
    fn know_of_network(&self, name: &str, change: impl FnOnce(NetworkMetadata) -> NetworkMetadata) -> Result<()> {
        let plane = self.plane()?;
        plane.put_network_metadata(&change(plane.network_metadata(name)?))
    }

    fn record_network(&mut self, spec: &NetworkSpec) -> Result<()> {
        let [counters] = if spec.datapath.is_ebpf() { self.take_counters()? } else { [0] };
        let plane = self.plane()?;
        let record = record::of_network(spec, counters)?;
        let index = self.number(&spec.bridge)?;
        plane.note_device(index)?;
        plane.put_network(index, &record)
    }

    /// Notes whether a network stays when its last endpoint goes.
    fn keep(&self, bridge: &str, kept: bool) -> Result<()> {
        let plane = self.plane()?;
        let index = self.number(bridge)?;
        let network = plane.network(index)?;
        let mut network = network.ok_or_else(|| unrecorded(format!("network of bridge {bridge}")))?;
        network.flags &= !endpoint_flags::KEPT;
        network.flags |= if kept { endpoint_flags::KEPT } else { 0 };
        plane.put_network(index, &network)
    }

    /// Lets a network and its endpoints go out by another uplink: the network last, by which the next command sees whether it is done.
    fn lead_through(&self, bridge: u32, uplink: u32) -> Result<()> {
        let plane = self.plane()?;
        let network = plane.network(bridge)?;
        let mut network = network.ok_or_else(|| unrecorded(format!("network of the bridge with index {bridge}")))?;
        for (index, mut endpoint) in plane.endpoints()? {
            if endpoint.network == bridge {
                endpoint.uplink = uplink;
                plane.put_endpoint(index, &endpoint)?;
            }
        }
        network.uplink = uplink;
        plane.put_network(bridge, &network)
    }
}
