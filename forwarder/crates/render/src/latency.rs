//! `fwd latency`.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    Look, Tone, View,
    heat::Scale,
    round_trips::{self, RoundTripView},
    table::{Grid, Holds, plain, toned},
    units,
};
use fwd_base::text::Untrusted;
use fwd_observe::latency::Distribution;

/// The result of `fwd latency`.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct LatencyView {
    /// How long it was measured, milliseconds.
    pub duration_ms: u64,
    /// What the measuring costs.
    pub cost: LatencyCost,
    /// What was measured.
    pub paths: Vec<LatencyPathView>,
    /// Round trips of TCP conversations, those with the most first; none where they were not asked for.
    pub round_trips: Option<Vec<RoundTripView>>,
    /// All paths together over time.
    pub intervals: Vec<LatencyInterval>,
}

/// What the measuring costs.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct LatencyCost {
    /// One packet of how many is measured: at the beginning.
    pub sample_first: u32,
    /// The same at the end, where it was chosen by the rate of packets.
    pub sample_last: u32,
    /// The same where it was the largest.
    pub sample_most: u32,
    /// Cost of a packet that is not measured, both ends, nanoseconds.
    pub passed_ns: f64,
    /// Cost of a packet that is measured, both ends, nanoseconds.
    pub measured_ns: f64,
    /// Mean cost of a packet with the last sampling, nanoseconds.
    pub packet_ns: f64,
    /// What is shown of a way that takes no time, nanoseconds.
    pub zero_ns: f64,
}

/// One path: a namespace and an uplink.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct LatencyPathView {
    /// Network, of an endpoint of fwd.
    pub network: Option<Untrusted>,
    /// Name of the namespace, if it has one.
    pub ns: Option<Untrusted>,
    /// Interface at which the way out begins and the way in ends.
    pub interface: Untrusted,
    /// Whether that interface is inside the namespace; else it is the host-side veth.
    pub inside: bool,
    /// Interface to the outside.
    pub uplink: Untrusted,
    /// `tc` or `kernel`, of an endpoint of fwd.
    pub datapath: Option<String>,
    /// From leaving the namespace to leaving the uplink.
    pub out: LatencyWay,
    /// From the uplink into the namespace.
    #[serde(rename = "in")]
    pub back: LatencyWay,
}

/// One way of a path.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct LatencyWay {
    /// The figures.
    #[serde(flatten)]
    pub figures: LatencyFigures,
    /// Packets measured.
    pub measured: u64,
    /// Packets chosen that did not arrive; none on the way in, where it is not known whose they are before they arrive.
    pub unmatched: Option<u64>,
    /// Packets left out because another one under way looked the same.
    pub ambiguous: u64,
    /// Smallest and largest latency of a bucket, nanoseconds, and its packets.
    pub buckets: Vec<(u64, u64, u64)>,
}

/// Figures of a distribution, nanoseconds; none without packets.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct LatencyFigures {
    /// Packets that the measured ones stand for.
    pub packets: u64,
    /// Mean.
    pub mean_ns: Option<u64>,
    /// Median.
    pub p50_ns: Option<u64>,
    /// What 90 % do not exceed.
    pub p90_ns: Option<u64>,
    /// What 99 % do not exceed.
    pub p99_ns: Option<u64>,
    /// What 99.9 % do not exceed.
    #[serde(rename = "p99_9_ns")]
    pub p999_ns: Option<u64>,
    /// The longest.
    pub max_ns: Option<u64>,
}

impl From<&Distribution> for LatencyFigures {
    fn from(all: &Distribution) -> Self {
        Self {
            packets: all.packets,
            mean_ns: all.mean(),
            p50_ns: all.quantile(0.5),
            p90_ns: all.quantile(0.9),
            p99_ns: all.quantile(0.99),
            p999_ns: all.quantile(0.999),
            max_ns: (all.packets > 0).then_some(all.max_ns),
        }
    }
}

impl LatencyWay {
    /// The way out or in.
    #[must_use]
    pub fn new(all: &Distribution, out: bool) -> Self {
        Self {
            figures: all.into(),
            measured: all.measured,
            unmatched: out.then(|| all.unmatched()),
            ambiguous: all.ambiguous,
            buckets: all.buckets().collect(),
        }
    }
}

/// All paths together in one interval.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct LatencyInterval {
    /// When it ended, milliseconds after the beginning.
    pub at_ms: u64,
    /// From leaving the namespaces to leaving the uplinks.
    pub out: LatencyFigures,
    /// From the uplinks into the namespaces.
    #[serde(rename = "in")]
    pub back: LatencyFigures,
    /// For the map: packets by latency, out and in.
    #[serde(skip)]
    pub buckets: [Vec<(u64, u64, u64)>; 2],
}

/// What is being measured, and the head of the map that follows.
pub struct LatencyHead<'a> {
    /// The paths, without figures yet.
    pub paths: &'a [LatencyPathView],
    /// `16`, or none where it is chosen by the rate.
    pub sample: Option<u32>,
    /// How long it will last, milliseconds.
    pub duration_ms: Option<u64>,
}

/// Columns of a row of the map before its strip.
const LEFT: usize = 45;

impl LatencyHead<'_> {
    /// Writes what is measured.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        match self.paths {
            [path] => writeln!(out, "{}", look.paint(Tone::Strong, &path.label()))?,
            paths => writeln!(out, "{}", look.paint(Tone::Strong, &format!("{} endpoints", paths.len())))?,
        }
        let sample = match self.sample {
            None => "sampled by rate".into(),
            Some(1) => "every packet".into(),
            Some(sample) => format!("one packet of {sample}"),
        };
        let end = self.duration_ms.map_or_else(|| "until Ctrl-C".into(), |span| format!("for {}", units::span(span)));
        writeln!(out, "{}", look.paint(Tone::Dim, &format!("{sample}, {end}; → out of the namespace, ← into it")))?;
        if Scale::fitting(look, LEFT).is_some() {
            let more = if look.color { "brighter" } else { "denser" };
            writeln!(
                out,
                "{}",
                look.paint(Tone::Dim, &format!("the {more} a place of the map, the more packets took so long"))
            )?;
        }
        writeln!(out)?;
        self.columns(look, out)
    }

    /// Writes the titles of the map.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn columns(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let titles = format!("{:>6}     {:>7} {:>7} {:>7} {:>7}", "TIME", "PACKETS", "P50", "P99", "MAX");
        let scale = Scale::fitting(look, LEFT).map(|scale| scale.axis()).unwrap_or_default();
        writeln!(out, "{}", look.paint(Tone::Dim, format!("{titles:<LEFT$}{scale}").trim_end()))
    }
}

impl LatencyInterval {
    /// Writes the rows of the map: out and in.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let scale = Scale::fitting(look, LEFT);
        let ways = [("→", &self.out), ("←", &self.back)];
        for (number, ((arrow, figures), buckets)) in ways.into_iter().zip(&self.buckets).enumerate() {
            let time = if number == 0 { when(self.at_ms) } else { String::new() };
            let LatencyFigures { packets, p50_ns, p99_ns, max_ns, .. } = figures;
            let [p50, p99, max] = [p50_ns, p99_ns, max_ns].map(|ns| short(*ns));
            let row = format!("{time:>6}   {arrow} {:>7} {p50:>7} {p99:>7} {max:>7}", units::packets(*packets));
            let strip = scale.as_ref().map(|scale| scale.strip(buckets, look)).unwrap_or_default();
            writeln!(out, "{}", format!("{row:<LEFT$}{strip}").trim_end())?;
        }
        Ok(())
    }
}

/// How long after the beginning: to a tenth of a second in the first minute, in which intervals may be short.
fn when(at_ms: u64) -> String {
    let tenths = at_ms.saturating_add(50) / 100;
    match (tenths / 10, tenths % 10) {
        (seconds @ 0..60, 1..) => format!("{seconds}.{}s", tenths % 10),
        (seconds, _) => units::span(seconds.saturating_mul(1000)),
    }
}

/// A latency, or that there is none.
fn short(ns: Option<u64>) -> String {
    ns.map_or_else(|| "-".into(), units::latency)
}

impl LatencyPathView {
    /// `mynet: eth0 → eth0 (tc)`.
    fn label(&self) -> String {
        let datapath = self.datapath.as_ref().map(|datapath| format!(" (fwd, {datapath})")).unwrap_or_default();
        let place = if self.inside { "" } else { "host veth " };
        format!("{}: {place}{} → uplink {}{datapath}", self.name(), self.interface, self.uplink)
    }

    fn name(&self) -> String {
        self.ns.as_ref().map_or_else(|| "(unnamed)".into(), Untrusted::to_string)
    }
}

impl View for LatencyView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let columns = [
            ("NAMESPACE", Holds::Name),
            ("WAY", Holds::Text),
            ("PACKETS", Holds::Number),
            ("MEASURED", Holds::Number),
            ("P50", Holds::Number),
            ("P90", Holds::Number),
            ("P99", Holds::Number),
            ("P99.9", Holds::Number),
            ("MAX", Holds::Number),
            ("LOST", Holds::Number),
        ];
        let mut grid = Grid::new(look, &columns);
        for path in &self.paths {
            for (way, tone, all) in [("out", Tone::Plain, &path.out), ("in", Tone::Dim, &path.back)] {
                let LatencyFigures { packets, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, mean_ns: _ } = all.figures;
                let mut row = vec![
                    toned(path.name(), tone),
                    plain(way),
                    plain(units::packets(packets)),
                    plain(units::packets(all.measured)),
                ];
                row.extend([p50_ns, p90_ns, p99_ns, p999_ns, max_ns].map(|ns| plain(short(ns))));
                row.push(match all.unmatched {
                    Some(0) | None => toned("-", Tone::Dim),
                    Some(lost) => toned(units::packets(lost), Tone::Warn),
                });
                grid.row(row);
            }
        }
        grid.write(0, out)?;
        writeln!(out)?;
        self.notes(look, out)?;
        let Some(round_trips) = &self.round_trips else { return Ok(()) };
        writeln!(out)?;
        round_trips::text(round_trips, look, out)
    }
}

impl LatencyView {
    fn notes(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let LatencyCost { sample_most, passed_ns, measured_ns, packet_ns, zero_ns, .. } = self.cost;
        let ways = self.paths.iter().flat_map(|path| [&path.out, &path.back]);
        let (measured, passed) = ways.fold((0, 0), |(measured, packets): (u64, u64), way| {
            (measured.saturating_add(way.measured), packets.saturating_add(way.figures.packets))
        });
        let sample = match sample_most {
            1 => "every packet".into(),
            most => {
                let [measured, passed] = [measured, passed].map(units::packets);
                format!("{measured} of {passed} packets; at the highest rate 1 of {most}")
            }
        };
        let lost: u64 = self.paths.iter().filter_map(|path| path.out.unmatched).sum();
        let mut lines = vec![
            "out: leaving the namespace → leaving the uplink; in: uplink → into the namespace".to_owned(),
            format!("measured: {sample}"),
            format!("{zero_ns:.0} ns of each figure are the measuring itself"),
            format!(
                "cost: {packet_ns:.0} ns a packet ({passed_ns:.0} ns to look at it, {measured_ns:.0} ns to measure it)"
            ),
        ];
        if lost > 0 {
            lines.push("lost: left the namespace but not the uplink: dropped, or went elsewhere".into());
        }
        lines.iter().try_for_each(|line| writeln!(out, "{}", look.paint(Tone::Dim, line)))
    }
}

#[cfg(test)]
mod tests {
    use super::when;

    #[test]
    fn short_intervals_are_told_apart() {
        let shown = [96, 504, 1002, 1503, 59_960, 61_500].map(when);
        assert_eq!(shown, ["0.1s", "0.5s", "1s", "1.5s", "1m00s", "1m01s"]);
    }
}
