//! A drawing for a browser, light and dark as the reader has it.

use std::io::{self, Write};

use super::{
    GraphView,
    layout::{Joined, Kind, Layout, Placed, layout},
};

const STYLE: &str = include_str!("style.css");

/// Writes a drawing that is whole in itself: no font, no script and no other file.
///
/// # Errors
/// Those of `out`.
pub fn write_svg(view: &GraphView, out: &mut dyn Write) -> io::Result<()> {
    let Layout { boxes, lines, width, height } = layout(view);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"img\">\n<title>Networks of this host</title>\n<style>\n{STYLE}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>"
    )?;
    lines.iter().try_for_each(|line| write_line(line, out))?;
    boxes.iter().try_for_each(|placed| write_box(placed, out))?;
    writeln!(out, "</svg>")
}

fn write_line(line: &Joined, out: &mut dyn Write) -> io::Result<()> {
    let Joined { from: (x1, y1), to: (x2, y2), own } = *line;
    let (half, class) = ((x2 - x1) / 2.0, if own { "own" } else { "other" });
    let (a, b) = (x1 + half, x2 - half);
    writeln!(
        out,
        "<path class=\"line {class}\" d=\"M{x1:.1} {y1:.1} C{a:.1} {y1:.1} {b:.1} {y2:.1} {x2:.1} {y2:.1}\"/>"
    )
}

fn write_box(placed: &Placed, out: &mut dyn Write) -> io::Result<()> {
    let Placed { x, y, width, height, .. } = placed;
    let class = match placed.kind {
        Kind::Namespace => "namespace",
        Kind::OwnBridge => "own",
        Kind::OtherBridge => "other",
        Kind::Uplink => "uplink",
        Kind::Outside => "outside",
    };
    let round = if placed.kind == Kind::Outside { height / 2.0 } else { 9.0 };
    writeln!(
        out,
        "<rect class=\"box {class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{round:.1}\"/>"
    )?;
    let text = |out: &mut dyn Write, class: &str, line: usize, text: &str| {
        let (x, y) = (placed.left(), placed.baseline(line));
        writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text))
    };
    text(out, "title", 0, &placed.title)?;
    placed.lines.iter().zip(1..).try_for_each(|(line, number)| text(out, "detail", number, line))
}

/// Text of XML 1.0, which cannot say U+FFFE and U+FFFF at all (2.2).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::write_svg;
    use crate::{graph::write_dot, samples};

    #[test]
    fn names_do_not_become_markup() {
        let mut view = samples::graph(1, 1);
        view.bridges[0].ports[0].ns = Some("<script>&\"\\\u{ffff}".into());
        let (mut svg, mut dot) = (Vec::new(), Vec::new());
        write_svg(&view, &mut svg).expect("memory");
        write_dot(&view, &mut dot).expect("memory");
        let (svg, dot) = (String::from_utf8(svg).expect("text"), String::from_utf8(dot).expect("text"));
        assert!(svg.contains("&lt;script&gt;&amp;\"\\\u{fffd}") && !svg.contains("<script"), "{svg}");
        assert!(dot.contains(r#"<script>&\"\\"#), "{dot}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
