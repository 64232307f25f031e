//! The tables of a report as tables of the page.

use super::{figure::class_of, markup::Element};
use crate::{
    Path,
    render::{
        sheet::{Is, Sheet},
        words,
    },
};

/// A table with its heading, in a box that scrolls where the page is too narrow.
pub(super) fn table(sheet: &Sheet) -> Element {
    let titled = sheet.blocks.iter().any(|block| !block.title.is_empty());
    let mut head = Element::new("thead");
    if titled {
        let blocks = sheet.blocks.iter().map(|block| {
            Element::new("th").set("colspan", block.columns.len()).set("scope", "colgroup").text(&block.title)
        });
        head = head.add(Element::classed("tr", "blocks").add(Element::new("td")).all(blocks));
    }
    let columns = sheet.blocks.iter().flat_map(|block| {
        let column = |(index, column): (usize, &crate::render::sheet::Column)| {
            cell("th", index == 0 && titled, column.is).set("scope", "col").text(&column.title)
        };
        block.columns.iter().enumerate().map(column).collect::<Vec<_>>()
    });
    head = head.add(Element::new("tr").add(Element::new("th").set("scope", "col").text("path")).all(columns));
    let rows = sheet.paths.iter().enumerate().map(|(index, path)| row(sheet, index, *path));
    let caption =
        Element::new("caption").add(Element::new("strong").text(&sheet.title)).text(format!(" {}", sheet.about));
    let table = Element::new("table").add(caption).add(head).add(Element::new("tbody").all(rows));
    Element::classed("div", "scroll")
        .set("role", "region")
        .set("tabindex", 0)
        .set("aria-label", &sheet.title)
        .add(table)
}

/// The row of a path.
fn row(sheet: &Sheet, index: usize, path: Path) -> Element {
    let titled = sheet.blocks.iter().any(|block| !block.title.is_empty());
    let name = Element::new("th")
        .set("scope", "row")
        .add(Element::classed("span", &class_of(path, "swatch")).text(""))
        .text(path.title());
    let cells = sheet.blocks.iter().flat_map(|block| {
        let one = |(place, column): (usize, &crate::render::sheet::Column)| {
            cell("td", place == 0 && titled, column.is).text(column.cells.get(index).map_or("", String::as_str))
        };
        block.columns.iter().enumerate().map(one).collect::<Vec<_>>()
    });
    Element::classed("tr", if words::is_own(path) { "own" } else { "other" }).add(name).all(cells)
}

/// A cell: the first of a block keeps its distance, intervals keep in the background.
fn cell(name: &'static str, first: bool, is: Is) -> Element {
    let class = match (first, is) {
        (true, _) => "first",
        (false, Is::Interval) => "interval",
        (false, Is::Figure) => "figure",
    };
    Element::classed(name, class)
}
