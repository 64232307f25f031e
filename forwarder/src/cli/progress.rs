//! How far the operations of a long command are, on standard error where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    execute::Observer,
    reconcile::{Object, Op},
};

const TEMPLATE: &str = "{bar:24} {wide_msg} {eta} left";
/// Whoever has few operations to wait for sees no bar.
const FEW: usize = 200;
/// A line is drawn so many times a second at most.
const RATE: u8 = 10;

/// Shows a bar, and hands on what it sees to another observer.
pub(super) struct Shown<'a> {
    inner: &'a mut dyn Observer,
    terminal: bool,
    bar: Option<ProgressBar>,
    networks: Count,
    endpoints: Count,
}

/// How many there are to be made or removed, and how many were so far: each has one record.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    done: usize,
    all: usize,
}

impl Count {
    fn of(ops: &[Op], is_one: fn(&Op) -> bool) -> Self {
        Self { done: 0, all: ops.iter().filter(|op| is_one(op)).count() }
    }

    /// `3 of 12 networks`; nothing where there are none.
    fn told(self, what: &str) -> Option<String> {
        (self.all > 0).then(|| format!("{} of {} {what}", self.done, self.all))
    }
}

fn is_network(op: &Op) -> bool {
    matches!(op.object, Object::Network(_))
}

fn is_endpoint(op: &Op) -> bool {
    matches!(op.object, Object::Endpoint(_))
}

impl<'a> Shown<'a> {
    pub(super) fn new(inner: &'a mut dyn Observer, terminal: bool) -> Self {
        Self { inner, terminal, bar: None, networks: Count::default(), endpoints: Count::default() }
    }

    fn message(&self) -> String {
        let told = [self.networks.told("networks"), self.endpoints.told("endpoints")];
        told.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl Observer for Shown<'_> {
    fn planned(&mut self, operations: &[Op]) {
        self.inner.planned(operations);
        if !self.terminal || operations.len() < FEW {
            return;
        }
        (self.networks, self.endpoints) = (Count::of(operations, is_network), Count::of(operations, is_endpoint));
        let length = Some(operations.len() as u64);
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(RATE));
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.enable_steady_tick(Duration::from_secs(1));
        bar.set_message(self.message());
        self.bar = Some(bar);
    }

    fn before(&mut self, index: usize, op: &Op) {
        self.inner.before(index, op);
    }

    fn after(&mut self, index: usize, op: &Op) {
        self.inner.after(index, op);
        let Some(bar) = &self.bar else { return };
        self.networks.done += usize::from(is_network(op));
        self.endpoints.done += usize::from(is_endpoint(op));
        if is_network(op) || is_endpoint(op) {
            bar.set_message(self.message());
        }
        bar.set_position(index as u64 + 1);
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn what_there_is_none_of_is_not_told() {
        assert_eq!(Count::default().told("networks"), None);
        assert_eq!(Count { done: 3, all: 12 }.told("networks").as_deref(), Some("3 of 12 networks"));
    }
}
