//! Bars with intervals: what is more and what is less.

use super::{
    figure::{Breadth, Drawing, bold_width_of, class_of, label, line, width_of},
    markup::Element,
    scale::Scale,
};
use crate::{Path, report::Estimate};

/// A bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    /// What it stands for, and its colour.
    pub(super) path: Path,
    /// Its length and interval.
    pub(super) value: Estimate,
    /// The figure at its end.
    pub(super) figure: String,
    /// What else is said there.
    pub(super) note: String,
}

/// Pixels between a bar and what is written at its end.
const GAP: f64 = 10.0;
/// Thickness of a bar.
const THICK: f64 = 14.0;

/// Where everything is.
struct Plane {
    x: Scale,
    /// Where figures and notes end, if they stand in columns.
    columns: Option<(f64, f64)>,
}

/// Draws bars below each other. `reference` is where a line crosses all of them; figures then stand in columns beyond it.
pub(super) fn draw(bars: &[Bar], reference: Option<f64>, breadth: Breadth) -> Drawing {
    let narrow = breadth == Breadth::Narrow;
    let widest = |width: fn(&Bar) -> f64| bars.iter().map(width).fold(0.0, f64::max);
    let figures = widest(|bar| bold_width_of(&bar.figure));
    let notes = widest(|bar| width_of(&bar.note));
    let left = if narrow { 0.0 } else { widest(|bar| width_of(bar.path.title())) + GAP };
    let right = breadth.pixels() - figures - notes - 2.0 * GAP;
    // In a narrow plot the name stands above its bar.
    let (row, offset) = if narrow { (46.0, 24.0) } else { (30.0, 8.0) };
    let columns = reference.map(|_| (breadth.pixels() - notes - GAP, breadth.pixels()));
    let plane = Plane { x: Scale::linear(range(bars), (left, right)), columns };
    let height = bars.len() as f64 * row + if narrow { 2.0 } else { 4.0 };
    let mut elements = Vec::new();
    for (index, bar) in bars.iter().enumerate() {
        let top = index as f64 * row + offset;
        if narrow {
            elements.push(label("name", 0.0, top - 8.0, bar.path.title()));
        } else {
            elements.push(label("name end", left - GAP, top + THICK - 2.5, bar.path.title()));
        }
        elements.extend(one(bar, &plane, top));
    }
    // Where names stand above their bars, a line through all of them would cross the names.
    let across: Vec<(f64, f64)> = match narrow {
        true => {
            (0..bars.len()).map(|index| index as f64 * row + offset).map(|top| (top - 3.0, top + THICK + 3.0)).collect()
        }
        false => vec![(offset - 4.0, height)],
    };
    for (class, value) in [("axis", (!narrow).then_some(0.0)), ("reference", reference)] {
        let Some(x) = value.map(|value| plane.x.place(value)) else { continue };
        elements.extend(across.iter().map(|(from, to)| line(class, (x, *from), (x, *to))));
    }
    Drawing { height, elements }
}

/// From zero or below it to the end of the longest bar or interval.
fn range(bars: &[Bar]) -> (f64, f64) {
    let values = bars.iter().flat_map(|bar| [bar.value.low, bar.value.median, bar.value.high]);
    values.filter(|value| value.is_finite()).fold((0.0, 0.0), |(low, high), value| (value.min(low), value.max(high)))
}

/// The bar, its interval, and the figure that belongs to it.
fn one(bar: &Bar, plane: &Plane, top: f64) -> Vec<Element> {
    let middle = top + THICK / 2.0;
    let (zero, value) = (plane.x.place(0.0), plane.x.place(bar.value.median));
    let (low, high) = (plane.x.place(bar.value.low), plane.x.place(bar.value.high));
    let body = Element::classed("rect", &class_of(bar.path, "bar"))
        .at([("x", zero.min(value)), ("y", top), ("width", (value - zero).abs().max(1.0)), ("height", THICK)])
        .set("rx", 2);
    let mut elements = vec![body];
    let ends = [low, high].map(|end| ((end, middle - 3.5), (end, middle + 3.5)));
    let strokes = [((low, middle), (high, middle))].into_iter().filter(|_| high - low > 1.0);
    let strokes = strokes.chain(ends.into_iter().filter(|_| high - low > 6.0));
    // A bar may be as dark as its whisker: a rim of the paper's colour keeps them apart.
    for class in ["rim", "whisker"] {
        elements.extend(strokes.clone().map(|(from, to)| line(class, from, to)));
    }
    let baseline = top + THICK - 2.5;
    match plane.columns {
        Some((figures, notes)) => elements.extend([
            label("value end", figures, baseline, &bar.figure),
            label("note end", notes, baseline, &bar.note),
        ]),
        None => elements.push(
            label("value", value.max(high).max(zero) + GAP, baseline, &bar.figure)
                .add(Element::classed("tspan", "note").set("dx", 6).text(&bar.note)),
        ),
    }
    elements
}
