//! The language of graphviz (dot(1)).

use std::io::{self, Write};

use super::GraphView;

/// Writes a graph for `dot`.
///
/// # Errors
/// Those of `out`.
pub fn write_dot(view: &GraphView, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "graph fwd {{\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];")?;
    let node = |out: &mut dyn Write, id: &str, title: &str, lines: &[String], more: &str| {
        let label: Vec<String> = [title.to_owned()].iter().chain(lines).map(|line| quoted(line)).collect();
        writeln!(out, "  {id} [label=\"{}\"{more}];", label.join("\\n"))
    };
    node(out, "outside", "outside", &[], ", shape=ellipse")?;
    for (index, uplink) in view.uplinks.iter().enumerate() {
        node(out, &format!("u{index}"), &uplink.uplink.to_string(), &uplink.lines(), "")?;
        writeln!(out, "  u{index} -- outside;")?;
    }
    for (index, bridge) in view.bridges.iter().enumerate() {
        let bold = if bridge.is_ours() { ", penwidth=2" } else { "" };
        node(out, &format!("b{index}"), &bridge.title(), &bridge.lines(), bold)?;
        for (number, port) in bridge.ports.iter().enumerate() {
            node(out, &format!("b{index}p{number}"), &port.title(), &port.lines(), "")?;
            writeln!(out, "  b{index}p{number} -- b{index};")?;
        }
        for (number, _) in view.uplinks.iter().enumerate().filter(|(_, it)| bridge.leaves_by.contains(&it.uplink)) {
            writeln!(out, "  b{index} -- u{number};")?;
        }
    }
    writeln!(out, "}}")
}

/// Text between double quotes.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
