//! `fwd flows`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddrV4},
    time::Duration,
};

use forwarder_common::abi::Endpoint;

use crate::{
    Result,
    cli::{
        args::FlowsArgs,
        session::Session,
        state::{State, not_up},
        target,
    },
    dataplane::{Flow, name_of},
    render::FlowView,
};

/// Lists the flows, of one namespace or of all.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &FlowsArgs) -> Result<()> {
    let target = target::given(&args.target)?;
    let Some(state) = State::read(session)? else {
        return match target {
            Some(target) => Err(not_up(&target, None)),
            None => session.emit(&Vec::<FlowView>::new()),
        };
    };
    let shown: BTreeMap<u32, Endpoint> = match &target {
        Some(target) => state.of(target)?.into_iter().collect(),
        None => state.endpoints.iter().copied().collect(),
    };
    let wanted = |flow: &Flow| target.is_none() || shown.contains_key(&flow.endpoint);
    let flows = state.plane.flows()?.into_iter().filter(wanted);
    let mut views: Vec<_> = flows.map(|flow| view(&flow, shown.get(&flow.endpoint))).collect();
    views.sort_by_cached_key(FlowView::sort_key);
    session.emit(&views)
}

/// A flow as it is shown; `owner` is none for a flow of the host's own.
fn view(flow: &Flow, owner: Option<&Endpoint>) -> FlowView {
    let port = |socket: &SocketAddrV4| has_ports(flow.proto).then(|| socket.port());
    let address = |socket: &SocketAddrV4| IpAddr::V4(*socket.ip());
    FlowView {
        network: owner.map(|endpoint| name_of(&endpoint.network_name)),
        ns: owner.map(|endpoint| name_of(&endpoint.ns)).filter(|ns| !ns.is_empty()),
        proto: protocol(flow.proto),
        src_addr: address(&flow.src),
        src_port: port(&flow.src),
        dst_addr: address(&flow.dst),
        dst_port: port(&flow.dst),
        nat_addr: Some(address(&flow.nat)),
        nat_port: port(&flow.nat),
        icmp_id: flow.icmp_id,
        state: flow.state.into(),
        tx_packets: flow.tx.0,
        tx_bytes: flow.tx.1,
        rx_packets: flow.rx.0,
        rx_bytes: flow.rx.1,
        age_ms: milliseconds(flow.age),
        idle_ms: milliseconds(flow.idle),
        handshake_rtt_us: flow.handshake_rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
    }
}

/// Name of an IP protocol, or its number.
pub(super) fn protocol(number: u8) -> String {
    match i32::from(number) {
        libc::IPPROTO_TCP => "tcp".into(),
        libc::IPPROTO_UDP => "udp".into(),
        libc::IPPROTO_ICMP => "icmp".into(),
        libc::IPPROTO_IPIP => "ipip".into(),
        libc::IPPROTO_IPV6 => "ipv6".into(),
        libc::IPPROTO_GRE => "gre".into(),
        libc::IPPROTO_ESP => "esp".into(),
        libc::IPPROTO_SCTP => "sctp".into(),
        libc::IPPROTO_UDPLITE => "udplite".into(),
        other => other.to_string(),
    }
}

/// Whether flows of the protocol have ports: ICMP has an identifier, others nothing.
fn has_ports(number: u8) -> bool {
    matches!(i32::from(number), libc::IPPROTO_TCP | libc::IPPROTO_UDP)
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
