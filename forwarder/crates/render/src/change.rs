//! `fwd plan`, `fwd apply` and `fwd validate`: what becomes of networks and endpoints.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    Look, Tone, View,
    plan::{StepView, write_steps},
    units,
};
use fwd_base::text::Untrusted;

/// What becomes of a network or an endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeView {
    /// `make`, `change`, `replace`, `remove`, `refuse` or `fail`.
    pub change: &'static str,
    /// The network.
    pub network: Untrusted,
    /// The namespace of an endpoint in it; none: the network itself.
    pub ns: Option<Untrusted>,
    /// The interface inside.
    pub ifname: Option<Untrusted>,
    /// Why it is replaced, is refused, or has failed.
    pub why: Option<Untrusted>,
    /// What is done to it, in words, where it is changed in place; what to do, and how it is meanwhile, where it is refused or has failed.
    pub what: Vec<Untrusted>,
}

/// How a change looks: its sign, its colour, and its word where they are counted.
const LOOKS: [(&str, &str, Tone, &str); 6] = [
    ("make", "+", Tone::Good, "to make"),
    ("change", "~", Tone::Warn, "to change in place"),
    ("replace", "±", Tone::Bad, "to make anew"),
    ("remove", "-", Tone::Bad, "to remove"),
    ("refuse", "!", Tone::Bad, "refused"),
    ("fail", "!", Tone::Bad, "failed"),
];

impl ChangeView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { change, network, ns, ifname, why, what } = self;
        let (sign, tone) = LOOKS
            .iter()
            .find(|(name, ..)| name == change)
            .map_or(("?", Tone::Plain), |(_, sign, tone, _)| (sign, *tone));
        let sign = look.paint(tone, sign);
        match (ns, ifname) {
            (Some(ns), Some(ifname)) => {
                writeln!(out, "{sign} {} {ifname} in {network}", look.paint(Tone::Strong, &ns.to_string()))?
            }
            _ => writeln!(out, "{sign} network {}", look.paint(Tone::Strong, &network.to_string()))?,
        }
        let flows = (*change == "replace" && ns.is_some()).then_some("; its flows end");
        why.iter().try_for_each(|why| writeln!(out, "    {why}{}", flows.unwrap_or_default()))?;
        what.iter().try_for_each(|what| writeln!(out, "    {}", look.paint(Tone::Dim, &what.to_string())))
    }
}

/// `2 to make, 1 to remove`, where there is something.
fn counted(changes: &[ChangeView]) -> String {
    let count = |name: &str| changes.iter().filter(|change| change.change == name).count();
    let counts = LOOKS.iter().map(|(name, _, _, words)| (count(name), words)).filter(|(count, _)| *count > 0);
    counts.map(|(count, words)| format!("{count} {words}")).collect::<Vec<_>>().join(", ")
}

/// The result of `fwd plan`.
#[derive(Clone, Debug, Serialize)]
pub struct ChangesView {
    /// What would become of networks and endpoints, in the order in which it would be done.
    pub changes: Vec<ChangeView>,
    /// The operations.
    pub steps: Vec<StepView>,
}

impl View for ChangesView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { changes, steps } = self;
        if steps.is_empty() && changes.is_empty() {
            return writeln!(out, "nothing to do: all is as it is to be");
        }
        changes.iter().try_for_each(|change| change.text(look, out))?;
        if !changes.is_empty() {
            writeln!(out)?;
        }
        write_steps(steps, look, out)?;
        let operations = units::counted(steps.len() as u64, "operation");
        let counted = counted(changes);
        let colon = if counted.is_empty() { "" } else { ": " };
        writeln!(out, "\n{counted}{colon}{operations}; nothing was changed")
    }
}

/// The result of `fwd apply`.
#[derive(Clone, Debug, Serialize)]
pub struct AppliedView {
    /// Whether anything had to be done.
    pub changed: bool,
    /// What became of networks and endpoints, in the order in which it was done.
    pub changes: Vec<ChangeView>,
}

impl View for AppliedView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if !self.changed && self.changes.is_empty() {
            return writeln!(out, "nothing to do: all is as it is to be");
        }
        if self.changes.is_empty() {
            return writeln!(out, "done: what was left behind is gone");
        }
        self.changes.iter().try_for_each(|change| change.text(look, out))
    }
}

/// The result of `fwd validate`.
#[derive(Clone, Debug, Serialize)]
pub struct ValidView {
    /// The files that were read.
    pub files: Vec<Untrusted>,
    /// How many networks they name.
    pub networks: usize,
    /// How many endpoints.
    pub endpoints: usize,
}

impl View for ValidView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { files, networks, endpoints } = self;
        let files: Vec<String> = files.iter().map(ToString::to_string).collect();
        let (networks, endpoints) =
            (units::counted(*networks as u64, "network"), units::counted(*endpoints as u64, "endpoint"));
        writeln!(out, "{} {}: {networks}, {endpoints}", look.paint(Tone::Good, "valid"), files.join(", "))
    }
}
