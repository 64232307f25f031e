//! How far the operations of a long command are, on standard error where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{execute::Observer, reconcile::Op};

const TEMPLATE: &str = "{bar:24} {pos}/{len} operations  {eta} left  {wide_msg}";
/// Whoever has few operations to wait for sees no bar.
const FEW: usize = 200;
/// A line is drawn so many times a second at most.
const RATE: u8 = 10;

/// Shows a bar, and hands on what it sees to another observer.
pub(super) struct Shown<'a> {
    inner: &'a mut dyn Observer,
    terminal: bool,
    bar: Option<ProgressBar>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(inner: &'a mut dyn Observer, terminal: bool) -> Self {
        Self { inner, terminal, bar: None }
    }
}

impl Observer for Shown<'_> {
    fn planned(&mut self, operations: usize) {
        self.inner.planned(operations);
        if !self.terminal || operations < FEW {
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(operations as u64), ProgressDrawTarget::stderr_with_hz(RATE));
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.enable_steady_tick(Duration::from_secs(1));
        self.bar = Some(bar);
    }

    fn before(&mut self, index: usize, op: &Op) {
        self.inner.before(index, op);
        if let Some(bar) = self.bar.as_ref().filter(|_| op.object.is_notable()) {
            bar.set_message(crate::text::harmless(&op.to_string()).into_owned());
        }
    }

    fn after(&mut self, index: usize, op: &Op) {
        self.inner.after(index, op);
        if let Some(bar) = &self.bar {
            bar.set_position(index as u64 + 1);
        }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
