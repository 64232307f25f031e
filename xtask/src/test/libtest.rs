//! Runs test binaries, passes on what they print, and counts.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::report::Tally;
use crate::term;

/// The arguments that make libtest colour its output although it goes through a pipe.
pub(crate) fn colour() -> &'static [&'static str] {
    if term::out().colour() { &["--color=always"] } else { &[] }
}

/// Runs `cargo test …` or one test binary without input; counts from the lines that libtest prints.
pub(crate) fn run(command: &mut Command) -> Result<Tally> {
    run_and_tell(command, |_| {})
}

/// Does the same, and tells of each line.
pub(crate) fn run_and_tell(command: &mut Command, mut tell: impl FnMut(&str)) -> Result<Tally> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run the tests")?;
    let mut tally = Tally::default();
    for line in BufReader::new(child.stdout.take().context("the output is piped")?).split(b'\n') {
        let line = line.context("cannot read the output of the tests")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tell(&line);
        count(&term::plain(&line), &mut tally);
    }
    let status = child.wait().context("cannot wait for the tests")?;
    if !status.success() && tally.failed == 0 {
        // It did not compile, or a test took the whole process with it.
        tally.add(Tally { failed: 1, failures: vec![format!("the test run itself ({status})")], ..Tally::default() });
    }
    Ok(tally)
}

/// Runs several test binaries at once, as [`run`] does each; their lines come as they come.
pub(crate) fn run_side_by_side(commands: Vec<Command>) -> Result<Tally> {
    let tallies: Vec<_> = thread::scope(|scope| {
        let start = |mut command: Command| scope.spawn(move || run(&mut command));
        let runs: Vec<_> = commands.into_iter().map(start).collect();
        runs.into_iter()
            .map(|run| run.join().unwrap_or_else(|_| bail!("a thread that read their output panicked")))
            .collect()
    });
    tallies.into_iter().try_fold(Tally::default(), |mut sum, tally| {
        sum.add(tally?);
        Ok(sum)
    })
}

/// Runs `cargo build …`; returns the test binaries that it has built.
pub(crate) fn build(cargo: &mut Command) -> Result<Vec<PathBuf>> {
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = cargo.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the tests do not build ({})", output.status);
    }
    let binaries = String::from_utf8(output.stdout)?.lines().map(executable).collect::<Result<Vec<_>>>()?;
    Ok(binaries.into_iter().flatten().collect())
}

/// The test binary that a message of cargo tells of, if it does.
fn executable(message: &str) -> Result<Option<PathBuf>> {
    let message: Value = serde_json::from_str(message).context("cargo prints JSON")?;
    let is_test = message["profile"]["test"].as_bool() == Some(true);
    Ok(message["executable"].as_str().filter(|_| is_test).map(PathBuf::from))
}

/// Adds what one line of libtest says: the result of a binary, or the name of a test that failed.
fn count(line: &str, tally: &mut Tally) {
    if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
        tally.failures.push(name.to_owned());
    }
    let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
        return;
    };
    for count in counts.split("; ") {
        let Some((number, what)) = count.split_once(' ') else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        match what {
            "passed" => tally.passed += number,
            "failed" => tally.failed += number,
            "ignored" => tally.ignored += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| count(line, &mut tally));
        tally
    }

    #[test]
    fn results_of_several_binaries_add_up() {
        let tally = counted(&[
            "running 3 tests",
            "test nat::port_is_kept ... ok",
            "test nat::port_is_restored ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 1.20s",
        ]);
        assert_eq!((tally.passed, tally.failed, tally.ignored), (5, 1, 1));
        assert_eq!(tally.failures, ["nat::port_is_restored"]);
    }

    #[test]
    fn only_test_binaries_are_run() {
        let test = r#"{"profile":{"test":true},"executable":"/t/lifecycle-1"}"#;
        let build = r#"{"profile":{"test":false},"executable":"/t/build-script"}"#;
        assert_eq!(executable(test).expect("JSON"), Some(PathBuf::from("/t/lifecycle-1")));
        assert_eq!(executable(build).expect("JSON"), None);
    }
}
