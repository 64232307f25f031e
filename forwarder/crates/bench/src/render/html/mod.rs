//! A report as one self-contained page: no network, no script, plots as SVG, light and dark.

mod bars;
mod cdf;
mod figure;
mod growth;
mod markup;
mod plots;
mod prose;
mod scale;
mod table;

use self::{figure::class_of, markup::Element};
use super::{
    markdown::capitalised,
    numbers::{Scale, percent, percents},
    sheet::sheets,
    words,
};
use crate::{
    Metric, Path,
    report::{Overhead, Report},
};

/// Warnings that are seen at once; more are a click away.
const WARNINGS: usize = 4;

/// The whole page.
#[must_use]
pub fn html(report: &Report) -> String {
    let head = Element::new("head")
        .add(Element::new("meta").set("charset", "utf-8"))
        .add(Element::new("meta").set("name", "viewport").set("content", "width=device-width, initial-scale=1"))
        .add(Element::new("meta").set("name", "color-scheme").set("content", "light dark"))
        .add(Element::new("meta").set("name", "generator").set("content", format!("fwd {}", report.fwd)))
        .add(Element::new("title").text(format!("fwd bench, {}", date(report))))
        .add(Element::new("style").raw(include_str!("style.css")));
    let main = Element::new("main")
        .add(hero(report))
        .all(warnings(report))
        .all(plots::sections(report))
        .add(figures(report))
        .all(not_measured(report))
        .add(environment(report));
    let page = Element::new("html").set("lang", "en").add(head).add(Element::new("body").add(main).add(footer(report)));
    format!("<!DOCTYPE html>\n{page}\n")
}

/// The day of the run.
fn date(report: &Report) -> &str {
    report.started.split('T').next().unwrap_or_default()
}

/// What one wants to know first.
fn hero(report: &Report) -> Element {
    let mut machine = format!("{} · Linux {} · {}", date(report), report.environment.kernel, report.environment.cpu);
    if let Some(load) = words::load(report) {
        machine.push_str(&format!(" · load by {load}"));
    }
    let mut hero = Element::new("header").add(Element::classed("p", "eyebrow").text("fwd bench"));
    let headlines = words::headline(report);
    match headlines.first() {
        Some(first) => {
            let (claim, share) = first.split_once(": ").unwrap_or((first, ""));
            hero = hero.add(Element::new("h1").prose(claim.trim_end_matches('.')));
            if !share.is_empty() {
                hero = hero.add(Element::classed("p", "lead").prose(capitalised(share)));
            }
        }
        None => hero = hero.add(Element::new("h1").text("Data paths side by side")),
    }
    let paths = Path::ALL.into_iter().filter(|path| words::is_own(*path));
    let cards: Vec<Element> = paths.filter_map(|path| card(report, path)).collect();
    if !cards.is_empty() {
        hero = hero.add(Element::classed("div", "cards").all(cards));
    }
    hero.add(Element::classed("p", "machine").prose(machine))
}

/// What a path of fwd's adds, in large figures.
fn card(report: &Report, path: Path) -> Option<Element> {
    let figure = |metric| words::overhead(report, path, metric).map(|overhead| tile(metric, overhead));
    let tiles: Vec<Element> = [Metric::TcpRr, Metric::UdpRr].into_iter().filter_map(figure).collect();
    let title = Element::classed("h2", &class_of(path, "card-title")).text(path.title());
    (!tiles.is_empty()).then(|| Element::classed("section", "card").add(title).add(Element::new("dl").all(tiles)))
}

fn tile(metric: Metric, overhead: &Overhead) -> Element {
    let scale = Scale::micros([overhead.micros.median]);
    let big = Element::classed("dd", "big")
        .text(format!("+{}", scale.figure(overhead.micros.median)))
        .add(Element::classed("span", "unit").text(" µs"));
    let mut tile = Element::new("div")
        .add(Element::new("dt").text(format!("{} over host", metric.title())))
        .add(big)
        .add(Element::classed("dd", "small").prose(format!("{} µs", scale.interval(overhead.micros))));
    if let Some(share) = overhead.of_bridge {
        let text = format!("{} of the bridge’s ({})", percent(share.median), percents(share));
        tile = tile.add(Element::classed("dd", "small").prose(text));
    }
    tile
}

/// What makes the figures doubtful.
fn warnings(report: &Report) -> Option<Element> {
    let list =
        |warnings: &[String]| Element::new("ul").all(warnings.iter().map(|warning| Element::new("li").prose(warning)));
    let (first, more) = report.warnings.split_at(report.warnings.len().min(WARNINGS));
    let heading = Element::new("h2").text("Read with care");
    let mut section = Element::classed("section", "warnings").set("role", "note").add(heading).add(list(first));
    if !more.is_empty() {
        let summary = Element::new("summary").text(format!("{} more", more.len()));
        section = section.add(Element::new("details").add(summary).add(list(more)));
    }
    (!report.warnings.is_empty()).then_some(section)
}

/// All tables.
fn figures(report: &Report) -> Element {
    let metrics = words::metrics(report)
        .into_iter()
        .flat_map(|metric| [Element::new("dt").text(metric.title()), Element::new("dd").prose(words::meaning(metric))]);
    Element::new("section")
        .add(Element::new("h2").text("All figures"))
        .add(Element::classed("p", "about").prose(
            "Medians over the rounds; behind them, in grey, the 95 % bootstrap confidence interval. Ratios and differences are \
             formed within a round.",
        ))
        .add(Element::classed("dl", "metrics").all(metrics))
        .all(sheets(report).iter().map(table::table))
}

/// Paths that this machine does not have.
fn not_measured(report: &Report) -> Option<Element> {
    let items: Vec<Element> = words::unavailable(report)
        .flat_map(|(path, why)| [Element::new("dt").text(path.title()), Element::new("dd").prose(why)])
        .collect();
    let section = Element::new("section").add(Element::new("h2").text("Not measured"));
    (!items.is_empty()).then(|| section.add(Element::classed("dl", "facts").all(items)))
}

/// Machine and settings.
fn environment(report: &Report) -> Element {
    let environment = &report.environment;
    let mut facts: Vec<(String, String)> =
        words::machine(report).into_iter().map(|(label, value)| (label.to_owned(), value)).collect();
    facts.extend(words::load(report).map(|load| ("load by".to_owned(), load)));
    facts.push(("measured".into(), words::settings(report)));
    facts.push(("started".into(), report.started.clone()));
    if !environment.offloads.is_empty() {
        facts.push(("offloads".into(), environment.offloads.join(", ")));
    }
    facts.extend(environment.mitigations.iter().map(|[name, what]| (name.replace('_', " "), what.clone())));
    let facts =
        facts.iter().flat_map(|(label, value)| [Element::new("dt").text(label), Element::new("dd").prose(value)]);
    Element::new("section")
        .add(Element::new("h2").text("Environment"))
        .add(Element::classed("p", "about").text("Absolute figures hold for this machine only: compare ratios."))
        .add(Element::classed("dl", "facts").all(facts))
}

fn footer(report: &Report) -> Element {
    Element::new("footer").add(Element::new("p").text(format!("Measured and drawn by fwd {}.", report.fwd)))
}

#[cfg(test)]
mod tests;
