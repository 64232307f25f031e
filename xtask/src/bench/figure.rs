//! A figure, what it should be, and the verdict.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What was measured, with its interval (or the range, of what has none).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Parts of one, shown in hundredths.
    Share,
    Times,
    Nanoseconds,
    Milliseconds,
    Seconds,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As good as was aimed at.
    Aim,
    /// As good as it has to be.
    Reached,
    /// Not as good as that.
    Missed,
    /// Nothing is asked for.
    Told,
}

impl Figure {
    /// From an object with `median`, `low` and `high`.
    pub(super) fn from_estimate(value: &Value) -> Result<Self> {
        let number = |key: &str| value[key].as_f64().with_context(|| format!("no number {key:?} in {value}"));
        Ok(Self { median: number("median")?, low: number("low")?, high: number("high")? })
    }

    /// From the median and an array of the two ends.
    pub(super) fn from_range(median: &Value, range: &Value) -> Result<Self> {
        let number = |value: &Value| value.as_f64().with_context(|| format!("{value} is no number"));
        Ok(Self { median: number(median)?, low: number(&range[0])?, high: number(&range[1])? })
    }

    /// This in a unit that is so many times larger.
    pub(super) fn in_units_of(self, size: f64) -> Self {
        Self { median: self.median / size, low: self.low / size, high: self.high / size }
    }

    /// `34 % (32–36)`.
    pub(super) fn show(self, unit: Unit) -> String {
        let Self { median, low, high } = self;
        let decimals = match unit {
            Unit::Share | Unit::Nanoseconds => 0,
            Unit::Times => 3,
            Unit::Milliseconds => usize::from(median < 100.0),
            Unit::Seconds => 2,
        };
        let factor = if unit == Unit::Share { 100.0 } else { 1.0 };
        let [median, low, high] = [median, low, high].map(|value| format!("{:.decimals$}", value * factor));
        format!("{median} {} ({low}–{high})", unit.name())
    }
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Share => "%",
            Self::Times => "×",
            Self::Nanoseconds => "ns",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    /// `≤ 33 %`.
    pub(super) fn show(self, unit: Unit) -> String {
        let (sign, value) = match self {
            Self::AtMost(value) => ("≤", value),
            Self::AtLeast(value) => ("≥", value),
        };
        let value = match unit {
            Unit::Share => format!("{:.0}", value * 100.0),
            Unit::Times => format!("{value:.2}"),
            _ => format!("{value}"),
        };
        format!("{sign} {value} {}", unit.name())
    }
}

impl Verdict {
    /// Compares the median with what was asked for.
    pub(super) fn of(figure: Figure, least: Option<Bound>, aim: Option<Bound>) -> Self {
        let holds = |bound: Option<Bound>| bound.is_some_and(|bound| bound.holds(figure.median));
        match (least, aim) {
            _ if holds(aim) => Self::Aim,
            (None, _) => Self::Told,
            _ if holds(least) => Self::Reached,
            _ => Self::Missed,
        }
    }

    /// The verdict in words, and whether the next better one lies within the interval.
    pub(super) fn show(self, figure: Figure, least: Option<Bound>, aim: Option<Bound>) -> String {
        let better = match self {
            Self::Missed => least,
            Self::Reached | Self::Told => aim,
            Self::Aim => None,
        };
        let near = better.is_some_and(|bound| bound.holds(figure.low) || bound.holds(figure.high));
        match (self, near) {
            (Self::Aim, _) => "aim reached".into(),
            (Self::Reached, false) => "reached".into(),
            (Self::Reached, true) => "reached, the aim within the error".into(),
            (Self::Missed, false) => "missed".into(),
            (Self::Missed, true) => "missed, but within the error".into(),
            (Self::Told, _) => "aim missed".into(),
        }
    }
}
