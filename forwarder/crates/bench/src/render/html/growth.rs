//! How a metric changes with the number of something: a line for each path.

use super::{
    figure::{Breadth, Drawing, bold_width_of, class_of, dot, label, line, polyline, width_of},
    markup::Element,
    scale::{Scale, apart, linear_ticks},
};
use crate::{
    render::{
        numbers::{self, grouped},
        words,
    },
    report::Growth,
};

const TOP: f64 = 14.0;
/// Pixels from one label to the next.
const LINE: f64 = 18.0;

/// Draws growth of one metric with one thing. Counts are equally far apart: they are powers of something.
pub(super) fn draw(growth: &[&Growth], breadth: Breadth) -> Drawing {
    let narrow = breadth == Breadth::Narrow;
    let mut counts: Vec<usize> = growth.iter().flat_map(|growth| &growth.points).map(|point| point.count).collect();
    counts.sort_unstable();
    counts.dedup();
    let values = || growth.iter().flat_map(|growth| &growth.points).map(|point| point.value);
    let most = values().map(|value| value.high).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let ticks = linear_ticks(most);
    let scale = growth.first().map(|growth| numbers::Scale::of(growth.metric, values().map(|value| value.median)));
    let names = growth.iter().map(|growth| bold_width_of(&name(growth))).fold(0.0, f64::max);
    // What is written below the last point reaches beyond it.
    let last = counts.last().map_or(0.0, |count| width_of(&grouped(*count)) / 2.0);
    let (left, bottom) = (48.0, 232.0);
    let right = breadth.pixels() - if narrow { last } else { names + 20.0 };
    let x = Scale::linear((0.0, counts.len().saturating_sub(1) as f64), (left + 16.0, right - 8.0));
    let y = Scale::linear((0.0, ticks.last().copied().unwrap_or(1.0)), (bottom, TOP));
    let place = |count| x.place(counts.iter().position(|found| *found == count).unwrap_or(0) as f64);
    let mut elements = Vec::new();
    for tick in &ticks {
        let at = y.place(*tick);
        elements.push(line(if *tick == 0.0 { "axis" } else { "grid" }, (left, at), (right, at)));
        let figure = scale.map_or_else(String::new, |scale| scale.tick(*tick));
        elements.push(label("tick end", left - 8.0, at + 4.0, &figure));
    }
    for count in &counts {
        elements.push(label("tick middle", place(*count), bottom + 20.0, &grouped(*count)));
    }
    for growth in growth {
        elements.extend(one(growth, &place, &y));
    }
    if narrow {
        elements.extend(key(growth, bottom + 46.0));
        return Drawing { height: bottom + 44.0 + growth.len() as f64 * LINE, elements };
    }
    let last = |growth: &&Growth| growth.points.last().map_or(bottom, |point| y.place(point.value.median));
    let places: Vec<f64> = growth.iter().map(last).collect();
    for (growth, at) in growth.iter().zip(apart(&places, LINE, bottom)) {
        elements.push(label(&class_of(growth.path, "name"), right + 8.0, at + 4.0, &name(growth)));
    }
    Drawing { height: bottom + 30.0, elements }
}

/// `fwd tc × 1.01`: the last point against the first.
fn name(growth: &Growth) -> String {
    let ratio = growth.points.last().map(|point| numbers::ratio(point.to_first.median));
    format!("{} × {}", words::short(growth.path), ratio.unwrap_or_default())
}

/// The line of a path with its intervals.
fn one(growth: &Growth, place: &dyn Fn(usize) -> f64, y: &Scale) -> Vec<Element> {
    let at = |value: f64| y.place(value);
    let points = growth.points.iter().filter(|point| point.value.median.is_finite());
    let places: Vec<(f64, f64)> = points.clone().map(|point| (place(point.count), at(point.value.median))).collect();
    let mut elements = vec![polyline(&class_of(growth.path, "curve"), &places)];
    for point in points {
        let x = place(point.count);
        elements.push(line(&class_of(growth.path, "error"), (x, at(point.value.low)), (x, at(point.value.high))));
        elements.push(dot(&class_of(growth.path, "dot"), (x, at(point.value.median))));
    }
    elements
}

/// The names below the plot.
fn key(growth: &[&Growth], top: f64) -> Vec<Element> {
    let entry = |(index, growth): (usize, &&Growth)| {
        let y = top + index as f64 * LINE;
        [line(&class_of(growth.path, "curve"), (0.0, y), (28.0, y)), label("name", 38.0, y + 4.0, &name(growth))]
    };
    growth.iter().enumerate().flat_map(entry).collect()
}
