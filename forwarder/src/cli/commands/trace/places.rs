//! Whose packets are traced, and what the interfaces of records are called.

use std::{collections::BTreeMap, net::IpAddr};

use forwarder_common::{
    abi::{Endpoint, NO_VERDICT, TracePoint, TraceRecord},
    types::verdict::{DropReason, PuntReason},
};

use super::args::TraceArgs;
use crate::{
    Error, Kind, Result,
    dataplane::{Described, TraceFilter, flow_state},
    netlink::Netlink,
    query::State,
    reconcile::{Datapath, TargetRef},
    render::{PlaceView, TraceView},
    text::Untrusted,
    trace::{FlowPattern, Packet},
};

/// The endpoints of a host, and the names of its interfaces.
pub(super) struct Places {
    /// Those whose packets are meant, by their host-side veth.
    meant: BTreeMap<u32, Described>,
    /// They were named: verdicts about others are not meant.
    named: bool,
    endpoints: BTreeMap<u32, Described>,
    names: BTreeMap<u32, String>,
}

impl Places {
    /// Those of the host; `target` is meant.
    pub(super) fn of(state: &State, target: Option<&TargetRef>) -> Result<Self> {
        let found = target.map(|target| state.of(target)).transpose()?;
        let shown = found.as_ref().unwrap_or(&state.endpoints);
        if shown.iter().all(|(_, endpoint)| Datapath::of_flags(endpoint.record.flags) == Datapath::Kernel) {
            let why = "with --datapath kernel no program of fwd sees the packets";
            let error = Error::new(Kind::Unsupported, "trace", "packets that the kernel forwards", why);
            return Err(error.remedy("`fwd latency` times them; `fwd up` without --datapath kernel has programs"));
        }
        let names = Netlink::here()?.links()?.into_iter().map(|link| (link.index, link.name)).collect();
        let endpoints = state.endpoints.iter().cloned().collect();
        Ok(Self { meant: shown.iter().cloned().collect(), named: found.is_some(), endpoints, names })
    }

    /// Whose packets are traced.
    pub(super) fn label(&self, target: Option<String>) -> String {
        match (target, self.endpoints.len()) {
            (Some(target), _) => target,
            (None, 1) => "1 endpoint".into(),
            (None, count) => format!("{count} endpoints"),
        }
    }

    /// What the programs can tell for themselves of what is asked for.
    pub(super) fn filter(&self, args: &TraceArgs) -> TraceFilter {
        let pattern = args.flow.clone().unwrap_or_default();
        let FlowPattern { proto, from, to } = pattern;
        let own = |addr: IpAddr| self.endpoints.iter().find(|(_, endpoint)| has(endpoint, addr));
        let only = match (self.named, self.meant.len()) {
            (true, 1) => self.meant.iter().next(),
            (true, _) => None,
            // A flow of an endpoint, by its address.
            (false, _) => [from.addr, to.addr].into_iter().flatten().find_map(own),
        };
        // Outside a flow has another address than inside, but for that of its peer.
        let peers = [from.addr, to.addr].map(|addr| addr.filter(|addr| own(*addr).is_none()));
        TraceFilter {
            endpoint: only.map(|(ifindex, endpoint)| (*ifindex, addresses(endpoint))),
            drops: args.drops,
            proto,
            peers,
            no_others: args.flow.is_none(),
        }
    }

    /// Whether the packet is from, to or of one of those that are meant. Where none was named, that is asked of packets alone about which
    /// nothing was decided: most of those are the host's own.
    pub(super) fn are_meant(&self, record: &TraceRecord, before: &Packet, after: &Packet) -> bool {
        if !self.named && record.code != NO_VERDICT {
            return true;
        }
        let is_one = |ifindex: u32| self.meant.contains_key(&ifindex);
        let addresses = [before.src, before.dst, after.src, after.dst].into_iter().flatten();
        [record.ifindex, record.ingress, record.endpoint].into_iter().any(is_one)
            || addresses.into_iter().any(|addr| self.meant.values().any(|endpoint| has(endpoint, addr)))
    }

    /// Whether the user has named whose packets are meant.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// The longest name of a place, as far as that is known.
    pub(super) fn width(&self) -> usize {
        let uplinks =
            self.endpoints.values().map(|endpoint| format!("from_uplink {}", self.name(endpoint.record.uplink)));
        let names = self.endpoints.values().filter_map(|endpoint| PlaceView::of(endpoint).short());
        let names = names.map(|place| format!("from_ns {place}"));
        uplinks.chain(names).map(|place| place.chars().count()).max().unwrap_or(0)
    }

    /// The record as it is shown, but for times that depend on others.
    pub(super) fn view(&self, record: &TraceRecord, before: &Packet, after: &Packet) -> TraceView {
        let owner =
            [record.endpoint, record.ifindex, record.ingress].into_iter().find_map(|it| self.endpoints.get(&it));
        let (verdict, reason) = verdict(record.code);
        let nat_source = before.src != after.src || before.src_port != after.src_port;
        let changed = nat_source || before.dst != after.dst || before.dst_port != after.dst_port;
        let is_query = before.icmp_id.is_some() && before.icmp_id != after.icmp_id;
        let (nat_addr, nat_port) = if nat_source { (after.src, after.src_port) } else { (after.dst, after.dst_port) };
        TraceView {
            took_ns: record.took,
            hook: point(record.point),
            ifname: self.name(record.ifindex),
            place: owner.map(PlaceView::of).unwrap_or_default(),
            proto: before.protocol(),
            src_addr: before.src,
            src_port: before.src_port,
            dst_addr: before.dst,
            dst_port: before.dst_port,
            tcp_flags: before.flags(),
            message: before.message(),
            icmp_id: before.icmp_id,
            ip_id: before.ip_id,
            fragment: before.fragment,
            length: record.length,
            segments: record.segments.max(1),
            verdict: verdict.into(),
            reason: reason.map(str::to_owned),
            nat_addr: nat_addr.filter(|_| changed || is_query),
            nat_port: nat_port.or(after.icmp_id).filter(|_| changed || is_query),
            nat_source: nat_source && changed,
            flow: (record.slot != 0).then_some(record.slot),
            state: flow_state(record).map(str::to_owned),
            ..TraceView::default()
        }
    }

    /// The name of an interface, or its number if it has gone.
    fn name(&self, ifindex: u32) -> Untrusted {
        self.names.get(&ifindex).cloned().unwrap_or_else(|| format!("#{ifindex}")).into()
    }
}

/// The addresses of an endpoint, of IPv4 and of IPv6.
fn addresses(endpoint: &Described) -> [Option<IpAddr>; 2] {
    let Endpoint { v4, v6, .. } = endpoint.record;
    [(v4 != [0; 4]).then_some(v4.into()), (v6 != [0; 16]).then_some(v6.into())]
}

/// Whether an address is the endpoint's.
fn has(endpoint: &Described, addr: IpAddr) -> bool {
    addresses(endpoint).contains(&Some(addr))
}

/// The packet of a record, as it came and as it went.
pub(super) fn packets(record: &TraceRecord) -> (Packet, Packet) {
    let ethertype = u16::from_be((record.protocol & 0xffff) as u16);
    let read = |headers: &[u8], length: u32| Packet::read(ethertype, &headers[..headers.len().min(length as usize)]);
    (read(&record.before, record.before_len), read(&record.after, record.after_len))
}

/// The name of a hook.
fn point(number: u32) -> String {
    let known = TracePoint::ALL.into_iter().find(|point| *point as u32 == number);
    known.map_or_else(|| format!("hook {number}"), |point| point.name().into())
}

/// What became of a packet, and why.
fn verdict(code: u32) -> (&'static str, Option<&'static str>) {
    if let Some(punt) = PuntReason::ALL.iter().find(|punt| **punt as u32 == code) {
        return ("punted", Some(punt.name()));
    }
    if let Some(drop) = DropReason::ALL.iter().find(|drop| **drop as u32 == code) {
        return ("dropped", Some(drop.name()));
    }
    match code {
        0 => ("forwarded", None),
        1 => ("delivered", None),
        NO_VERDICT => ("passed", None),
        _ => ("unknown", None),
    }
}
