//! What ran, how long it took, and what came out.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{progress::seconds, term};

/// Counts of one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Tests marked `#[ignore]`: they did not run, and the table says so.
    pub(crate) ignored: usize,
    /// The names of what failed, as far as they are known.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// Adds the counts of another run.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { passed, failed, ignored, failures } = other;
        self.passed += passed;
        self.failed += failed;
        self.ignored += ignored;
        self.failures.extend(failures);
    }

    /// Itself, or an error if nothing ran: a filter with a typo is no success.
    pub(crate) fn or_no_match(self, filters: &[String]) -> Result<Self> {
        if self.passed + self.failed == 0 {
            bail!("no test ran: none matches {:?}", filters.join(" "));
        }
        Ok(self)
    }
}

/// All phases so far.
#[derive(Default)]
pub(crate) struct Report {
    phases: Vec<Phase>,
}

struct Phase {
    name: String,
    tally: Tally,
    took: Duration,
}

impl Report {
    /// Runs a phase under a heading. An error is shown and counts as one failure.
    pub(crate) fn run(&mut self, name: impl Into<String>, phase: impl FnOnce() -> Result<Tally>) -> bool {
        let name = name.into();
        println!("\n{}", term::out().bold(&format!("── {name} ──")));
        let start = Instant::now();
        let tally = phase().unwrap_or_else(|error| {
            eprintln!("{} {error:#}", term::err().red(&format!("{name}:")));
            Tally { failed: 1, failures: vec![name.clone()], ..Tally::default() }
        });
        let good = tally.failed == 0;
        self.phases.push(Phase { name, tally, took: start.elapsed() });
        good
    }

    /// Runs a phase that as a whole counts as one test.
    pub(crate) fn check(&mut self, name: &'static str, phase: impl FnOnce() -> Result<()>) -> bool {
        self.run(name, || phase().map(|()| Tally { passed: 1, ..Tally::default() }))
    }

    /// Runs a preparation: it counts only if it fails, and is told only if it takes time.
    pub(crate) fn setup(&mut self, name: &'static str, phase: impl FnOnce() -> Result<()>) -> bool {
        let start = Instant::now();
        let result = phase();
        if result.is_ok() && start.elapsed() < Duration::from_secs(1) {
            return true;
        }
        let good = self.run(name, || result.map(|()| Tally::default()));
        if let Some(phase) = self.phases.last_mut() {
            phase.took = start.elapsed();
        }
        good
    }

    /// Prints the table, the names of what failed and, alone on the last line, the sum `N passed, N failed`.
    pub(crate) fn close(self) -> Result<()> {
        let style = term::out();
        let mut sum = Tally::default();
        let mut total = Duration::ZERO;
        println!("\n{}", style.bold("── summary ──"));
        for Phase { name, tally, took } in self.phases {
            let verdict = if tally.failed == 0 { style.green("✓") } else { style.red("✗") };
            println!("  {verdict} {name:<24} {:<40} {:>12}", tally.describe(), seconds(took));
            total += took;
            sum.add(tally);
        }
        println!("    {:<24} {:<40} {:>12}", "total", "", seconds(total));
        for failure in &sum.failures {
            println!("  {} {failure}", style.red("failed:"));
        }
        println!("\n{} passed, {} failed", sum.passed, sum.failed);
        if sum.failed > 0 {
            bail!("{} of {} failed", sum.failed, sum.passed + sum.failed);
        }
        Ok(())
    }
}

impl Tally {
    fn describe(&self) -> String {
        let counts = [(self.passed, "passed"), (self.failed, "failed"), (self.ignored, "ignored")];
        let shown = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        shown.collect::<Vec<_>>().join(", ")
    }
}
