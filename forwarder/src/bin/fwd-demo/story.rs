//! How the story is told: headings, commands and what they write, progress on long steps.

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal as _, Write},
    process::Command,
    time::Duration,
};

use forwarder::{
    Context as _, Error, Kind, Result,
    testbed::{self, Output, Snapshot, Testbed},
};
use indicatif::{ProgressBar, ProgressStyle};

/// How long any command of the demo may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Width of the text, columns.
const WIDTH: usize = 100;

/// Where the story goes, and how it looks there.
pub(crate) struct Story {
    out: Box<dyn Write>,
    color: bool,
    /// A spinner is drawn only where both streams are one terminal: it would tear apart what is piped.
    spins: bool,
    step: u32,
}

impl Story {
    /// A story on standard output.
    pub(crate) fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let unset = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            out: Box::new(io::stdout()),
            color: terminal && unset && able,
            spins: terminal && able && io::stderr().is_terminal(),
            step: 0,
        }
    }

    /// A paragraph.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        for line in wrapped(text) {
            self.line(&line)?;
        }
        Ok(())
    }

    /// Begins a step.
    pub(crate) fn step(&mut self, title: &str) -> Result<()> {
        self.step += 1;
        let heading = self.painted("1", &format!("{}. {title}", self.step)).into_owned();
        self.line(&format!("\n{heading}"))
    }

    /// Runs `command`, shown as `shown`, and shows what it writes: of more than `most` lines, the first ones and the last.
    ///
    /// # Errors
    /// It fails, or takes too long.
    pub(crate) fn run(&mut self, shown: &str, command: Command, most: usize) -> Result<Output> {
        let prompt = self.painted("36", &format!("$ {shown}")).into_owned();
        self.line(&format!("  {prompt}"))?;
        let output = self.during(shown, || testbed::run(command, PATIENCE))?;
        let text = format!("{}{}", output.stdout, output.stderr);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        // What a failed command wrote is in the error.
        if output.status.success() {
            self.quote(&lines, most)?;
        }
        output.success()
    }

    /// What a command wrote.
    fn quote(&mut self, lines: &[&str], most: usize) -> Result<()> {
        let cut = if lines.len() > most { most.saturating_sub(2) } else { lines.len() };
        let (shown, rest) = lines.split_at(cut);
        for line in shown {
            let line = self.painted("2", line).into_owned();
            self.line(&format!("    {line}"))?;
        }
        if let [left_out @ .., last] = rest {
            self.line(&format!("    … {} lines more …", left_out.len()))?;
            let last = self.painted("2", last).into_owned();
            self.line(&format!("    {last}"))?;
        }
        Ok(())
    }

    /// Does something that may take longer than a second, and says so meanwhile.
    pub(crate) fn during<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.spins {
            self.out.flush().doing("write", "standard output")?;
            return work();
        }
        let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {wide_msg} {elapsed}") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(100));
        let result = work();
        spinner.finish_and_clear();
        result
    }

    /// As [`during`](Self::during), for work that a line announces where no spinner can.
    pub(crate) fn announced<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.spins {
            self.line(&format!("  {what} …"))?;
        }
        self.during(what, work)
    }

    /// Something that was checked and holds.
    pub(crate) fn holds(&mut self, text: &str) -> Result<()> {
        let mark = self.painted("32", "✓").into_owned();
        self.line(&format!("  {mark} {text}"))
    }

    /// Checks that a host is what it was, and says so.
    ///
    /// # Errors
    /// It differs.
    pub(crate) fn is_as_before(&mut self, testbed: &Testbed, before: &Snapshot, text: &str) -> Result<()> {
        // Mounts are the whole machine's: what others mount meanwhile is not ours.
        let ours = |line: &String| !line.contains("mounts:") || line.contains(testbed.prefix());
        let left: Vec<String> = before.diff(&testbed.snapshot()?).into_iter().filter(ours).collect();
        if left.is_empty() {
            return self.holds(text);
        }
        Err(Error::new(Kind::Failed, "find", "the host as it was before", left.join("\n")))
    }

    /// One line.
    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.out, "{text}").doing("write", "standard output")
    }

    /// How the story ends when it fails; on standard error.
    pub(crate) fn failed(&mut self, error: &Error) {
        let color = self.color && io::stderr().is_terminal();
        let place = if self.step == 0 { String::new() } else { format!(" in step {}", self.step) };
        eprintln!("\n{}: the demo ended{place}: {error}", paint(color, "1;31", "error"));
        if let Some(remedy) = &error.remedy {
            eprintln!("  try: {remedy}");
        }
    }

    fn painted<'a>(&self, code: &str, text: &'a str) -> Cow<'a, str> {
        paint(self.color, code, text)
    }
}

fn paint<'a>(color: bool, code: &str, text: &'a str) -> Cow<'a, str> {
    if color { format!("\x1b[{code}m{text}\x1b[0m").into() } else { text.into() }
}

/// `text` in lines of at most [`WIDTH`] columns.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last + 1 + word.chars().count() > WIDTH && last > 0 {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_keep_their_words_within_the_width() {
        let text = "word ".repeat(100);
        let lines = wrapped(&text);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= WIDTH));
        assert_eq!(lines.join(" "), text.trim());
    }
}
