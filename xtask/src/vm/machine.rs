//! A machine that is emulated: a kernel, the files of this host, which it can read, and a job.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{kernel::Kernel, programs::Programs, system::System};
use crate::{
    arch::Arch,
    workspace::{Workspace, run as run_command},
};

/// The first process, and what it hands over to.
const INIT: &str = include_str!("init.sh");
const JOB: &str = include_str!("job.sh");
/// The modules by which a machine gets at the files of the host, where they are not built in.
const MODULES: [&str; 5] = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "netfs"];
/// Memory, and what the kernel is told: what it would find out by looking at the clock of an emulated machine for long, and that a panic is the end.
const MEMORY: &str = "3G";
const COMMAND_LINE: &str = "loglevel=4 panic=-1 mitigations=off nokaslr audit=0 apparmor=0";

/// What is emulated.
struct Board {
    machine: &'static str,
    /// The processor. Signed pointers (arm64) would take the emulator longer than all else.
    cpu: &'static str,
    /// The serial ports without their number.
    port: &'static str,
    /// What the kernel is told besides.
    told: &'static str,
}

/// The board of each processor.
fn board(arch: Arch) -> Board {
    match arch {
        Arch::Amd64 => Board { machine: "pc", cpu: "max", port: "ttyS", told: "no_timer_check" },
        Arch::Arm64 => Board { machine: "virt", cpu: "max,pauth=off", port: "ttyAMA", told: "" },
    }
}

/// What is run in a machine.
pub(super) struct Job<'a> {
    /// The program, and what it is given.
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<String>,
    /// What it is given instead where the kernel does not have what the eBPF data path needs; empty where that makes no difference.
    pub(super) refused: Vec<String>,
    /// What it is given once more, for tests of netkit, where the kernel has it; empty for none.
    pub(super) netkit: Vec<String>,
    /// Where it runs.
    pub(super) directory: &'a Path,
    pub(super) environment: Vec<(&'a str, OsString)>,
    /// When it is over at the latest, seconds.
    pub(super) limit: u32,
}

/// Makes what is needed to boot `kernel` for `job` in `directory`, and returns the command that does. It prints what the job prints; what the
/// kernel prints goes to `console.log` there.
pub(super) fn command(
    workspace: &Workspace,
    (programs, system): (&Programs, &System),
    kernel: &Kernel,
    job: &Job<'_>,
    directory: &Path,
) -> Result<Command> {
    let Board { machine: kind, cpu, port, told } = board(programs.arch());
    let word = |path: &Path| quoted(&path.to_string_lossy());
    let settings = format!(
        "port=/dev/{port}1\nmodules={}\nsystem={}\nset -- {} {}\n",
        word(&kernel.modules),
        word(system.root().unwrap_or(Path::new(""))),
        word(&workspace.root),
        word(&workspace.target)
    );
    let texts = [("init", INIT), ("job.sh", JOB), ("job", &job.script()), ("machine", &settings)];
    let initramfs = initramfs(workspace, (programs, system), kernel, &texts, directory)?;
    let mut timeout = workspace.as_builder("timeout");
    timeout.args(["--kill-after=10", &job.limit.to_string()]);
    let mut machine = programs.emulator(timeout);
    machine.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-machine", kind]);
    machine.args(["-accel", "tcg,thread=multi", "-cpu", cpu, "-smp", "2", "-m", MEMORY]);
    let command_line = format!("console={port}0 {COMMAND_LINE} {told}");
    machine.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs).args(["-append", &command_line]);
    let mut console = OsString::from("file:");
    console.push(directory.join("console.log"));
    machine.arg("-serial").arg(console).args(["-serial", "stdio"]);
    machine.args(["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]);
    Ok(machine)
}

/// Packs the first process, busybox and modules; returns the archive.
fn initramfs(
    workspace: &Workspace,
    (programs, system): (&Programs, &System),
    kernel: &Kernel,
    texts: &[(&str, &str)],
    directory: &Path,
) -> Result<PathBuf> {
    let root = directory.join("initramfs");
    run_command(workspace.as_builder("rm").arg("-rf").arg(&root))?;
    for name in ["bin", "dev", "proc", "host", "memory", "merged"] {
        run_command(workspace.as_builder("mkdir").arg("-p").arg(root.join(name)))?;
    }
    let busybox = system.busybox_file(programs);
    for name in ["bin/busybox", "bin/sh"] {
        fs::copy(&busybox, root.join(name)).with_context(|| format!("cannot copy {}", busybox.display()))?;
    }
    let modules = Path::new("lib/modules").join(&kernel.release);
    for file in kernel.files_of(&MODULES)?.into_iter().chain(["modules.dep".to_owned()]) {
        let (from, to) = (kernel.modules.join(&file), root.join(&modules).join(&file));
        run_command(workspace.as_builder("install").args(["-D", "-m", "644"]).arg(from).arg(to))?;
    }
    for (name, text) in texts {
        fs::write(root.join(name), text).with_context(|| format!("cannot write {name} of the initramfs"))?;
    }
    run_command(workspace.as_builder("chmod").arg("755").arg(root.join("init")))?;
    let archive = directory.join("initramfs.cpio");
    let pack = "cd \"$1\" && find . | \"$2\" cpio -o -H newc >\"$3\" 2>/dev/null";
    run_command(
        workspace.as_builder("sh").args(["-c", pack, "x-vm"]).arg(&root).arg(programs.busybox_file()).arg(&archive),
    )?;
    Ok(archive)
}

impl Job<'_> {
    /// What job.sh reads: the environment, the directory, and the command as positional parameters; and in `refused` and `netkit`, for `eval`,
    /// the others.
    fn script(&self) -> String {
        let Self { program, arguments, refused, netkit, directory, environment, limit: _ } = self;
        let exports: String = environment
            .iter()
            .map(|(key, value)| format!("export {key}={}\n", quoted(&value.to_string_lossy())))
            .collect();
        let program = quoted(&program.to_string_lossy());
        let command = |words: &[String]| {
            let words = words.iter().map(|word| format!(" {}", quoted(word)));
            format!("{program}{}", words.collect::<String>())
        };
        let other = |words: &[String]| quoted(&if words.is_empty() { String::new() } else { command(words) });
        let (directory, refused, netkit) = (quoted(&directory.to_string_lossy()), other(refused), other(netkit));
        format!("{exports}cd {directory}\nrefused={refused}\nnetkit={netkit}\nset -- {}\n", command(arguments))
    }
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_is_read_by_a_shell() {
        let job = Job {
            program: Path::new("/a b/tests"),
            arguments: vec!["--exact".into(), "it's".into()],
            refused: vec!["don't".into()],
            netkit: vec!["do".into()],
            directory: Path::new("/"),
            environment: vec![("KEY", "two words".into())],
            limit: 1,
        };
        let script = format!(
            "{}printf '%s|' \"$KEY\" \"$@\"; eval \"set -- $refused\"; printf '%s|' \"$@\" \"$netkit\"; pwd",
            job.script()
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let expected = "two words|/a b/tests|--exact|it's|/a b/tests|don't|'/a b/tests' 'do'|/\n";
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
