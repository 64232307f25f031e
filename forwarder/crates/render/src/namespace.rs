//! `fwd ns`.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    Listing, Look, Tone, View,
    endpoint::joined,
    place::label,
    table::{Grid, Holds, plain, toned},
};
use fwd_base::text::Untrusted;

/// A process.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct ProcessView {
    /// Its number.
    pub pid: u32,
    /// Its name (`/proc/PID/comm`).
    pub comm: Option<Untrusted>,
}

impl ProcessView {
    /// `comm (pid)`.
    pub(super) fn label(&self) -> String {
        match &self.comm {
            Some(comm) => format!("{comm} ({})", self.pid),
            None => self.pid.to_string(),
        }
    }
}

/// A network namespace: an item of `fwd ns ls`. What cannot be read is `None`.
#[derive(Clone, Debug, Serialize)]
pub struct NamespaceView {
    /// Inode on nsfs.
    pub inode: u64,
    /// Names below /run/netns, then paths of other files that it is bound to.
    pub names: Vec<Untrusted>,
    /// Number of processes inside.
    pub processes: Option<usize>,
    /// One of them.
    pub example: Option<ProcessView>,
    /// Interfaces inside.
    pub interfaces: Option<Vec<Untrusted>>,
    /// Whether this is the host's namespace (or the one given by `--host-netns`).
    pub host: bool,
    /// Whether `fwd` was called in this namespace.
    pub caller: bool,
}

impl NamespaceView {
    /// What the namespace is to the user.
    fn marks(&self) -> &'static str {
        match (self.host, self.caller) {
            (true, true) => "host, caller",
            (true, false) => "host",
            (false, true) => "caller",
            (false, false) => "",
        }
    }
}

impl Listing for NamespaceView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if items.is_empty() {
            let lead = look.paint(Tone::Hint, "try:");
            return writeln!(out, "no namespace has a name\n  {lead} {} ns ls --all", look.fwd);
        }
        let columns = [
            ("NAME", Holds::Name),
            ("INODE", Holds::Text),
            ("PROCS", Holds::Number),
            ("EXAMPLE", Holds::Text),
            ("INTERFACES", Holds::Name),
            ("", Holds::Text),
        ];
        let mut grid = Grid::new(look, &columns);
        for namespace in items {
            let name = if namespace.names.is_empty() { toned("-", Tone::Dim) } else { plain(joined(&namespace.names)) };
            let unknown = || toned("unknown", Tone::Warn);
            let example = match (&namespace.example, namespace.processes) {
                (Some(process), _) => plain(process.label()),
                (None, Some(0)) => toned("-", Tone::Dim),
                (None, _) => unknown(),
            };
            grid.row(vec![
                name,
                plain(namespace.inode),
                namespace.processes.map_or_else(unknown, plain),
                example,
                namespace.interfaces.as_ref().map_or_else(unknown, |names| plain(joined(names))),
                toned(namespace.marks(), Tone::Good),
            ]);
        }
        grid.write(0, out)
    }
}

/// Where a process is: an item of `fwd ns of`.
#[derive(Clone, Debug, Serialize)]
pub struct WhereView {
    /// The process asked for.
    #[serde(flatten)]
    pub process: ProcessView,
    /// Inode of its network namespace.
    pub inode: u64,
    /// Names of the namespace, as in [`NamespaceView`].
    pub names: Vec<Untrusted>,
    /// Whether this is the host's namespace.
    pub host: bool,
    /// Whether `fwd` was called in this namespace.
    pub caller: bool,
    /// The other processes in the namespace.
    pub shared_with: Vec<ProcessView>,
    /// Whether every process of the machine could be examined; otherwise more may share it.
    pub complete: bool,
}

impl Listing for WhereView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        /// Processes named before the rest is only counted.
        const SHOWN: usize = 8;
        for item in items {
            let Self { process, inode, names, host, caller, shared_with, complete } = item;
            let mut place = match names.as_slice() {
                [] => label([None, None], None, *inode),
                names => format!("{}, net:[{inode}]", joined(names)),
            };
            for (is, mark) in [(*host, "the host's"), (*caller, "the caller's")] {
                if is {
                    place.push_str(", ");
                    place.push_str(mark);
                }
            }
            writeln!(out, "{} is in {place}", look.paint(Tone::Strong, &process.label()))?;
            if shared_with.is_empty() {
                writeln!(
                    out,
                    "  {}",
                    if *complete { "alone there" } else { "shared with no process that can be seen" }
                )?;
                continue;
            }
            let shown: Vec<_> = shared_with.iter().take(SHOWN).map(ProcessView::label).collect();
            let more = shared_with.len().saturating_sub(SHOWN);
            let rest = match (more, complete) {
                (0, true) => String::new(),
                (0, false) => " and maybe others that cannot be seen".into(),
                (more, true) => format!(" and {more} more"),
                (more, false) => format!(" and {more} more or others that cannot be seen"),
            };
            writeln!(out, "  {} {}{rest}", look.paint(Tone::Dim, "shared with"), joined(&shown))?;
        }
        Ok(())
    }
}

/// The result of `fwd ns add` and `fwd ns rm`.
#[derive(Clone, Debug, Serialize)]
pub struct NamespaceChange {
    /// Name of the namespace.
    pub ns: Untrusted,
    /// Its inode, where it exists afterwards.
    pub netns_inode: Option<u64>,
    /// Whether anything had to be done.
    pub changed: bool,
}

impl View for NamespaceChange {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { ns, netns_inode, changed } = self;
        let ns = look.paint(Tone::Strong, &ns.to_string());
        match (netns_inode, changed) {
            (Some(_), _) => writeln!(out, "namespace {ns} made"),
            (None, true) => writeln!(out, "namespace {ns} deleted"),
            (None, false) => writeln!(out, "nothing to do: there is no namespace {ns}"),
        }
    }
}
