//! A map of heat: a row is a span of time, a column a range of latencies on a logarithmic scale, the colour how many packets.

use super::Look;

/// The scale begins at 256 ns and has so many doublings: up to 8.4 ms. What lies beyond is shown in the outermost columns.
const FIRST: f64 = 8.0;
const DOUBLINGS: usize = 15;
/// Columns of a doubling where the output is no terminal.
const USUAL: usize = 3;
const MOST: usize = 5;
/// Marks on the axis, nanoseconds.
const MARKS: [(f64, &str); 4] = [(1e3, "1µs"), (1e4, "10µs"), (1e5, "100µs"), (1e6, "1ms")];

/// Colours from few packets to many: those of viridis that terminals with 256 colours have.
const COLORS: [u8; 8] = [54, 60, 61, 31, 36, 71, 148, 226];
/// The same without colour.
const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];

/// A logarithmic scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// Columns of a doubling.
    per_doubling: usize,
}

impl Scale {
    /// The widest that fits behind `left` columns; none if the terminal is too narrow.
    pub(super) fn fitting(look: &Look, left: usize) -> Option<Self> {
        let per_doubling = match look.width {
            None => USUAL,
            Some(width) => (usize::from(width).saturating_sub(left) / DOUBLINGS).min(MOST),
        };
        (per_doubling > 0).then_some(Self { per_doubling })
    }

    fn columns(self) -> usize {
        self.per_doubling * DOUBLINGS
    }

    fn column(self, ns: f64) -> usize {
        let column = (ns.max(1.0).log2() - FIRST) * self.per_doubling as f64;
        (column.max(0.0) as usize).min(self.columns() - 1)
    }

    /// The axis, with its marks.
    pub(super) fn axis(self) -> String {
        let mut axis = vec!['─'; self.columns()];
        for (ns, label) in MARKS {
            for (place, mark) in axis.iter_mut().skip(self.column(ns)).zip(std::iter::once('┬').chain(label.chars()))
            {
                *place = mark;
            }
        }
        axis.into_iter().collect()
    }

    /// A row: packets by latency, each with the smallest and largest latency of its bucket, nanoseconds.
    pub(super) fn strip(self, buckets: &[(u64, u64, u64)], look: &Look) -> String {
        let mut counts = vec![0_u64; self.columns()];
        for &(low, high, packets) in buckets {
            let middle = low as f64 + (high.saturating_sub(low)) as f64 / 2.0;
            if let Some(count) = counts.get_mut(self.column(middle)) {
                *count += packets;
            }
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        let steps = if look.color { COLORS.len() } else { SHADES.len() };
        let levels: Vec<Option<usize>> = counts.iter().map(|count| level(*count, most, steps)).collect();
        if look.color { colored(&levels) } else { shaded(&levels) }
    }
}

/// The step of a count on a logarithmic scale from 1 to the most: a single packet is seen beside a million.
fn level(count: u64, most: u64, steps: usize) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let share = (count as f64 + 1.0).ln() / (most as f64 + 1.0).ln();
    Some(((share * steps as f64).ceil() as usize).clamp(1, steps) - 1)
}

fn shaded(levels: &[Option<usize>]) -> String {
    levels.iter().map(|level| level.and_then(|level| SHADES.get(level)).copied().unwrap_or(' ')).collect()
}

fn colored(levels: &[Option<usize>]) -> String {
    let mut row = String::new();
    for same in levels.chunk_by(|a, b| a == b) {
        let color = same.first().copied().flatten().and_then(|level| COLORS.get(level));
        match color {
            Some(color) => row.push_str(&format!("\x1b[38;5;{color}m{}\x1b[0m", "█".repeat(same.len()))),
            None => row.push_str(&" ".repeat(same.len())),
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn scale(width: impl Into<Option<u16>>) -> Option<Scale> {
        Scale::fitting(&samples::look(width), 44)
    }

    #[test]
    fn scale_takes_the_room_there_is() {
        let columns = [58, 80, 100, 300].map(|width| scale(width).map(Scale::columns));
        assert_eq!(columns, [None, Some(30), Some(45), Some(75)]);
        assert_eq!(scale(None).unwrap().columns(), 45);
    }

    #[test]
    fn latencies_lie_under_their_marks() {
        let scale = scale(None).unwrap();
        let axis: Vec<char> = scale.axis().chars().collect();
        for (ns, label) in MARKS {
            let column = scale.strip(&[(ns as u64, ns as u64, 1)], &samples::look(None)).find('█').unwrap();
            let mark: String = axis[column..].iter().take(label.chars().count() + 1).collect();
            assert_eq!(mark, format!("┬{label}"));
        }
    }

    #[test]
    fn extremes_are_shown_at_the_borders() {
        let scale = scale(None).unwrap();
        let strip = scale.strip(&[(0, 0, 1), (u64::MAX - 1, u64::MAX, 1)], &samples::look(None));
        assert!(strip.starts_with('█') && strip.ends_with('█'), "{strip}");
    }

    #[test]
    fn one_packet_is_seen_beside_a_million() {
        let levels = [0, 1, 1000, 1_000_000].map(|count| level(count, 1_000_000, 8));
        assert_eq!(levels, [None, Some(0), Some(4), Some(7)]);
        assert_eq!(level(1, 1, 8), Some(7));
    }
}
