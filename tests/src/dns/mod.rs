//! Names (`--dns`): namespaces find one another, and the outside by whom the host asks.

mod hostile;
mod names;
mod outside;
mod process;

use std::{fs, path::PathBuf, process::Command};

use forwarder::testbed::Output;

use crate::{
    fwd::{Fwd, LIMIT, Pod},
    resolver::Files,
};

/// The host's resolv.conf for as long as the test goes on.
fn host_asks(fwd: &Fwd, resolv_conf: &str) -> Files {
    let files = Files::of(fwd.host().name().as_str());
    files.put("resolv.conf", resolv_conf);
    files
}

/// A program in a namespace, with its own resolv.conf, to its end.
#[track_caller]
fn run_in(fwd: &Fwd, pod: &Pod, argv: &[&str]) -> Output {
    fwd.call(&[&["exec", &pod.name, "--"], argv].concat())
}

/// What `dig` says in a namespace of a question.
#[track_caller]
fn dig(fwd: &Fwd, pod: &Pod, question: &[&str]) -> String {
    // One try, so that what is lost is seen; longer than the server's own.
    let output = run_in(fwd, pod, &[&["dig", "+tries=1", "+time=10"], question].concat());
    format!("{}{}", output.stdout, output.stderr)
}

/// The answers alone, in order.
#[track_caller]
fn short(fwd: &Fwd, pod: &Pod, question: &[&str]) -> Vec<String> {
    let text = dig(fwd, pod, &[question, &["+short"]].concat());
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    lines.sort();
    lines
}

/// A program of a few lines that resolves a name by musl.
fn musl(fwd: &Fwd) -> PathBuf {
    let (source, program) = (fwd.run_dir().join("resolve.c"), fwd.run_dir().join("resolve"));
    fs::write(&source, include_str!("resolve.c")).expect("a file");
    let mut compile = Command::new("musl-gcc");
    compile.args(["-static", "-o"]).arg(&program).arg(&source);
    forwarder::testbed::run(compile, LIMIT).and_then(Output::success).unwrap_or_else(|error| panic!("{error}"));
    program
}

/// What is known of the process of the name server: its number.
#[track_caller]
fn server(fwd: &Fwd) -> Option<u32> {
    let ours = format!("--socket\0{}", fwd.pins().display());
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&ours)))
}
