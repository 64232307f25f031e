//! Root for what needs it: apt and the finished binaries.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{IsTerminal as _, stderr, stdin},
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::workspace::{is_root, on_path};

/// A way to run a command as root.
#[derive(Clone, Copy)]
pub(crate) enum Root {
    /// This process is root.
    Already,
    /// `sudo` lets the user through.
    Sudo,
}

impl Root {
    /// Finds out how to become root; asks for the password of sudo where there is a terminal to type it on.
    pub(crate) fn obtain() -> Result<Self> {
        if is_root() {
            return Ok(Self::Already);
        }
        if !on_path("sudo") {
            bail!("this needs root: run it as root, or install sudo");
        }
        let quiet = |arguments: &[&str]| Command::new("sudo").args(arguments).stderr(Stdio::null()).status();
        if quiet(&["-n", "true"]).is_ok_and(|status| status.success()) {
            return Ok(Self::Sudo);
        }
        if stdin().is_terminal() && stderr().is_terminal() {
            eprintln!("x: the tests' and the demo's network namespaces, and apt, need root");
            if Command::new("sudo").arg("-v").status().is_ok_and(|status| status.success()) {
                return Ok(Self::Sudo);
            }
        }
        bail!("this needs root: run it as root, or let sudo work without a password");
    }

    /// `program` as root with `environment` on top of what root has, and with the administration commands on the PATH.
    pub(crate) fn command(self, program: impl AsRef<OsStr>, environment: &[(&str, &OsStr)]) -> Command {
        let mut path = env::var_os("PATH").unwrap_or_default();
        path.push(":/usr/local/sbin:/usr/sbin:/sbin");
        match self {
            Self::Already => {
                let mut command = Command::new(program);
                command.env("PATH", path).envs(environment.iter().copied());
                if env::var_os("X_BUILD_UID").is_some() {
                    // `x` set HOME to the building user's: nothing of root's may land there.
                    command.env("HOME", "/root");
                }
                command
            }
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["-H", "--", "env"]).arg(assignment("PATH", &path));
                command.args(environment.iter().map(|(key, value)| assignment(key, value))).arg(program);
                command
            }
        }
    }
}

fn assignment(key: &str, value: &OsStr) -> OsString {
    let mut assignment = OsString::from(format!("{key}="));
    assignment.push(value);
    assignment
}
