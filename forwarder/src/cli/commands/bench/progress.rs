//! How far a comparison is, for whoever waits; on standard error.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::bench::{Measuring, Progress, Variant};

/// Where there is no terminal, a line comes so often.
const INTERVAL: Duration = Duration::from_secs(10);
/// The spinner turns so often.
const TICK: Duration = Duration::from_millis(100);
const SETTING_UP: &str = "{spinner} {wide_msg}";
const MEASURING: &str = "{bar:24} {pos}/{len}  {wide_msg}";

/// Shows a bar on a terminal, and plain lines elsewhere.
pub(super) struct Shown<'a> {
    out: &'a mut dyn Write,
    bar: Option<ProgressBar>,
    /// When the last line was written.
    last: Instant,
}

impl<'a> Shown<'a> {
    pub(super) fn new(out: &'a mut dyn Write, terminal: bool) -> Self {
        let bar = terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            look(&bar, SETTING_UP);
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { out, bar, last: Instant::now() }
    }

    /// A line where there is no bar. Whether anybody reads it is not worth a failure.
    fn line(&mut self, text: &str) {
        drop(writeln!(self.out, "{text}"));
        self.last = Instant::now();
    }
}

impl Progress for Shown<'_> {
    fn setting_up(&mut self, variant: &Variant) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("setting up: {}", name(variant)));
        } else if self.last.elapsed() >= INTERVAL {
            self.line(&format!("setting up: {}", name(variant)));
        }
    }

    fn measuring(&mut self, step: &Measuring<'_>) {
        let Measuring { variant, metric, round, done, all, left } = *step;
        let left = left_over(left);
        if let Some(bar) = &self.bar {
            if done == 0 {
                // Nothing of ours shall run beside what is measured.
                bar.disable_steady_tick();
                look(bar, MEASURING);
                bar.set_length(all as u64);
            }
            bar.set_position(done as u64);
            bar.set_message(format!("{left} left  round {round}: {} over {}", metric.title(), name(variant)));
        } else if done == 0 || self.last.elapsed() >= INTERVAL {
            self.line(&format!("measuring: {done} of {all} done, round {round}, {left} left"));
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

fn look(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
}

fn name(variant: &Variant) -> String {
    let title = variant.path.title();
    match (variant.scale.namespaces, variant.scale.flows) {
        (1, 0) => title.into(),
        (1, flows) => format!("{title}, {flows} flows"),
        (namespaces, 0) => format!("{title}, {namespaces} namespaces"),
        (namespaces, flows) => format!("{title}, {namespaces} namespaces, {flows} flows"),
    }
}

/// `1:05`.
fn left_over(left: Duration) -> String {
    // Rounded up: nothing is over while it goes on.
    let seconds = left.as_secs() + 1;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
