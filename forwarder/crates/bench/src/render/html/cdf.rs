//! Which share took at most so long: a curve for each path. Shares are spaced by their nines, so that the slowest of a hundred
//! have as much room as the rest, and times by their ratios.

use super::{
    figure::{Breadth, Drawing, class_of, dot, label, line, polyline, width_of},
    markup::Element,
    scale::{Scale, log_axis, nines},
};
use crate::{Path, render::words};

/// A curve: microseconds, and the share that took at most so long, rising.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve<'a> {
    /// Whose.
    pub(super) path: Path,
    /// The points.
    pub(super) points: &'a [[f64; 2]],
}

/// Shares that have a line of their own.
const SHARES: [(f64, &str); 5] = [(0.0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %")];
/// The share at which the plot ends: what is beyond was seen a few times only.
const LAST: f64 = 0.999;
/// Pixels from one label to the next.
const LINE: f64 = 20.0;

impl Curve<'_> {
    /// The points that can be drawn.
    fn finite(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points
            .iter()
            .map(|[micros, share]| (*micros, *share))
            .filter(|(micros, _)| micros.is_finite() && *micros > 0.0)
    }

    /// Microseconds within which this share was done.
    fn micros_at(&self, share: f64) -> Option<f64> {
        let mut before: Option<(f64, f64)> = None;
        for (micros, reached) in self.finite() {
            if reached >= share {
                return Some(match before {
                    Some((earlier, less)) if reached > less => {
                        earlier + (micros - earlier) * ((share - less) / (reached - less)).clamp(0.0, 1.0)
                    }
                    _ => micros,
                });
            }
            before = Some((micros, reached));
        }
        before.map(|(micros, _)| micros)
    }
}

/// Where everything is.
struct Plane {
    x: Scale,
    y: Scale,
    left: f64,
    right: f64,
    bottom: f64,
    range: (f64, f64),
}

impl Plane {
    /// The place of a point, no further right or up than the plot goes.
    fn place(&self, (micros, share): (f64, f64)) -> (f64, f64) {
        (self.x.place(micros.min(self.range.1)), self.y.place(nines(share.min(LAST))))
    }

    /// The share at a height.
    fn share_at(&self, y: f64) -> f64 {
        1.0 - 10_f64.powf(-nines(LAST) * (self.bottom - y) / (self.bottom - TOP))
    }
}

const TOP: f64 = 14.0;

/// Draws the curves, each with its name beside it; in a narrow plot below.
pub(super) fn draw(curves: &[Curve<'_>], breadth: Breadth) -> Drawing {
    let mut sorted: Vec<Curve<'_>> = curves.iter().copied().filter(|curve| curve.micros_at(0.5).is_some()).collect();
    sorted.sort_by(|a, b| a.micros_at(0.5).unwrap_or(0.0).total_cmp(&b.micros_at(0.5).unwrap_or(0.0)));
    let narrow = breadth == Breadth::Narrow;
    let (before, after) = sorted.split_at(sorted.len().div_ceil(2));
    let names =
        |curves: &[Curve<'_>]| curves.iter().map(|curve| width_of(name(curve.path, breadth))).fold(0.0, f64::max);
    let height = match breadth {
        Breadth::Full => 440.0,
        Breadth::Half => 360.0,
        Breadth::Narrow => 280.0,
    };
    let (left, right, bottom) = (52.0, breadth.pixels() - 8.0, height - 44.0);
    let start = left + if narrow { 8.0 } else { names(before) + 44.0 };
    let (range, ticks) = log_axis(range(&sorted), if breadth == Breadth::Full { 10 } else { 6 });
    let plane = Plane {
        x: Scale::logarithmic(range, (start, right)),
        y: Scale::linear((0.0, nines(LAST)), (bottom, TOP)),
        left,
        right,
        bottom,
        range,
    };
    let mut elements = grid(&plane, &ticks);
    // fwd's own curves are drawn last, over the others.
    let (own, others): (Vec<_>, Vec<_>) = sorted.iter().partition(|curve| curve.path.id().starts_with("fwd-"));
    elements.extend(others.into_iter().chain(own).map(|curve| stroke(curve, &plane)));
    if narrow {
        elements.extend(key(&sorted, height));
        return Drawing { height: height + sorted.len() as f64 * LINE + 8.0, elements };
    }
    let column = start - 30.0;
    elements.extend(beside(before, &plane, column, breadth));
    // As far right as the slowest is at the height of the highest name.
    let share = plane.share_at(bottom - 16.0 - after.len() as f64 * LINE);
    let furthest = sorted.iter().filter_map(|curve| curve.micros_at(share)).fold(range.0, f64::max);
    let column = (plane.x.place(furthest) + 28.0).min(right - names(after));
    elements.extend(beside(after, &plane, column, breadth));
    Drawing { height, elements }
}

/// From the fastest to the slowest that is shown: no further than where one in a thousand is slower, and no further than four
/// times where one in a hundred is.
fn range(curves: &[Curve<'_>]) -> (f64, f64) {
    let at = |share| move |curve: &Curve<'_>| curve.micros_at(share);
    let low = curves.iter().filter_map(at(0.0)).fold(f64::INFINITY, f64::min);
    let slow = |share| curves.iter().filter_map(at(share)).fold(0.0, f64::max);
    let high = slow(LAST).min(slow(0.99) * 4.0);
    if low.is_finite() && high > low { (low * 0.985, high * 1.02) } else { (1.0, 10.0) }
}

/// What a curve is called in a plot of this breadth.
const fn name(path: Path, breadth: Breadth) -> &'static str {
    match breadth {
        Breadth::Half => words::short(path),
        Breadth::Full | Breadth::Narrow => path.title(),
    }
}

/// Lines and figures behind the curves.
fn grid(plane: &Plane, ticks: &[f64]) -> Vec<Element> {
    let mut elements = Vec::new();
    for (share, name) in SHARES {
        let y = plane.y.place(nines(share));
        elements.push(line(if share == 0.0 { "axis" } else { "grid" }, (plane.left, y), (plane.right, y)));
        elements.push(label("tick end", plane.left - 8.0, y + 4.0, name));
    }
    for tick in ticks {
        let x = plane.x.place(*tick);
        elements.push(line("axis", (x, plane.bottom), (x, plane.bottom + 4.0)));
        elements.push(label("tick middle", x, plane.bottom + 18.0, &format!("{tick}")));
    }
    elements.push(label("tick end", plane.right, plane.bottom + 36.0, "µs, logarithmic"));
    elements
}

/// One curve, without points that nobody could tell apart.
fn stroke(curve: &Curve<'_>, plane: &Plane) -> Element {
    let end = curve.micros_at(LAST).map(|micros| (micros, LAST));
    let points = curve.finite().filter(|(_, share)| *share < LAST).chain(end);
    let points = points.take_while(|(micros, _)| *micros <= plane.range.1);
    let mut places: Vec<(f64, f64)> =
        curve.micros_at(0.0).map(|micros| plane.place((micros, 0.0))).into_iter().collect();
    for place in points.map(|point| plane.place(point)) {
        let far = places.last().is_none_or(|last| (place.0 - last.0).hypot(place.1 - last.1) >= 1.5);
        if far {
            places.push(place);
        }
    }
    polyline(&class_of(curve.path, "curve"), &places)
}

/// The names of curves in a column beside them, the first on top, each led to its curve.
fn beside(curves: &[Curve<'_>], plane: &Plane, column: f64, breadth: Breadth) -> Vec<Element> {
    let mut elements = Vec::new();
    for (index, curve) in curves.iter().enumerate() {
        let y = plane.bottom - 16.0 - (curves.len() - 1 - index) as f64 * LINE;
        let Some(micros) = curve.micros_at(plane.share_at(y)) else { continue };
        let at = plane.x.place(micros.min(plane.range.1));
        let (towards, class) = if at > column { (6.0, "name end") } else { (-6.0, "name") };
        elements.push(line(&class_of(curve.path, "leader"), (column + towards, y), (at, y)));
        elements.push(dot(&class_of(curve.path, "dot"), (at, y)));
        elements.push(label(&class_of(curve.path, class), column, y + 4.0, name(curve.path, breadth)));
    }
    elements
}

/// The names of curves below the plot.
fn key(curves: &[Curve<'_>], height: f64) -> Vec<Element> {
    let mut elements = Vec::new();
    for (index, curve) in curves.iter().enumerate() {
        let y = height + 10.0 + index as f64 * LINE;
        elements.push(line(&class_of(curve.path, "curve"), (0.0, y), (28.0, y)));
        elements.push(label("name", 38.0, y + 4.0, curve.path.title()));
    }
    elements
}
