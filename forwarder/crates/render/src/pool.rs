//! `fwd pool`.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use serde::Serialize;

use super::{
    Listing, Look, Tone, View,
    endpoint::joined,
    table::{Grid, Holds, plain, toned},
};
use fwd_base::text::Untrusted;

/// An endpoint that is nobody's yet: an item of `fwd pool ls`.
#[derive(Clone, Debug, Serialize)]
pub struct PooledView {
    /// The network.
    pub network: Untrusted,
    /// What the namespace is called until somebody is given it.
    pub ns: Untrusted,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Host-side veth.
    pub host_if: Untrusted,
    /// `tcx` or `clsact`.
    pub attach: String,
    /// Why nobody is going to be given it; none if it is as it was left.
    pub changed: Option<Untrusted>,
}

impl Listing for PooledView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if items.is_empty() {
            return writeln!(out, "nothing in the pool\n  {} {} pool N", look.paint(Tone::Hint, "try:"), look.fwd);
        }
        let columns = [
            ("NETWORK", Holds::Name),
            ("NAMESPACE", Holds::Text),
            ("ADDRESS", Holds::Text),
            ("HOST VETH", Holds::Text),
            ("ATTACH", Holds::Text),
            ("STATE", Holds::Text),
        ];
        let mut grid = Grid::new(look, &columns);
        for item in items {
            grid.row(vec![
                plain(&item.network),
                plain(&item.ns),
                plain(joined(&item.addresses)),
                plain(&item.host_if),
                plain(&item.attach),
                item.changed.as_ref().map_or_else(|| plain("ready"), |why| toned(why, Tone::Bad)),
            ]);
        }
        grid.write(0, out)
    }
}

/// What `fwd pool N` has done.
#[derive(Clone, Debug, Serialize)]
pub struct PoolChange {
    /// The network.
    pub network: Untrusted,
    /// How many are in the pool now.
    pub size: usize,
    /// How many were made.
    pub made: usize,
    /// How many were removed.
    pub removed: usize,
    /// Whether the network is there.
    pub up: bool,
}

impl View for PoolChange {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { network, size, made, removed, up } = self;
        let network = look.paint(Tone::Strong, &network.to_string());
        if !up && *size == 0 && *removed == 0 {
            return writeln!(out, "network {network} is not there: nothing was prepared");
        }
        let done = match (made, removed) {
            (0, 0) => "nothing changed".into(),
            (made, 0) => format!("{made} made"),
            (0, removed) => format!("{removed} removed"),
            (made, removed) => format!("{made} made, {removed} removed"),
        };
        writeln!(out, "the pool of network {network} has {size}: {done}")
    }
}

/// What `fwd pool rm` has done.
#[derive(Clone, Debug, Serialize)]
pub struct PoolRemoval {
    /// Whether anything was in a pool.
    pub changed: bool,
    /// What was removed, in words, in the order of removal.
    pub removed: Vec<Untrusted>,
}

impl View for PoolRemoval {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", if self.changed { "the pool is empty" } else { "nothing was in the pool" })?;
        self.removed.iter().try_for_each(|object| writeln!(out, "  {} {object}", look.paint(Tone::Dim, "removed")))
    }
}

#[cfg(test)]
mod tests {
    use crate::samples::{self, text};

    #[test]
    fn each_of_the_pool_has_a_line_with_what_it_is_good_for() {
        let listed = text(&vec![samples::pooled(None), samples::pooled(Some("a process is in it"))], None);
        let lines: Vec<&str> = listed.lines().collect();
        assert!(lines.len() == 3 && lines[1].contains("ready") && lines[2].contains("a process is in it"), "{listed}");
        assert!(text(&Vec::<super::PooledView>::new(), None).contains("pool N"));
    }

    #[test]
    fn what_was_made_and_removed_is_told() {
        for (made, removed, words) in
            [(0, 0, "nothing changed"), (2, 0, "2 made"), (0, 1, "1 removed"), (2, 1, "2 made, 1 removed")]
        {
            assert_eq!(
                text(&samples::pool_change(made, removed), None),
                format!("the pool of network web has 2: {words}\n")
            );
        }
        let absent = super::PoolChange { size: 0, up: false, ..samples::pool_change(0, 0) };
        assert!(text(&absent, None).contains("is not there"));
        let gone = super::PoolRemoval { changed: true, removed: vec!["namespace fwd-pool-1".into()] };
        assert!(text(&gone, None).contains("removed namespace fwd-pool-1"));
    }
}
