//! Hosts of a run directory: `fwd ls --all-hosts`, and `fwd gc`.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    Listing, Look, Tone, View,
    table::{Grid, Holds, plain, toned},
    units,
};
use fwd_base::text::Untrusted;

/// A host: an item of `fwd ls --all-hosts`.
#[derive(Clone, Debug, Serialize)]
pub struct HostView {
    /// Cookie of its namespace.
    pub cookie: u64,
    /// Whether it is the one on which the command was run.
    pub this: bool,
    /// Names of its namespace under /run/netns, then paths; often none.
    pub names: Vec<Untrusted>,
    /// Whether its namespace exists; unknown where neither the pins tell nor anybody is seen inside.
    pub exists: Option<bool>,
    /// Versions of `fwd` that have something pinned for it.
    pub versions: Vec<String>,
    /// Networks; unknown where another version has pinned them.
    pub networks: Option<usize>,
    /// Endpoints; unknown likewise.
    pub endpoints: Option<usize>,
    /// Memory of its flow table, bytes; none where none is loaded.
    pub memory_bytes: Option<u64>,
}

impl HostView {
    fn state(&self) -> (String, Tone) {
        match (self.this, self.exists) {
            (true, _) => plain("this host"),
            (false, Some(true)) => plain("there"),
            (false, Some(false)) => toned("gone", Tone::Bad),
            (false, None) => toned("not found", Tone::Warn),
        }
    }
}

impl Listing for HostView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if items.is_empty() {
            return writeln!(out, "no hosts");
        }
        let columns = [
            ("COOKIE", Holds::Number),
            ("NAMESPACE", Holds::Name),
            ("STATE", Holds::Text),
            ("NETWORKS", Holds::Number),
            ("ENDPOINTS", Holds::Number),
            ("MEMORY", Holds::Number),
            ("VERSION", Holds::Text),
        ];
        let mut grid = Grid::new(look, &columns);
        let counted = |count: Option<usize>| plain(count.map_or_else(|| "-".into(), |count| count.to_string()));
        for host in items {
            grid.row(vec![
                plain(host.cookie),
                plain(host.names.first().map_or_else(|| "-".into(), ToString::to_string)),
                host.state(),
                counted(host.networks),
                counted(host.endpoints),
                plain(host.memory_bytes.map_or_else(|| "-".into(), units::bytes)),
                plain(if host.versions.is_empty() { "-".into() } else { host.versions.join(", ") }),
            ]);
        }
        grid.write(0, out)?;
        if items.iter().any(|host| !host.this && host.exists != Some(true)) {
            writeln!(out, "\n{} {} gc", look.paint(Tone::Hint, "try:"), look.fwd)?;
        }
        Ok(())
    }
}

/// What was removed of a host that is gone.
#[derive(Clone, Debug, Serialize)]
pub struct CollectedView {
    /// Cookie of its namespace.
    pub cookie: u64,
    /// What was removed, in words.
    pub removed: Vec<String>,
    /// What was left as it is, in words.
    pub left: Vec<String>,
}

/// The result of `fwd gc`.
#[derive(Clone, Debug, Serialize)]
pub struct GcView {
    /// Whether anything had to be done.
    pub changed: bool,
    /// The hosts that were gone.
    pub hosts: Vec<CollectedView>,
}

impl View for GcView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if !self.changed {
            return writeln!(out, "nothing to do: no host is gone");
        }
        for CollectedView { cookie, removed, left } in &self.hosts {
            writeln!(out, "host with cookie {cookie}, which is gone:")?;
            removed.iter().try_for_each(|it| writeln!(out, "  {} {it}", look.paint(Tone::Dim, "removed")))?;
            left.iter().try_for_each(|it| writeln!(out, "  {} {it}", look.paint(Tone::Warn, "left")))?;
        }
        Ok(())
    }
}
