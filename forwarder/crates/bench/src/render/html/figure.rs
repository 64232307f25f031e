//! A plot with its caption, drawn for a wide screen and for a narrow one.

use super::markup::{Element, px};
use crate::Path;

/// How wide a plot is drawn, pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Breadth {
    /// All of the page.
    Full,
    /// Half of it.
    Half,
    /// All of a telephone.
    Narrow,
}

impl Breadth {
    /// Pixels.
    pub(super) const fn pixels(self) -> f64 {
        match self {
            Self::Full => 1088.0,
            Self::Half => 528.0,
            Self::Narrow => 344.0,
        }
    }
}

/// What is said about a plot.
#[derive(Clone, Debug)]
pub(super) struct Caption {
    /// Names the plot on the page: letters, digits and hyphens.
    pub(super) id: String,
    /// What it shows.
    pub(super) title: String,
    /// How to read it.
    pub(super) about: String,
    /// What one sees, for those who do not see it.
    pub(super) description: String,
}

/// A plot as it is drawn at one breadth.
#[derive(Debug)]
pub(super) struct Drawing {
    /// Pixels.
    pub(super) height: f64,
    /// What is in it.
    pub(super) elements: Vec<Element>,
}

/// The figure: the caption, and `draw`'s plot at `breadth`, for a window with room for half of it only, and for a telephone.
pub(super) fn figure(caption: &Caption, breadth: Breadth, draw: impl Fn(Breadth) -> Drawing) -> Element {
    let class = if breadth == Breadth::Full { "full" } else { "half" };
    let heading = Element::new("figcaption")
        .add(Element::new("h3").text(&caption.title))
        .add(Element::new("p").prose(&caption.about));
    let medium = (breadth == Breadth::Full).then_some(("medium", Breadth::Half));
    let drawings = [("wide", breadth)].into_iter().chain(medium).chain([("narrow", Breadth::Narrow)]);
    let drawings = drawings.map(|(class, breadth)| svg(caption, class, breadth, draw(breadth)));
    Element::classed("figure", class).add(heading).all(drawings)
}

fn svg(caption: &Caption, class: &str, breadth: Breadth, drawing: Drawing) -> Element {
    let (title, description) = (format!("{}-{class}-title", caption.id), format!("{}-{class}-desc", caption.id));
    Element::classed("svg", class)
        .set("xmlns", "http://www.w3.org/2000/svg")
        .set("viewBox", format!("0 0 {} {}", px(breadth.pixels()), px(drawing.height)))
        .set("role", "img")
        .set("aria-labelledby", format!("{title} {description}"))
        .add(Element::new("title").set("id", title).text(&caption.title))
        .add(Element::new("desc").set("id", description).text(&caption.description))
        .all(drawing.elements)
}

/// The class that gives an element a path's colour.
pub(super) fn class_of(path: Path, more: &str) -> String {
    format!("{more} p-{}", path.id())
}

/// Text at a place.
pub(super) fn label(class: &str, x: f64, y: f64, text: &str) -> Element {
    Element::classed("text", class).at([("x", x), ("y", y)]).text(text)
}

/// A straight line.
pub(super) fn line(class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> Element {
    Element::classed("line", class).at([("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)])
}

/// A line through points.
pub(super) fn polyline(class: &str, points: &[(f64, f64)]) -> Element {
    let step =
        |(index, (x, y)): (usize, &(f64, f64))| format!("{}{} {}", if index == 0 { "M" } else { "L" }, px(*x), px(*y));
    Element::classed("path", class).set("d", points.iter().enumerate().map(step).collect::<String>())
}

/// A dot.
pub(super) fn dot(class: &str, (x, y): (f64, f64)) -> Element {
    Element::classed("circle", class).at([("cx", x), ("cy", y), ("r", 3.5)])
}

/// Pixels that a text takes at most. There is no browser to ask: it is as wide as in DejaVu Sans, the widest face that one falls
/// back on where no other is installed.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().map(em).sum::<f64>() * FONT
}

/// The same in bold.
pub(super) fn bold_width_of(text: &str) -> f64 {
    width_of(text) * 1.12
}

/// The size of text in plots, pixels.
const FONT: f64 = 13.0;

/// How wide a letter is, as a share of the size of the font.
const fn em(letter: char) -> f64 {
    match letter {
        ' ' | '.' | ',' | ':' | 'i' | 'j' | 'l' => 0.34,
        '-' | '/' | '(' | ')' | 'f' | 'r' | 't' | 'I' => 0.42,
        '+' | '×' | '%' | 'm' | 'w' | 'M' | 'W' => 0.99,
        'A'..='Z' => 0.79,
        _ => 0.64,
    }
}
