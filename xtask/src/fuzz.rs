//! `./x fuzz`: libFuzzer over the properties of `fuzz/`, on the stable toolchain.

use std::{env::consts::ARCH, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::workspace::{Workspace, run as run_command};

/// Every target.
pub(crate) const TARGETS: &[&str] =
    &["parse", "translate", "errors", "fragments", "track", "ipv6", "translate_ipv6", "errors_ipv6"];
/// How long each target runs without a number, seconds.
const SECONDS: u32 = 60;
/// Longest input, bytes: parameters and a packet with options that embeds another.
const LONGEST: u32 = 256;

/// The pass and its options: what `cargo fuzz` passes, less the sanitizer, which needs another toolchain and would find
/// nothing in code without unsafe blocks.
const COVERAGE: &str = "-Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// `./x fuzz`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A target alone; for how long each runs; or `minimise`, to replace the corpus by as few inputs as cover the same
    #[arg(value_name = "TARGET|SECONDS|minimise", value_parser = word)]
    words: Vec<Word>,
}

/// A word of the command.
#[derive(Clone, Copy, Debug)]
enum Word {
    Target(&'static str),
    Seconds(u32),
    Minimise,
}

fn word(text: &str) -> Result<Word, String> {
    match (text.parse(), TARGETS.iter().find(|target| **target == text)) {
        (Ok(seconds), _) => Ok(Word::Seconds(seconds)),
        (_, Some(target)) => Ok(Word::Target(target)),
        _ if text == "minimise" => Ok(Word::Minimise),
        _ => Err(format!("it is no number, and no target: {}", TARGETS.join(", "))),
    }
}

/// Searches, or minimises.
pub(crate) fn run(workspace: &Workspace, Arguments { words }: &Arguments) -> Result<()> {
    let (mut targets, mut seconds) = (TARGETS.to_vec(), SECONDS);
    let mut minimising = false;
    for word in words {
        match word {
            Word::Seconds(number) => seconds = *number,
            Word::Target(target) => targets = vec![*target],
            Word::Minimise => minimising = true,
        }
    }
    if minimising { minimise(workspace, &targets) } else { search(workspace, &targets, seconds) }
}

/// Runs each target over its corpus and then for `seconds`. What is new goes to the target directory, a finding too.
pub(crate) fn search(workspace: &Workspace, targets: &[&str], seconds: u32) -> Result<()> {
    build(workspace)?;
    for target in targets {
        println!("fuzz {target}: the corpus, then {seconds} s");
        let findings = format!("-artifact_prefix={}/", made(workspace, "findings")?.display());
        let mut fuzzer = workspace.as_builder(program(workspace, target));
        fuzzer
            .args([format!("-max_total_time={seconds}"), format!("-max_len={LONGEST}"), findings])
            .args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=0", "-use_value_profile=1"])
            .arg(made(workspace, &format!("corpus/{target}"))?)
            .arg(corpus(workspace, target));
        run_command(&mut fuzzer).with_context(|| format!("fuzz {target}: a finding, or it cannot run"))?;
    }
    Ok(())
}

/// Replaces each corpus by as few inputs as cover the same, chosen from it, the seeds and what runs found.
fn minimise(workspace: &Workspace, targets: &[&str]) -> Result<()> {
    build(workspace)?;
    let seeds = made(workspace, "seeds")?;
    run_command(
        workspace.cargo("run").args(["--locked", "-q", "--package", "fuzz", "--example", "seeds"]).arg(&seeds),
    )?;
    for target in targets {
        let fresh = made(workspace, &format!("minimal/{target}"))?;
        fs::remove_dir_all(&fresh)?;
        let fresh = made(workspace, &format!("minimal/{target}"))?;
        let corpus = corpus(workspace, target);
        fs::create_dir_all(&corpus)?;
        run_command(
            workspace
                .as_builder(program(workspace, target))
                .args(["-set_cover_merge=1", &format!("-max_len={LONGEST}")])
                .args([&fresh, &corpus, &seeds.join(target), &made(workspace, &format!("corpus/{target}"))?]),
        )?;
        fs::remove_dir_all(&corpus)?;
        fs::create_dir_all(&corpus)?;
        for entry in fs::read_dir(&fresh)? {
            let path = entry?.path();
            fs::copy(&path, corpus.join(path.file_name().context("an input has a name")?))?;
        }
    }
    Ok(())
}

/// Builds all targets with coverage, overflow checks and debug assertions, beside the other builds.
fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo("build");
    cargo
        .args(["--locked", "--quiet", "--release", "--package", "fuzz", "--features", "libfuzzer", "--bins"])
        .args(["--target", &triple(), "--target-dir"])
        .arg(workspace.target.join("fuzz"))
        .env("RUSTFLAGS", COVERAGE)
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
    run_command(&mut cargo)
}

/// With a target given, the flags stay away from build scripts.
fn triple() -> String {
    format!("{ARCH}-unknown-linux-gnu")
}

fn program(workspace: &Workspace, target: &str) -> PathBuf {
    workspace.target.join("fuzz").join(triple()).join("release").join(format!("fuzz-{target}"))
}

fn corpus(workspace: &Workspace, target: &str) -> PathBuf {
    workspace.root.join("fuzz/corpus").join(target)
}

/// A directory among the build's, made by the user who builds.
fn made(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let directory = workspace.target.join("fuzz").join(name);
    run_command(workspace.as_builder("mkdir").arg("-p").arg(&directory))?;
    Ok(directory)
}
