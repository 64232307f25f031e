//! Numbers for people.

use std::time::Duration;

/// A count of packets: exact below 10,000, then three digits and a decimal unit.
pub fn packets(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { scaled(count, &["", "k", "M", "G", "T", "P", "E"]) }
}

/// A number of bytes in decimal units, three digits.
pub fn bytes(count: u64) -> String {
    if count < 1000 { format!("{count} B") } else { scaled(count, &[" B", " kB", " MB", " GB", " TB", " PB", " EB"]) }
}

/// Bits a second in decimal units, three digits.
pub fn rate(bits: u64) -> String {
    scaled(bits, &[" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s"])
}

/// Three significant digits and the unit that fits.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn scaled(count: u64, units: &[&str]) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$}{}", units[unit])
}

/// A latency, given in nanoseconds, with three digits.
pub fn latency(ns: u64) -> String {
    if ns < 1000 { format!("{ns}ns") } else { scaled(ns, &["ns", "µs", "ms", "s"]) }
}

/// A time span in its two largest units.
pub fn span(milliseconds: u64) -> String {
    let span = Duration::from_millis(milliseconds);
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `1 packet`, `12.3k packets`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", packets(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{bytes, counted, latency, packets, span};

    #[test]
    fn small_numbers_are_exact() {
        assert_eq!((packets(0).as_str(), packets(9_999).as_str()), ("0", "9999"));
        assert_eq!((bytes(0).as_str(), bytes(999).as_str()), ("0 B", "999 B"));
    }

    #[test]
    fn large_numbers_have_three_digits_and_never_round_to_a_thousand() {
        assert_eq!(packets(12_345), "12.3k");
        assert_eq!(packets(999_499), "999k");
        assert_eq!(packets(999_500), "1.00M");
        assert_eq!(bytes(1_000), "1.00 kB");
        assert_eq!(bytes(9_996), "10.0 kB");
        assert_eq!(bytes(99_960_000), "100 MB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
    }

    #[test]
    fn latencies_have_three_digits() {
        let shown = [0, 999, 1_000, 2_134, 41_250, 999_600, 1_500_000_000].map(latency);
        assert_eq!(shown, ["0ns", "999ns", "1.00µs", "2.13µs", "41.2µs", "1.00ms", "1.50s"]);
    }

    #[test]
    fn one_is_singular() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "packet")), ["0 packets", "1 packet", "2 packets"]);
    }

    #[test]
    fn spans_have_two_units() {
        let spans = [0, 999, 1_000, 59_999, 60_000, 3_599_000, 3_600_000, 86_399_000, 90_000_000].map(span);
        assert_eq!(spans, ["0ms", "999ms", "1s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d01h"]);
    }
}
