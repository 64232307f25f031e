//! How full the flow table and the range of ports are: below `fwd ls`, and `fwd stats --nat`.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::IpAddr,
};

use serde::Serialize;

use super::{
    EndpointView, FlowCounts, Listing as _, Look, NetworkView, Tone, View,
    facts::Facts,
    flow::socket,
    table::{Grid, Holds, plain, toned},
    units,
};

/// Fill from which a share is shown as a warning, percent.
const FULL: f64 = 90.0;
/// Destinations that are shown as text.
const SHOWN: usize = 10;

/// The settings of the flow table of the host.
#[derive(Clone, Debug, Serialize)]
pub struct TableView {
    /// Flows that may be established at once.
    pub max_flows: u32,
    /// The same for one namespace.
    pub max_flows_per_ns: u32,
    /// First and last port of the NAT range.
    pub nat_ports: (u16, u16),
    /// Idle times that end a flow, milliseconds, by their names on the command line.
    pub timeouts: BTreeMap<&'static str, u64>,
    /// Memory that it takes with all other maps, bytes.
    pub memory_bytes: u64,
}

impl TableView {
    /// `65536 flows (65536 of a namespace), ports 1024-29999, 39.4 MB`.
    pub(super) fn summary(&self) -> String {
        let Self { max_flows, max_flows_per_ns, nat_ports: (first, last), memory_bytes, .. } = self;
        let memory = units::bytes(*memory_bytes);
        format!("{max_flows} flows ({max_flows_per_ns} of a namespace), ports {first}-{last}, {memory}")
    }

    /// Number of ports of the NAT range.
    fn ports(&self) -> u32 {
        u32::from(self.nat_ports.1).saturating_sub(self.nat_ports.0.into()) + 1
    }
}

/// External ports that are taken towards one destination.
#[derive(Clone, Debug, Serialize)]
pub struct PortsView {
    /// The external address.
    pub address: IpAddr,
    /// `tcp`, `udp`, `icmp` or `icmp6`.
    pub proto: String,
    /// Towards whom; none: all destinations.
    pub dst_addr: Option<IpAddr>,
    /// Its port, if it has one.
    pub dst_port: Option<u16>,
    /// Ports of the NAT range that are taken.
    pub taken: u32,
}

impl PortsView {
    /// `203.0.113.1:80/tcp`.
    fn destination(&self) -> String {
        match (self.dst_addr, self.dst_port) {
            (Some(address), port) => format!("{}/{}", socket(address, port), self.proto),
            (None, _) => format!("all/{}", self.proto),
        }
    }
}

/// Searches for a port that failed a number of times before one was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RetriesView {
    /// At least so often.
    pub least: u32,
    /// At most so often.
    pub most: u32,
    /// Number of searches.
    pub searches: u64,
}

/// The result of `fwd stats --nat`.
#[derive(Clone, Debug, Serialize)]
pub struct NatView {
    /// The settings.
    #[serde(flatten)]
    pub table: TableView,
    /// Flows of all namespaces, and of the host's own sockets.
    pub flows: FlowCounts,
    /// Taken ports by external address, protocol and destination, the fullest first.
    pub ports: Vec<PortsView>,
    /// How many searches for a port needed how many retries.
    pub port_retries: Vec<RetriesView>,
    /// Searches that found none.
    pub ports_exhausted: u64,
    /// Flows that were ended for having been idle.
    pub idle_ended: u64,
    /// The longest that the timer which ends them held its CPU, microseconds.
    pub sweep_longest_us: u64,
}

impl NatView {
    fn percent(&self, ports: &PortsView) -> f64 {
        f64::from(ports.taken) * 100.0 / f64::from(self.table.ports())
    }

    /// `12 of 28976 (0.0 %)`.
    fn share(&self, ports: &PortsView) -> String {
        format!("{} of {} ({:.1} %)", ports.taken, self.table.ports(), self.percent(ports))
    }

    /// The lines below `fwd ls`.
    fn facts(&self) -> Facts {
        let FlowCounts { half_open, established, closing, .. } = self.flows;
        let fullest = self.ports.first().map(|ports| format!("{} towards {}", self.share(ports), ports.destination()));
        let memory = units::bytes(self.table.memory_bytes);
        let others = match half_open + closing {
            0 => String::new(),
            _ => format!(" ({half_open} new, {closing} closing)"),
        };
        let mut facts = Facts::default();
        facts
            .add("flow table", format!("{established} of {} flows{others}, {memory}", self.table.max_flows))
            .add("ports", fullest.unwrap_or_default());
        facts
    }
}

/// A share that is nearly the whole.
const fn fill_tone(percent: f64) -> Tone {
    if percent >= FULL { Tone::Warn } else { Tone::Plain }
}

impl View for NatView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let FlowCounts { half_open, established, closing, .. } = self.flows;
        let time = |(name, milliseconds): (&&str, &u64)| format!("{name} {}", units::span(*milliseconds));
        let times: Vec<String> = self.table.timeouts.iter().map(time).collect();
        let mut facts = Facts::default();
        facts
            .add("flow table", self.table.summary())
            .add("flows", format!("{established} established, {half_open} new, {closing} closing"));
        for times in times.chunks(3) {
            facts.add("idle times", times.join(", "));
        }
        if self.sweep_longest_us > 0 {
            facts.add(
                "expiry",
                format!("{} idle flows ended, at most {} µs at a time", self.idle_ended, self.sweep_longest_us),
            );
        }
        facts.write(look, out)?;
        if !self.ports.is_empty() {
            writeln!(out, "\nports taken:")?;
            let columns =
                [("ADDRESS", Holds::Text), ("TOWARDS", Holds::Text), ("PORTS", Holds::Number), ("FILL", Holds::Number)];
            let mut grid = Grid::new(look, &columns);
            for ports in self.ports.iter().take(SHOWN) {
                let percent = self.percent(ports);
                let fill = toned(format!("{percent:.1} %"), fill_tone(percent));
                grid.row(vec![plain(ports.address), plain(ports.destination()), plain(ports.taken), fill]);
            }
            grid.write(2, out)?;
            if self.ports.len() > SHOWN {
                writeln!(out, "  and {} more destinations", self.ports.len() - SHOWN)?;
            }
        }
        self.retries(look, out)
    }
}

impl NatView {
    /// The histogram, as far as there is anything in it.
    fn retries(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let last = self.port_retries.iter().rposition(|class| class.searches > 0);
        if last.is_none() && self.ports_exhausted == 0 {
            return Ok(());
        }
        writeln!(out, "\nsearches for a port:")?;
        let mut grid = Grid::new(look, &[("RETRIES", Holds::Text), ("SEARCHES", Holds::Number)]);
        for RetriesView { least, most, searches } in self.port_retries.iter().take(last.map_or(0, |last| last + 1)) {
            let retries = if least == most { least.to_string() } else { format!("{least}-{most}") };
            grid.row(vec![plain(retries), plain(searches)]);
        }
        let tone = if self.ports_exhausted > 0 { Tone::Bad } else { Tone::Plain };
        grid.row(vec![plain("none found"), toned(self.ports_exhausted, tone)]);
        grid.write(2, out)
    }
}

/// The result of `fwd ls`: endpoints, and as text how full the host is.
#[derive(Clone, Debug)]
pub struct LsView {
    /// The endpoints; the JSON document.
    pub endpoints: Vec<EndpointView>,
    /// Networks that no endpoint is in: in text only, in JSON they are `fwd network ls`.
    pub empty: Vec<NetworkView>,
    /// The flow table, if there is one.
    pub nat: Option<NatView>,
}

impl Serialize for LsView {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.endpoints.serialize(serializer)
    }
}

impl View for LsView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if !self.endpoints.is_empty() || self.empty.is_empty() {
            EndpointView::text(&self.endpoints, look, out)?;
        }
        for (index, network) in self.empty.iter().enumerate() {
            let gap = if index == 0 && !self.endpoints.is_empty() { "\n" } else { "" };
            writeln!(out, "{gap}{}", network.without_endpoints(look))?;
        }
        match &self.nat {
            Some(nat) if !self.endpoints.is_empty() || !self.empty.is_empty() => {
                writeln!(out)?;
                nat.facts().write(look, out)
            }
            _ => Ok(()),
        }
    }
}
