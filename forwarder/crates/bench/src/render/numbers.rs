//! Figures for people: one unit and one precision for a whole column, so that its figures can be compared at a glance.

use crate::{Metric, report::Estimate};

/// The unit of a column of figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// What a value is divided by.
    divisor: f64,
    /// Digits behind the point.
    decimals: usize,
    /// The prefix of the unit: `k`, `M`, `G`, or nothing.
    prefix: &'static str,
    /// The unit itself.
    unit: &'static str,
}

impl Scale {
    /// The one that suits the largest of these values of `metric`.
    pub(super) fn of(metric: Metric, values: impl IntoIterator<Item = f64>) -> Self {
        let unit = match metric {
            Metric::TcpRr | Metric::UdpRr => return Self::micros(values),
            Metric::TcpStreamOut | Metric::TcpStreamIn => "bit/s",
            _ => "/s",
        };
        let largest = largest(values);
        let (divisor, prefix) = [(1e9, "G"), (1e6, "M"), (1e3, "k")]
            .into_iter()
            .find(|(divisor, _)| largest >= *divisor)
            .unwrap_or((1.0, ""));
        Self { divisor, decimals: decimals(largest / divisor), prefix, unit }
    }

    /// Microseconds.
    pub(super) fn micros(values: impl IntoIterator<Item = f64>) -> Self {
        let decimals = match largest(values) {
            ..100.0 => 2,
            100.0..1000.0 => 1,
            _ => 0,
        };
        Self { divisor: 1.0, decimals, prefix: "", unit: "µs" }
    }

    /// Nanoseconds.
    pub(super) fn nanos(values: impl IntoIterator<Item = f64>) -> Self {
        Self { divisor: 1.0, decimals: decimals(largest(values)), prefix: "", unit: "ns" }
    }

    /// `µs`, `Gbit/s`, `k/s`.
    pub(super) fn unit(self) -> String {
        format!("{}{}", self.prefix, self.unit)
    }

    /// The figure, without its unit.
    pub(super) fn figure(self, value: f64) -> String {
        let decimals = self.decimals;
        if !value.is_finite() {
            return NOTHING.into();
        }
        positive_zero(format!("{:.decimals$}", value / self.divisor))
    }

    /// A round figure of an axis, without its unit and without zeros behind the point.
    pub(super) fn tick(self, value: f64) -> String {
        format!("{}", (value / self.divisor * 1000.0).round() / 1000.0)
    }

    /// `6.90–7.01`.
    pub(super) fn interval(self, estimate: Estimate) -> String {
        range(self.figure(estimate.low), self.figure(estimate.high))
    }

    /// The figure with its unit: `6.95 µs`.
    pub(super) fn with_unit(self, value: f64) -> String {
        let figure = self.figure(value);
        let space = if self.unit == "/s" && self.prefix.is_empty() { "" } else { " " };
        format!("{figure}{space}{}", self.unit())
    }
}

/// What stands where there is no figure.
pub(super) const NOTHING: &str = "-";

/// A ratio: `1.15`.
pub(super) fn ratio(value: f64) -> String {
    if value.is_finite() { positive_zero(format!("{value:.2}")) } else { NOTHING.into() }
}

/// `1.12–1.17`.
pub(super) fn ratios(estimate: Estimate) -> String {
    range(ratio(estimate.low), ratio(estimate.high))
}

/// A share: `34 %`; below a tenth with one digit more.
pub(super) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return NOTHING.into();
    }
    let percent = share * 100.0;
    positive_zero(if percent.abs() < 9.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") })
}

/// `32–36 %`.
pub(super) fn percents(estimate: Estimate) -> String {
    let bare = |share: f64| percent(share).trim_end_matches(" %").to_owned();
    format!("{} %", range(bare(estimate.low), bare(estimate.high)))
}

/// From one figure to another; a minus sign is told from the dash by spaces.
fn range(low: String, high: String) -> String {
    if low.starts_with('-') || high.starts_with('-') { format!("{low} – {high}") } else { format!("{low}–{high}") }
}

/// A count with a comma between thousands.
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Digits behind the point that make three in all.
const fn decimals(value: f64) -> usize {
    match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    }
}

/// The largest value that is a number.
fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max)
}

/// What was rounded to zero has no sign.
fn positive_zero(figure: String) -> String {
    let is_zero = figure.chars().all(|c| !c.is_ascii_digit() || c == '0');
    if is_zero { figure.trim_start_matches('-').to_owned() } else { figure }
}

#[cfg(test)]
mod tests {
    use super::{Scale, percent, percents, ratio, ratios};
    use crate::{Metric, report::Estimate};

    #[test]
    fn the_largest_value_chooses_unit_and_precision_for_all() {
        let scale = Scale::of(Metric::TcpStreamOut, [42.1e9, 812.0e6]);
        assert_eq!((scale.unit().as_str(), scale.figure(812.0e6).as_str()), ("Gbit/s", "0.8"));
        let scale = Scale::of(Metric::Udp64, [227_123.0, 9_999.0]);
        assert_eq!((scale.unit().as_str(), scale.figure(9_999.0).as_str()), ("k/s", "10"));
        let scale = Scale::of(Metric::TcpRr, [6.951, 19.0]);
        assert_eq!(scale.with_unit(6.951), "6.95 µs");
        assert_eq!(Scale::of(Metric::TcpCrr, [12.0]).with_unit(12.0), "12.0/s");
    }

    #[test]
    fn intervals_below_zero_are_readable() {
        let scale = Scale::micros([1.0]);
        assert_eq!(scale.interval(Estimate { median: 0.1, low: -0.2, high: 0.3 }), "-0.20 – 0.30");
        assert_eq!(scale.interval(Estimate { median: 0.1, low: -0.001, high: 0.3 }), "0.00–0.30");
    }

    #[test]
    fn shares_and_ratios_have_what_precision_they_deserve() {
        assert_eq!([percent(0.344), percent(0.0512), percent(-0.0001)], ["34 %", "5.1 %", "0.0 %"]);
        assert_eq!(percents(Estimate { median: 0.34, low: 0.32, high: 0.36 }), "32–36 %");
        assert_eq!(ratio(1.154), "1.15");
        assert_eq!(ratios(Estimate { median: 1.15, low: 1.121, high: 1.17 }), "1.12–1.17");
    }

    #[test]
    fn what_is_no_number_is_not_shown_as_one() {
        assert_eq!([ratio(f64::NAN), percent(f64::INFINITY), Scale::micros([f64::NAN]).figure(f64::NAN)], ["-"; 3]);
    }
}
