//! Round trips of TCP conversations, as `fwd latency --round-trips` shows them.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use serde::Serialize;

use super::{
    Look, Tone,
    flow::socket,
    table::{Grid, Holds, plain, toned},
    units,
};
use fwd_base::text::Untrusted;

/// Conversations that a table shows.
const SHOWN: usize = 20;
/// Intervals that a strip shows.
const STRIP: usize = 30;
/// Steps of a strip, from the shortest round trip to the longest.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The round trips of one conversation, as its namespace sees them.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct RoundTripView {
    /// Name of the namespace, if it has one.
    pub ns: Option<Untrusted>,
    /// Address inside.
    pub src_addr: IpAddr,
    /// Port inside.
    pub src_port: u16,
    /// The other end.
    pub dst_addr: IpAddr,
    /// Its port.
    pub dst_port: u16,
    /// Round trips measured.
    pub count: u64,
    /// Their mean, nanoseconds.
    pub mean_ns: u64,
    /// The shortest.
    pub min_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The last one.
    pub last_ns: u64,
    /// Over time, the last 120 intervals that had some.
    pub intervals: Vec<RoundTripInterval>,
}

/// Round trips of one conversation in one interval.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct RoundTripInterval {
    /// When it ended, milliseconds after the beginning.
    pub at_ms: u64,
    /// Round trips measured in it.
    pub count: u64,
    /// Their mean, nanoseconds.
    pub mean_ns: u64,
}

/// Writes the conversations with the most round trips.
///
/// # Errors
/// Those of `out`.
pub(super) fn text(all: &[RoundTripView], look: &Look, out: &mut dyn Write) -> io::Result<()> {
    if all.is_empty() {
        let why = "no round trips: no TCP with timestamps has sent data and was answered";
        return writeln!(out, "{}", look.paint(Tone::Dim, why));
    }
    let wide = grid(all, look, true);
    let has_strips = look.width.is_none_or(|width| wide.natural_width() <= width);
    if has_strips { wide } else { grid(all, look, false) }.write(0, out)?;
    writeln!(out)?;
    let mut lines = vec!["round trip: from a segment that leaves to the one that brings its time back".to_owned()];
    if has_strips {
        lines.push("over time: means of the last intervals, from their lowest to their highest".into());
    }
    if let Some(more) = all.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("{more} more with fewer round trips: --json"));
    }
    lines.iter().try_for_each(|line| writeln!(out, "{}", look.paint(Tone::Dim, line)))
}

/// The table; where it is not to be wide, without what happened over time, and of the end inside the port alone.
fn grid(all: &[RoundTripView], look: &Look, wide: bool) -> Grid {
    let mut columns = vec![
        ("NAMESPACE", Holds::Name),
        ("FROM", Holds::Text),
        ("TO", Holds::Text),
        ("COUNT", Holds::Number),
        ("MIN", Holds::Number),
        ("MEAN", Holds::Number),
        ("MAX", Holds::Number),
        ("LAST", Holds::Number),
    ];
    columns.extend(wide.then_some(("OVER TIME", Holds::Text)));
    let mut grid = Grid::new(look, &columns);
    for view in all.iter().take(SHOWN) {
        let RoundTripView { count, min_ns, mean_ns, max_ns, last_ns, .. } = *view;
        let from = if wide { socket(view.src_addr, Some(view.src_port)) } else { format!(":{}", view.src_port) };
        let mut row = vec![
            view.ns.as_ref().map_or_else(|| toned("(unnamed)", Tone::Dim), plain),
            plain(from),
            plain(socket(view.dst_addr, Some(view.dst_port))),
            plain(units::packets(count)),
        ];
        row.extend([min_ns, mean_ns, max_ns, last_ns].map(|ns| plain(units::latency(ns))));
        row.extend(wide.then(|| plain(view.strip())));
        grid.row(row);
    }
    grid
}

impl RoundTripView {
    /// The means of the last intervals, each a step between the lowest and the highest.
    fn strip(&self) -> String {
        let last = self.intervals.iter().rev().take(STRIP).rev().map(|interval| interval.mean_ns);
        let (low, high) = (last.clone().min().unwrap_or(0), last.clone().max().unwrap_or(0));
        let most = STEPS.len() as u64 - 1;
        let step = |mean: u64| (mean - low).saturating_mul(most).checked_div(high - low).unwrap_or(0);
        last.filter_map(|mean| STEPS.get(usize::try_from(step(mean)).ok()?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strip_goes_from_the_lowest_to_the_highest() {
        let of = |means: &[u64]| {
            let interval =
                |(at, mean_ns): (usize, &u64)| RoundTripInterval { at_ms: at as u64, count: 1, mean_ns: *mean_ns };
            let intervals = means.iter().enumerate().map(interval).collect();
            RoundTripView { intervals, ..crate::samples::round_trip() }.strip()
        };
        assert_eq!(of(&[10, 45, 80]), "▁▄█");
        assert_eq!(of(&[7, 7]), "▁▁");
        assert_eq!(of(&[]), "");
        assert_eq!(of(&(0..99).collect::<Vec<_>>()).chars().count(), STRIP);
    }
}
