//! Where output goes, and what can be shown there.

use std::{
    env,
    io::{self, ErrorKind, IsTerminal, Write},
};

use super::args::ColorArg;
use crate::{Context, Error, Result, render};

/// The two streams of a command line program.
pub struct Io<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Errors.
    pub err: &'a mut dyn Write,
    /// Columns of the terminal that `out` is; `None` if it is not one.
    pub out_width: Option<u16>,
    /// Whether `err` is a terminal.
    pub err_is_terminal: bool,
}

impl<'a> Io<'a> {
    /// This process's standard output and error: `out` and `err` must be what [`io::stdout`] and [`io::stderr`] return.
    pub fn stdio(out: &'a mut io::Stdout, err: &'a mut io::Stderr) -> Self {
        let out_width = render::terminal_width();
        let err_is_terminal = err.is_terminal();
        Self { out, err, out_width, err_is_terminal }
    }

    /// Whether results are coloured.
    pub(super) fn out_color(&self, when: ColorArg) -> bool {
        color(when, self.out_width.is_some())
    }

    /// Whether errors are coloured.
    pub(super) fn err_color(&self, when: ColorArg) -> bool {
        color(when, self.err_is_terminal)
    }
}

/// `--color`, then NO_COLOR (<https://no-color.org>), then whether the stream is a terminal that can.
fn color(when: ColorArg, terminal: bool) -> bool {
    match when {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => {
            let unset = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            terminal && unset && env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// The error of writing a result.
pub(super) fn written(result: io::Result<()>) -> Result<()> {
    result.doing("write", "standard output")
}

/// Whether `error` says that the reader of a result has gone, as `fwd ls | head -1` does.
pub(super) fn is_broken_pipe(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == ErrorKind::BrokenPipe)
}
