//! The process that answers: started with the first container that has a name, told of others by a signal. It ends by itself where no file is left.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::Path,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::replacement::failure::{Failure, Result};

/// What has failed, as netavark says it.
const STARTING: &str = "aardvark-dns failed to start";
/// Where systemd says that it has started the machine (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// Has the server of this directory read its files again; its process, if there is one.
pub(super) fn signal(directory: &Path) -> Option<Pid> {
    let noted = fs::read_to_string(directory.join("aardvark.pid")).ok()?;
    let pid: i32 = noted.trim().parse().ok().filter(|pid| *pid > 1)?;
    // A number may be somebody else's by now, whom the signal would end.
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = words.split(|byte| *byte == 0);
    if !words.any(|word| word == directory.as_os_str().as_bytes()) {
        return None;
    }
    let pid = Pid::from_raw(pid);
    kill(pid, Signal::SIGHUP).ok().map(|()| pid)
}

/// What to say of a server in another network namespace, from where it answers nobody here.
pub(super) fn is_elsewhere(pid: Pid, directory: &Path) -> Option<String> {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let (own, its) = (of("self")?, of(&pid.to_string())?);
    (own != its).then(|| {
        format!(
            "aardvark-dns runs in a different netns, dns will not work for this container. To resolve please stop all containers, kill the \
             aardvark-dns process, remove the {} directory and then start the containers again",
            directory.display()
        )
    })
}

/// Starts it. Where systemd has started the machine, in a scope of its own: it would end with the unit of the container that was the first.
///
/// # Errors
/// What it says.
pub(super) fn start(program: &Path, directory: &Path, port: u16, rootless: bool) -> Result<()> {
    let is_executable = |file: fs::Metadata| file.is_file() && file.permissions().mode() & 0o111 != 0;
    if !fs::metadata(program).is_ok_and(is_executable) {
        let why = format!("Failed to find executable {}", program.display());
        return Err(Failure::new(why).while_doing(STARTING));
    }
    let in_path = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(name).exists())
    };
    let mut words: Vec<OsString> = Vec::new();
    if Path::new(SYSTEMD).is_dir() && in_path("systemd-run") {
        words.extend(["systemd-run", "-q", "--scope"].map(Into::into));
        words.extend(rootless.then(|| "--user".into()));
    }
    let port = port.to_string();
    let own: [&OsStr; 6] =
        [program.as_ref(), "--config".as_ref(), directory.as_ref(), "-p".as_ref(), port.as_ref(), "run".as_ref()];
    words.extend(own.map(Into::into));
    let mut command = Command::new(words.remove(0));
    // Its parent ends once it listens, and says then what is wrong.
    let output = command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let output = output.map_err(|error| Failure::io(STARTING, &error))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match said.trim() {
        _ if output.status.success() => Ok(()),
        "" => Err(Failure::new("aardvark-dns exited unexpectedly without error message")),
        said => Err(Failure::new(said.replace('\n', "; ")).while_doing(STARTING)),
    }
}
