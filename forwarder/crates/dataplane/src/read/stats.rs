//! Counters as users see them: per interface, hook, verdict and reason.

use std::{collections::BTreeMap, net::IpAddr};

use aya::{
    maps::{Array, MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use forwarder_common::{
    abi::{Counter, CounterBlock, Endpoint, RETRY_CLASSES, TrafficBlock, endpoint_flags},
    types::verdict::{DropReason, PuntReason, Verdict},
};

use crate::{Dataplane, Described, object::maps, read::field::name_of};
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_kernel::netlink::{
    Netlink,
    nft::{self, RateRule},
};

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The interface.
    pub ifname: String,
    /// `from_ns`, `to_ns`, `to_network`, `from_uplink` or `to_uplink`.
    pub hook: &'static str,
    /// `forwarded`, `punted` or `dropped`.
    pub verdict: &'static str,
    /// Why it was punted or dropped.
    pub reason: Option<&'static str>,
    /// Packets on the wire.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

/// Hooks that packets are counted at: of a namespace, of its network, and of the uplink.
pub const HOOK_NAMES: [&str; 5] = ["from_ns", "to_ns", "to_network", "from_uplink", "to_uplink"];

/// Verdicts that are counted, good news first.
pub const VERDICTS: [&str; 3] = ["forwarded", "punted", "dropped"];

/// What an endpoint sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that left the namespace by the fast path, on the wire.
    pub tx_packets: u64,
    /// Their IP bytes.
    pub tx_bytes: u64,
    /// Packets that were delivered into the namespace by the fast path, on the wire.
    pub rx_packets: u64,
    /// Their IP bytes.
    pub rx_bytes: u64,
}

/// The counters of all hooks.
struct Blocks {
    shared: Array<MapData, CounterBlock>,
    /// Of the common verdicts, per CPU.
    traffic: PerCpuArray<MapData, TrafficBlock>,
}

impl Dataplane {
    fn counters(&self) -> Result<Blocks> {
        Ok(Blocks { shared: self.array(maps::COUNTERS)?, traffic: self.per_cpu_array(maps::TRAFFIC)? })
    }

    /// Sets blocks to zero.
    pub(crate) fn reset_counters(&self, blocks: &[u32]) -> Result<()> {
        let Blocks { mut shared, mut traffic } = self.counters()?;
        let cpus = nr_cpus().map_err(|(_, error)| error).doing("count", "the CPUs")?.get() as usize;
        for &block in blocks {
            let zero = PerCpuValues::try_from(vec![TrafficBlock::default(); cpus]).doing("reset", "counters")?;
            traffic.set(block, zero, 0).doing("write", maps::TRAFFIC)?;
            shared.set(block, &CounterBlock::default(), 0).doing("write", maps::COUNTERS)?;
        }
        Ok(())
    }

    /// How many searches for a port needed how many retries, by their classes ([`RETRY_CLASSES`]); the last are those
    /// that found none.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn port_retries(&self) -> Result<[u64; RETRY_CLASSES]> {
        let map = self.per_cpu_array(maps::PORT_RETRIES)?;
        let mut classes = [0; RETRY_CLASSES];
        for (index, class) in (0..).zip(&mut classes) {
            *class = map.get(&index, 0).doing("read", maps::PORT_RETRIES)?.iter().sum();
        }
        Ok(classes)
    }

    /// What an endpoint sent and received by the fast path.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn endpoint_traffic(&self, endpoint: &Endpoint) -> Result<Traffic> {
        let block = sum(&self.counters()?, endpoint.counters)?;
        let tx = counter(&block, Verdict::Forwarded);
        let rx = counter(&block, Verdict::Delivered);
        Ok(Traffic { tx_packets: tx.packets, tx_bytes: tx.bytes, rx_packets: rx.packets, rx_bytes: rx.bytes })
    }

    /// Every counter, also those at zero, by uplink and endpoint.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn stats(&self) -> Result<Vec<Stat>> {
        let counters = self.counters()?;
        let [from_ns, to_ns, to_network, from_uplink, to_uplink] = HOOK_NAMES;
        let mut stats = Vec::new();
        for (_, uplink) in self.uplinks()? {
            let ifname = name_of(&uplink.ifname);
            push(&mut stats, &ifname, from_uplink, &sum(&counters, uplink.counters_in)?);
            push(&mut stats, &ifname, to_uplink, &sum(&counters, uplink.counters_out)?);
        }
        for (_, network) in self.networks()? {
            if network.counters != 0 {
                push(&mut stats, &name_of(&network.bridge), to_network, &sum(&counters, network.counters)?);
            }
        }
        let endpoints = self.described_endpoints()?;
        let limited = |(_, it): &(u32, Described)| it.record.flags & endpoint_flags::LIMITED != 0;
        let queues =
            if endpoints.iter().any(limited) { Netlink::here()?.dropped_by_shapers()? } else { BTreeMap::new() };
        // Where no program counts, nftables does.
        let by_kernel = |it: &(u32, Described)| limited(it) && it.1.record.flags & endpoint_flags::KERNEL_DATAPATH != 0;
        let rates = if endpoints.iter().any(by_kernel) { nft::rate_rules()? } else { Vec::new() };
        for (index, endpoint) in endpoints {
            let mut block = sum(&counters, endpoint.record.counters)?;
            dropped_by(&rates, &endpoint.record, &mut block);
            let ifname = endpoint.metadata.host_if;
            push(&mut stats, &ifname, from_ns, &block);
            stats.push(stat(&ifname, to_ns, VERDICTS[0], None, counter(&block, Verdict::Delivered)));
            // What waits to be delivered waits in a queue of the kernel's, which counts no bytes.
            let dropped = Counter { packets: queues.get(&index).copied().unwrap_or_default(), bytes: 0 };
            stats.push(stat(&ifname, to_ns, VERDICTS[2], Some(DropReason::RateExceeded.name()), dropped));
        }
        let nobody = sum(&counters, 0)?;
        push(&mut stats, "", from_ns, &nobody);
        Ok(stats)
    }
}

/// A block, what is counted per CPU summed over them.
fn sum(counters: &Blocks, block: u32) -> Result<CounterBlock> {
    let mut total = counters.shared.get(&block, 0).doing("read", maps::COUNTERS)?;
    for cpu in counters.traffic.get(&block, 0).doing("read", maps::TRAFFIC)?.iter() {
        for (sum, counter) in total.by_code.iter_mut().zip(&cpu.by_code) {
            sum.packets += counter.packets;
            sum.bytes += counter.bytes;
        }
    }
    Ok(total)
}

/// Adds what rules of nftables have dropped of what an endpoint sent, which is none where programs forward.
fn dropped_by(rates: &[RateRule], endpoint: &Endpoint, block: &mut CounterBlock) {
    let addresses = [IpAddr::from(endpoint.v4), IpAddr::from(endpoint.v6)];
    let own = rates.iter().filter(|rule| rule.address().is_some_and(|address| addresses.contains(&address)));
    let code = Verdict::Dropped(DropReason::RateExceeded).code().raw() as usize;
    for (counter, rule) in block.by_code.get_mut(code).into_iter().zip(own) {
        counter.packets += rule.dropped.0;
        counter.bytes += rule.dropped.1;
    }
}

fn counter(block: &CounterBlock, verdict: Verdict) -> Counter {
    block.by_code.get(verdict.code().raw() as usize).copied().unwrap_or_default()
}

/// One row per verdict of a hook.
fn push(stats: &mut Vec<Stat>, ifname: &str, hook: &'static str, block: &CounterBlock) {
    let [forwarded, punted, dropped] = VERDICTS;
    stats.push(stat(ifname, hook, forwarded, None, counter(block, Verdict::Forwarded)));
    for &reason in PuntReason::ALL {
        stats.push(stat(ifname, hook, punted, Some(reason.name()), counter(block, Verdict::Punted(reason))));
    }
    for &reason in DropReason::ALL {
        stats.push(stat(ifname, hook, dropped, Some(reason.name()), counter(block, Verdict::Dropped(reason))));
    }
}

fn stat(
    ifname: &str,
    hook: &'static str,
    verdict: &'static str,
    reason: Option<&'static str>,
    counter: Counter,
) -> Stat {
    Stat { ifname: ifname.into(), hook, verdict, reason, packets: counter.packets, bytes: counter.bytes }
}

impl Stat {
    /// The sum of what matches, for tests and summaries.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if no row matches: the name is misspelt.
    pub fn total(stats: &[Self], matches: impl Fn(&Self) -> bool) -> Result<u64> {
        let mut rows = stats.iter().filter(|stat| matches(stat)).peekable();
        if rows.peek().is_none() {
            return Err(Error::new(Kind::NotFound, "sum up", "counters", "no row matches"));
        }
        Ok(rows.map(|stat| stat.packets).sum())
    }
}
