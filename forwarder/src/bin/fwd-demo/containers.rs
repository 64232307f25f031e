//! The last scene: a container of docker and one of podman, side by side on a host of their own.

use std::{
    env,
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use forwarder::{
    Context as _, Error, Kind, Result,
    testbed::{self, Process, Testbed},
};
use serde_json::Value;

use crate::story::Story;

/// Makes the host of the containers; what the scripts of `./x` share it needs, too.
const SCRIPT: &str = concat!(include_str!("../../../../xtask/src/sandbox.sh"), include_str!("containers.sh"));
/// Enters a cgroup below `$0` and becomes the host that `$1` makes, with `$2` as fwd. Nobody stays in `$0` itself: cgroups that share out
/// resources hold no processes. What `/sys/fs/cgroup` shows inside begins at `$0`. The caller's settings (`DOCKER_HOST`, `CONTAINER_HOST`) stay
/// outside: they would lead to a daemon that is his.
const ENTER: &str = "mkdir \"$0/host\" && echo 0 >\"$0/host/cgroup.procs\" && \
     exec env -i PATH=\"$PATH\" unshare --mount --propagation private --pid --fork --kill-child sh -c \"$1\" containers \"$2\"";
/// How long docker and podman may take to run a first container each.
const START: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of a command's output that are shown.
const LINES: usize = 40;

/// A runtime, and what it is told.
struct Runtime {
    name: &'static str,
    /// What its container is called, which is what that serves.
    container: &'static str,
    /// What its network is called at fwd.
    network: &'static str,
    /// The port of the host that leads to it.
    port: u16,
    /// Makes and starts.
    starts: &'static [&'static str],
    /// Removes all of it.
    ends: &'static [&'static str],
}

/// No image is fetched: each has imported one that is called `box`.
const RUNTIMES: [Runtime; 2] = [
    Runtime {
        name: "docker",
        container: "shop",
        network: "web",
        port: 8081,
        starts: &[
            "docker network create -d fwd -o fwd.network=web web",
            "docker run -d --name shop --network web -p 8081:80 box httpd -f -p 80 -h /www",
        ],
        ends: &["docker rm -f shop", "docker network rm web"],
    },
    Runtime {
        name: "podman",
        container: "db",
        network: "podman0",
        port: 8082,
        starts: &["podman run -d --name db -p 8082:80 --pids-limit=-1 box httpd -f -p 80 -h /www"],
        ends: &["podman rm -f -t 0 db"],
    },
];

/// Tells the scene. What this machine cannot run it says in a line, and shows what the other does.
pub(crate) fn tell(story: &mut Story, fwd: &Path) -> Result<()> {
    story.step("Containers: docker and podman side by side")?;
    story.say(
        "On a second sandboxed host, fwd is docker's network driver and stands in netavark's place for podman. What is in the containers is \
         busybox.",
    )?;
    let testbed = Testbed::new(&testbed::unique_prefix())?;
    let host = story.announced("starting docker and podman", || Host::start(&testbed, fwd))?;
    for why in &host.lacking {
        story.line(&format!("  Left out here: {why}"))?;
    }
    if host.running.is_empty() {
        return Ok(());
    }
    let before = testbed.snapshot()?;
    for command in host.running.iter().flat_map(|runtime| runtime.starts) {
        host.run(story, command)?;
    }
    host.ping(story)?;
    for runtime in &host.running {
        host.fetch(story, runtime)?;
    }
    let is_known = || Ok(host.endpoints()?.iter().all(|endpoint| endpoint["ns_if"].is_string()).then_some(()));
    testbed::wait_until(PATIENCE, "fwd knows where docker has put its interface", is_known)?;
    host.run(story, "fwd ls")?;
    host.run(story, "fwd graph")?;
    for command in host.running.iter().flat_map(|runtime| runtime.ends) {
        host.run(story, command)?;
    }
    host.run(story, "fwd down --all")?;
    story.is_as_before(&testbed, &before, "This host is as it was, too.")
}

/// A host on which runtimes run; it ends with the value.
struct Host<'a> {
    testbed: &'a Testbed,
    /// None where there is no host either.
    process: Option<Process>,
    running: Vec<&'static Runtime>,
    /// What cannot be shown, and why.
    lacking: Vec<String>,
}

impl<'a> Host<'a> {
    /// Starts what this machine has of docker and podman.
    fn start(testbed: &'a Testbed, fwd: &Path) -> Result<Self> {
        let Some(cgroup) = testbed.cgroup() else {
            let lacking = vec!["docker and podman: this machine has no cgroup2".to_owned()];
            return Ok(Self { testbed, process: None, running: Vec::new(), lacking });
        };
        let words: [&OsStr; 5] =
            ["unshare".as_ref(), "--cgroup".as_ref(), "sh".as_ref(), "-c".as_ref(), ENTER.as_ref()];
        let told = [cgroup.as_os_str(), SCRIPT.as_ref(), fwd.as_os_str()];
        let process =
            Process::spawn(testbed::command_in_cgroup(testbed.host(), cgroup, &[&words[..], &told].concat()))?;
        let said = |line: &str| process.stdout().lines().any(|it| it == line);
        let is_over = || Ok((said("ready") || said("ended")).then_some(()));
        let in_time = testbed::wait_until(START, "docker and podman run", is_over);
        let running = RUNTIMES.iter().filter(|runtime| said(&format!("runs {}", runtime.name))).collect();
        let mut lacking: Vec<String> = process.stdout().lines().filter_map(lacks).collect();
        if said("ended") {
            lacking.push(format!("docker and podman: {}", process.stderr().lines().last().unwrap_or_default()));
        }
        lacking.extend(in_time.err().map(|error| error.to_string()));
        Ok(Self { testbed, process: Some(process), running, lacking })
    }

    /// A command on it.
    fn command(&self, argv: &[&str]) -> Result<Command> {
        let said = self.process.as_ref().map(Process::stdout).unwrap_or_default();
        let pid = said.lines().find_map(|line| line.strip_prefix("host "));
        let pid =
            pid.ok_or_else(|| Error::new(Kind::Failed, "find", "the host of the containers", "it has not begun"))?;
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--net", "--pid", "--cgroup", "--target", pid, "--"]).args(argv).stdin(Stdio::null());
        // The caller's settings would lead elsewhere.
        let path = env::var("PATH").unwrap_or_default();
        command.env_clear().env("PATH", format!("/run/bin:{path}")).env("HOME", "/run");
        command.env("CONTAINERS_CONF", "/run/containers.conf").env("CONTAINERS_STORAGE_CONF", "/run/storage.conf");
        Ok(command)
    }

    /// Shows and runs a command.
    fn run(&self, story: &mut Story, shown: &str) -> Result<()> {
        let argv: Vec<&str> = shown.split(' ').collect();
        story.run(shown, self.command(&argv)?, LINES).map(drop)
    }

    /// Both allow the other's network, and one asks for the other.
    fn ping(&self, story: &mut Story) -> Result<()> {
        let [one, other] = self.running[..] else { return Ok(()) };
        for (network, allowed) in [(one.network, other.network), (other.network, one.network)] {
            self.run(story, &format!("fwd network add {network} --allow-network {allowed}"))?;
        }
        let endpoints = self.endpoints()?;
        let endpoint = endpoints.iter().find(|endpoint| endpoint["network"] == other.network);
        let address = endpoint.and_then(|endpoint| endpoint.pointer("/addresses/0")?.as_str()?.split('/').next());
        let address =
            address.ok_or_else(|| Error::new(Kind::Failed, "find", other.container, "fwd ls does not show it"))?;
        self.run(story, &format!("{} exec {} ping -q -c 3 {address}", one.name, one.container))
    }

    /// The internet fetches a page by a published port.
    fn fetch(&self, story: &mut Story, runtime: &Runtime) -> Result<()> {
        let url = format!("http://{}:{}/", self.testbed.uplink(0).address, runtime.port);
        let command = testbed::command_in(self.testbed.internet(0), &["curl", "-sS", "--fail", &url]);
        let told = format!("this is {}", runtime.container);
        let output = story.run(&format!("curl {url}"), command, LINES)?;
        if output.stdout.trim() == told {
            return Ok(());
        }
        Err(Error::new(Kind::Failed, "fetch", url, format!("curl says {:?} instead of {told:?}", output.stdout)))
    }

    /// What `fwd ls` tells.
    fn endpoints(&self) -> Result<Vec<Value>> {
        let output = testbed::run(self.command(&["fwd", "ls", "--json"])?, PATIENCE)?.success()?;
        serde_json::from_str(&output.stdout).doing("read", "the output of fwd ls")
    }
}

/// Which runtime cannot be shown and why, if a line says that.
fn lacks(line: &str) -> Option<String> {
    let (name, why) = line.strip_prefix("lacks ")?.split_once(' ')?;
    Some(format!("{name}: {why}"))
}
