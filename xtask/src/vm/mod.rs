//! `./x vm`: the tests on other kernels than this machine's, each in an emulated machine.
//!
//! The kernels are Debian's. A machine reads the files of this host, so that it has the same programs, and what it writes stays in its memory;
//! one of another processor has programs of Debian's for that, and `fwd` is built for it. It needs no root, and nothing is installed: emulator,
//! kernels and programs lie below the target directory.

mod kernel;
mod machine;
mod outcome;
mod page;
mod programs;
mod system;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

pub(crate) use self::kernel::Wanted;
use self::{kernel::Kernel, machine::Job, outcome::Outcome, programs::Programs, system::System};
use crate::{
    arch::{Arch, apt::Apt},
    setup,
    test::{
        libtest,
        report::{Report, Tally},
    },
    workspace::{Workspace, run as run_command},
};

/// The tests of the fast set.
const FAST: &str = include_str!("fast.txt");
/// Those of them that are left where the eBPF data path is refused, and others.
const REFUSED: &str = include_str!("refused.txt");
/// Tests of the fast set that run once more with this data path, where the kernel has it.
const NETKIT: &str = include_str!("netkit.txt");
/// How tests run: two at a time, and what those print that pass is shown, too.
const USUAL: [&str; 2] = ["--test-threads=2", "--show-output"];
/// How long machines may take, seconds: with chosen tests, and with all.
const LIMIT: u32 = 30 * 60;
const LIMIT_OF_ALL: u32 = 10 * 3600;
/// By how many times longer tests wait for what they wait for.
const PATIENCE: &str = "10";

/// What `./x vm` takes.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Kernels: a series of Debian's, or newest
    #[arg(value_name = "KERNEL", default_values = ["6.1", "6.12", "6.18", "newest"])]
    kernels: Vec<Wanted>,
    /// The processor that is emulated
    #[arg(long, value_name = "PROCESSOR", default_value = "amd64")]
    arch: Arch,
    /// Run the whole suite on each, which takes hours
    #[arg(long)]
    full: bool,
    /// Run the tests whose names contain one of these, instead of the fast set; docs/kernels.md stays as it is
    #[arg(long, value_name = "FILTER", conflicts_with = "full", value_delimiter = ',')]
    test: Vec<String>,
    /// The data path that `fwd up` is asked for by those of these tests that name none
    #[arg(long, value_name = "DATAPATH", requires = "test")]
    datapath: Option<String>,
}

/// Runs the tests on each kernel, and writes what came out into docs/kernels.md.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    setup::packages()?;
    setup::linker::ensure(workspace)?;
    let binary = build(workspace, arguments.arch)?;
    let directory = workspace.target.join("vm");
    run_command(workspace.as_builder("mkdir").arg("-p").arg(&directory))?;
    let apt = Apt::at(workspace, arguments.arch)?;
    let programs = Programs::get(
        &Apt::at(workspace, Arch::NATIVE)?,
        directory.join(format!("programs-{}", arguments.arch)),
        arguments.arch,
    )?;
    let system = System::get(&apt, directory.join(format!("system-{}", arguments.arch)), arguments.arch)?;
    let mut report = Report::default();
    let mut rows = Vec::new();
    for wanted in &arguments.kernels {
        let mut name = format!("Linux {wanted}");
        let kernel = Kernel::get(workspace, &apt, &programs, (arguments.arch, wanted), &directory.join("kernels"));
        if let Ok(kernel) = &kernel {
            name = format!("Linux {}", kernel.release);
        }
        report.run(name, || {
            let kernel = kernel?;
            let (outcome, tally) = try_out(workspace, (&programs, &system), &kernel, &binary, arguments)?;
            rows.push(outcome.row(&kernel.release, &kernel.version, &tally));
            Ok(tally)
        });
    }
    if arguments.test.is_empty() {
        write(workspace, &rows)?;
    }
    report.close()
}

/// Builds `fwd` and its tests for a processor; returns the program that has the tests.
fn build(workspace: &Workspace, arch: Arch) -> Result<PathBuf> {
    arch.ensure(workspace)?;
    let mut cargo = arch.cargo(workspace, "build");
    match arch.is_native() {
        // As `./x test` does.
        true => cargo.args(["--locked", "--bins"]),
        false => {
            cargo.args(["--locked", "--package=forwarder", "--package=tests", "--bin=fwd", "--bin=fwd-test-helper"])
        }
    };
    let binaries = libtest::build(cargo.args(["--test", "tests"]))?;
    match <[PathBuf; 1]>::try_from(binaries) {
        Ok([binary]) => Ok(binary),
        Err(binaries) => bail!("one binary of tests was expected, not {}", binaries.len()),
    }
}

/// Boots a kernel and runs tests on it.
fn try_out(
    workspace: &Workspace,
    (programs, system): (&Programs, &System),
    kernel: &Kernel,
    binary: &Path,
    arguments: &Arguments,
) -> Result<(Outcome, Tally)> {
    let directory = workspace.target.join("vm/machines").join(&kernel.release);
    run_command(workspace.as_builder("mkdir").arg("-p").arg(&directory))?;
    let is_fast = arguments.test.is_empty() && !arguments.full;
    let words = |names: Vec<String>| [USUAL.map(str::to_owned).to_vec(), names].concat();
    let exact = |list: &str| words(std::iter::once("--exact".to_owned()).chain(names(list)).collect());
    let package = workspace.root.join("tests");
    let job = Job {
        program: binary,
        arguments: if is_fast { exact(FAST) } else { words(arguments.test.clone()) },
        refused: if is_fast { exact(REFUSED) } else { Vec::new() },
        netkit: if is_fast { exact(NETKIT) } else { Vec::new() },
        directory: &package,
        environment: environment(binary, package.clone(), arguments.datapath.as_deref()),
        limit: if arguments.full { LIMIT_OF_ALL } else { LIMIT },
    };
    let mut outcome = Outcome::default();
    let mut machine = machine::command(workspace, (programs, system), kernel, &job, &directory)?;
    let tally = libtest::run_and_tell(&mut machine, |line| outcome.take(line))?;
    let console = directory.join("console.log");
    if outcome.kernel.is_none() {
        bail!("the machine did not get as far as the tests: {} has what the kernel said", console.display());
    }
    let list = if outcome.refused.is_some() { REFUSED } else { FAST };
    let again = if outcome.netkit { NETKIT } else { "" };
    let (ran, expected) = (tally.passed + tally.failed, names(list).chain(names(again)).count());
    if is_fast && ran != expected {
        let console = console.display();
        bail!(
            "{ran} of {expected} tests ran: the list names one that is not there, or the kernel has ended, see {console}"
        );
    }
    Ok((outcome, tally.or_no_match(&arguments.test)?))
}

/// The tests that a list names.
fn names(list: &str) -> impl Iterator<Item = String> {
    list.lines().filter(|line| !line.starts_with('#')).map(str::to_owned)
}

/// What tests want to know.
fn environment(binary: &Path, package: PathBuf, datapath: Option<&str>) -> Vec<(&'static str, OsString)> {
    // Tests lie in `deps` beside the programs.
    let fwd = binary.ancestors().nth(2).unwrap_or(binary).join("fwd");
    let usual = [
        ("FWD_BIN", fwd.into()),
        ("FWD_PATIENCE", PATIENCE.into()),
        ("CARGO_MANIFEST_DIR", package.into()),
        ("INSTA_UPDATE", "no".into()),
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
    ];
    usual.into_iter().chain(datapath.map(|datapath| ("FWD_TEST_DATAPATH", datapath.into()))).collect()
}

/// Puts rows into the page.
fn write(workspace: &Workspace, rows: &[String]) -> Result<()> {
    let path = workspace.root.join(page::FILE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::write(&path, page::with_rows(&page, rows)?).with_context(|| format!("cannot write {}", path.display()))
}
