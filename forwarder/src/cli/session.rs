//! What every command works with: the host's namespace, the run directory, and the output.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use super::{
    args::GlobalArgs,
    io::{Io, written},
};
use crate::{
    Context as _, Result,
    dataplane::Dataplane,
    execute::{HostContext, Planned, Step},
    query::HostNetns,
    render::{self, Listing, Look, PlanView, StepView, View},
};

/// Bytes of output that are written at once.
const OUTPUT: usize = 64 * 1024;

/// One run of `fwd`, after it has entered the namespace that plays the host.
pub(super) struct Session<'a, 'io> {
    /// The host, and where `fwd` was called.
    pub(super) at: HostNetns,
    /// How results look.
    pub(super) look: Look,
    /// How the user gave the host.
    host_name: Option<String>,
    /// The cgroup that he named.
    cgroup: Option<PathBuf>,
    json: bool,
    err_color: bool,
    io: &'a mut Io<'io>,
}

impl<'a, 'io> Session<'a, 'io> {
    /// A session at a host.
    pub(super) fn new(at: HostNetns, global: &GlobalArgs, look: Look, io: &'a mut Io<'io>) -> Self {
        let err_color = io.err_color(global.color);
        let (host_name, cgroup) = (global.host_netns.clone(), global.cgroup());
        Self { at, look, host_name, cgroup, json: global.is_json(), err_color, io }
    }

    /// Shows a result.
    pub(super) fn emit(&mut self, view: &impl View) -> Result<()> {
        // Standard output is written line by line otherwise, each with a system call.
        let out = &mut BufWriter::with_capacity(OUTPUT, &mut *self.io.out);
        written(if self.json { render::write_json(view, out) } else { view.text(&self.look, out) })?;
        written(out.flush())
    }

    /// Shows a result as JSON, whatever was asked for.
    pub(super) fn emit_json(&mut self, view: &impl View) -> Result<()> {
        let out = &mut BufWriter::with_capacity(OUTPUT, &mut *self.io.out);
        written(render::write_json(view, out))?;
        written(out.flush())
    }

    /// Shows a list that may be long: `view` makes each item when it is its turn.
    pub(super) fn emit_each<T: Sync, V: Listing>(
        &mut self,
        items: &[T],
        view: &(impl Fn(&T) -> V + Sync),
    ) -> Result<()> {
        if !self.json {
            return self.emit(&items.iter().map(view).collect::<Vec<V>>());
        }
        let out = &mut *self.io.out;
        written(render::write_json_list(items, view, out))?;
        written(out.flush())
    }

    /// Shows a part of a result that goes on, as text; nothing where the result will be one document of JSON.
    pub(super) fn emit_part(&mut self, part: impl FnOnce(&Look, &mut dyn Write) -> io::Result<()>) -> Result<()> {
        if self.json {
            return Ok(());
        }
        let out = &mut *self.io.out;
        written(part(&self.look, out))?;
        written(out.flush())
    }

    /// Shows one of results that come one after the other: a line of JSON, or text.
    pub(super) fn emit_line(&mut self, view: &impl View) -> Result<()> {
        let out = &mut BufWriter::new(&mut *self.io.out);
        written(if self.json { render::write_json_line(view, out) } else { view.text(&self.look, out) })?;
        written(out.flush())
    }

    /// Whether results are JSON.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether results are shown on a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        self.look.width.is_some()
    }

    /// Tells what the user ought to know besides, on stderr.
    pub(super) fn warn(&mut self, warnings: &[String]) -> Result<()> {
        let look = Look { color: self.err_color, width: None, fwd: self.look.fwd.clone() };
        warnings
            .iter()
            .try_for_each(|warning| render::write_warning(warning, &look, self.io.err))
            .doing("write", "a warning")
    }

    /// Where progress is shown, and whether that is a terminal.
    pub(super) fn err(&mut self) -> (&mut dyn Write, bool) {
        (&mut *self.io.err, self.io.err_is_terminal)
    }

    /// Shows what a command would do.
    pub(super) fn emit_plan(&mut self, planned: Planned) -> Result<()> {
        let Planned { steps, warnings } = planned;
        self.warn(&warnings)?;
        self.emit(&self::steps(steps))
    }

    /// Writes a text as it is.
    pub(super) fn write(&mut self, text: &str) -> Result<()> {
        written(self.io.out.write_all(text.as_bytes()))
    }

    /// How the user gave the host, where it is not the caller's namespace.
    pub(super) fn host_name(&self) -> Option<&str> {
        self.host_name.as_deref()
    }

    /// Where `up` and `down` act.
    pub(super) fn context(&self) -> HostContext {
        let (host, cgroup) = (self.host_name.clone(), self.cgroup.clone());
        HostContext { host, cgroup, ..HostContext::new(self.at.run_dir.clone()) }
    }

    /// The data path of this host, to be read, if anything is up.
    pub(super) fn dataplane(&self) -> Result<Option<Dataplane>> {
        self.at.dataplane()
    }
}

/// Operations as they are shown.
pub(super) fn steps(steps: Vec<Step>) -> PlanView {
    let view =
        |(index, Step { operation, commands })| StepView { step: index + 1, operation: operation.into(), commands };
    steps.into_iter().enumerate().map(view).collect()
}
