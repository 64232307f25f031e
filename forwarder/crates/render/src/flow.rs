//! `fwd flows`.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use serde::Serialize;

use super::{
    Listing, Look, Tone,
    table::{Grid, Holds, plain, toned},
    units,
};
use fwd_base::text::Untrusted;

/// One translated flow. `tx` is namespace → outside.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct FlowView {
    /// Network; none for a flow of the host's own.
    pub network: Option<Untrusted>,
    /// Name of the namespace, if it has one.
    pub ns: Option<Untrusted>,
    /// Interface inside; none for a flow of the host's own.
    pub ns_if: Option<Untrusted>,
    /// `tcp`, `udp`, `icmp`, or the protocol's number.
    pub proto: String,
    /// Source as the namespace sees it.
    pub src_addr: IpAddr,
    /// Source port as the namespace sees it.
    pub src_port: Option<u16>,
    /// Destination.
    pub dst_addr: IpAddr,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// Source address as the outside sees it.
    pub nat_addr: Option<IpAddr>,
    /// Source port as the outside sees it.
    pub nat_port: Option<u16>,
    /// ICMP echo identifier as the namespace sees it.
    pub icmp_id: Option<u16>,
    /// `half-open`, `answered`, `established` or `closing`.
    pub state: String,
    /// Packets out, as on the wire.
    pub tx_packets: u64,
    /// IP bytes out.
    pub tx_bytes: u64,
    /// Packets in, as on the wire.
    pub rx_packets: u64,
    /// IP bytes in.
    pub rx_bytes: u64,
    /// Since the first packet, milliseconds.
    pub age_ms: u64,
    /// Since the last packet, milliseconds.
    pub idle_ms: u64,
    /// Round trip of the TCP handshake, microseconds, if it is known.
    pub handshake_rtt_us: Option<u64>,
}

impl FlowView {
    fn owner(&self) -> (String, Tone) {
        match (&self.ns, &self.network) {
            (Some(ns), _) => match self.ns_if.as_ref().filter(|ns_if| ns_if.exact() != "eth0") {
                Some(ns_if) => plain(format!("{ns} {ns_if}")),
                None => plain(ns),
            },
            (None, Some(_)) => toned("(unnamed)", Tone::Dim),
            (None, None) => toned("(host)", Tone::Dim),
        }
    }

    fn network(&self) -> (String, Tone) {
        self.network.as_ref().map_or_else(|| toned("-", Tone::Dim), plain)
    }

    fn source(&self) -> String {
        match self.icmp_id {
            Some(id) => format!("{} id {id}", self.src_addr),
            None => socket(self.src_addr, self.src_port),
        }
    }

    fn nat(&self) -> String {
        self.nat_addr.map_or_else(|| "-".into(), |addr| socket(addr, self.nat_port))
    }

    fn rtt(&self) -> (String, Tone) {
        self.handshake_rtt_us.map_or_else(|| toned("-", Tone::Dim), |us| plain(units::latency(us.saturating_mul(1000))))
    }

    fn state_tone(&self) -> Tone {
        match self.state.as_str() {
            "established" => Tone::Good,
            "half-open" => Tone::Warn,
            _ => Tone::Dim,
        }
    }
}

/// `10.0.0.1:80`, `[2001:db8::1]:80`, or the address alone.
pub(super) fn socket(addr: IpAddr, port: Option<u16>) -> String {
    match (addr, port) {
        (addr, None) => addr.to_string(),
        (IpAddr::V4(addr), Some(port)) => format!("{addr}:{port}"),
        (IpAddr::V6(addr), Some(port)) => format!("[{addr}]:{port}"),
    }
}

impl Listing for FlowView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if items.is_empty() {
            return writeln!(out, "no flows");
        }
        let wide = wide(items, look);
        match look.width {
            Some(width) if wide.natural_width() > width => narrow(items, look).write(0, out),
            _ => wide.write(0, out),
        }
    }
}

/// One line a flow.
fn wide(flows: &[FlowView], look: &Look) -> Grid {
    let columns = [
        ("NETWORK", Holds::Name),
        ("NAMESPACE", Holds::Name),
        ("PROTO", Holds::Text),
        ("SOURCE", Holds::Text),
        ("DESTINATION", Holds::Text),
        ("NAT", Holds::Text),
        ("STATE", Holds::Text),
        ("TX PKTS", Holds::Number),
        ("BYTES", Holds::Number),
        ("RX PKTS", Holds::Number),
        ("BYTES", Holds::Number),
        ("AGE", Holds::Number),
        ("IDLE", Holds::Number),
        ("RTT", Holds::Number),
    ];
    let mut grid = Grid::new(look, &columns);
    for flow in flows {
        grid.row(vec![
            flow.network(),
            flow.owner(),
            plain(&flow.proto),
            plain(flow.source()),
            plain(socket(flow.dst_addr, flow.dst_port)),
            plain(flow.nat()),
            toned(&flow.state, flow.state_tone()),
            plain(units::packets(flow.tx_packets)),
            plain(units::bytes(flow.tx_bytes)),
            plain(units::packets(flow.rx_packets)),
            plain(units::bytes(flow.rx_bytes)),
            plain(units::span(flow.age_ms)),
            plain(units::span(flow.idle_ms)),
            flow.rtt(),
        ]);
    }
    grid
}

/// Two lines a flow, for terminals where one would be wrapped.
fn narrow(flows: &[FlowView], look: &Look) -> Grid {
    let columns = [
        ("NS\nNETWORK", Holds::Name),
        ("FLOW\nSTATE, NAT, RTT", Holds::Text),
        ("PKTS\nTX/RX", Holds::Number),
        ("BYTES\nTX/RX", Holds::Number),
        ("AGE\nIDLE", Holds::Number),
    ];
    let mut grid = Grid::new(look, &columns);
    for flow in flows {
        let (tuple, nat) = (format!("{} {}", flow.proto, flow.source()), flow.nat());
        let destination = socket(flow.dst_addr, flow.dst_port);
        let rtt = flow.handshake_rtt_us.map(|_| format!(", {}", flow.rtt().0)).unwrap_or_default();
        grid.row(vec![
            plain(format!("{}\n{}", flow.owner().0, flow.network().0)),
            plain(format!("{tuple} → {destination}\n{}, as {nat}{rtt}", flow.state)),
            plain(format!("{}\n{}", units::packets(flow.tx_packets), units::packets(flow.rx_packets))),
            plain(format!("{}\n{}", units::bytes(flow.tx_bytes), units::bytes(flow.rx_bytes))),
            plain(format!("{}\n{}", units::span(flow.age_ms), units::span(flow.idle_ms))),
        ]);
    }
    grid
}
