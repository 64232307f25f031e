//! Calls plugins as libcni does.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use forwarder::{
    Context as _, Error, Kind, Result,
    netns::Netns,
    testbed::{Namespace, Testbed, command_in},
};
use serde_json::Value;

/// Where Debian has the plugins of others.
pub(crate) const OTHERS: &str = "/usr/lib/cni";

/// A program of the same build.
pub(crate) fn fwd() -> Result<PathBuf> {
    let own = env::current_exe().doing("find", "this program")?;
    Ok(own.with_file_name("fwd"))
}

/// A container: a namespace, of which the name is the id.
pub(crate) struct Container {
    pub(crate) ns: Namespace,
}

impl Container {
    /// A container of a sandboxed host.
    pub(crate) fn new(testbed: &Testbed, role: &str) -> Result<Self> {
        Ok(Self { ns: Namespace::create(&testbed.name(role))? })
    }
}

/// One plugin, with its configuration.
#[derive(Clone)]
pub(crate) struct Plugin {
    pub(crate) program: PathBuf,
    pub(crate) config: Value,
}

impl Plugin {
    /// The command for a container.
    fn command(&self, host: &Netns, run_dir: &Path, command: &str, container: &Container) -> Command {
        let name = container.ns.name().as_str();
        let mut process = command_in(host, &[&self.program]);
        process.env("CNI_COMMAND", command).env("CNI_CONTAINERID", name).env("CNI_IFNAME", "eth0");
        process.env("CNI_NETNS", format!("/run/netns/{name}")).env("CNI_PATH", OTHERS).env("FWD_RUN_DIR", run_dir);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        process
    }

    /// Calls it; how long that took, and what it answered (null if nothing).
    pub(crate) fn call(&self, testbed: &Testbed, command: &str, container: &Container) -> Result<(Duration, Value)> {
        let object = format!("{} of {}", command, self.program.display());
        let run_dir = testbed.run_dir().join("run");
        let mut process = self.command(testbed.host(), &run_dir, command, container);
        let start = Instant::now();
        let mut child = process.spawn().doing("start", &object)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(self.config.to_string().as_bytes()).doing("write to", &object)?;
        }
        let output = child.wait_with_output().doing("wait for", &object)?;
        let took = start.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let why = format!("{}{}", said.trim(), String::from_utf8_lossy(&output.stderr).trim());
            return Err(Error::new(Kind::Failed, "do", object, why));
        }
        let answer =
            if said.trim().is_empty() { Value::Null } else { serde_json::from_str(&said).doing("read", object)? };
        Ok((took, answer))
    }
}
