//! podman over its CNI backend: containers on `fwd`, by a list of ours and by podman's own for `bridge` and `portmap`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use forwarder::{
    Context as _, Result,
    testbed::{Output, Testbed, command_in, run as run_to_end, unique_prefix},
};

use crate::plugin::{OTHERS, fwd};

/// How long a call of podman may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a container serves.
const PAGE: &str = "hello from inside";

/// A sandboxed host with podman, of which everything is below one directory.
struct Podman {
    testbed: Testbed,
    dir: PathBuf,
}

impl Podman {
    fn new() -> Result<Self> {
        let testbed = Testbed::new(&unique_prefix())?;
        let dir = testbed.run_dir().join("podman");
        let podman = Self { testbed, dir };
        podman.write("root/www/index.html", PAGE)?;
        for dir in ["root/bin", "root/proc", "root/sys", "root/dev", "root/etc", "root/tmp", "bin", "net.d"] {
            let path = podman.dir.join(dir);
            fs::create_dir_all(&path).doing("make", path.display().to_string())?;
        }
        podman.link(Path::new("/bin/busybox"), "busybox", true)?;
        for name in ["sh", "ip", "ping", "httpd", "sleep", "wget"] {
            podman.link(Path::new("busybox"), name, false)?;
        }
        podman.plugins()?;
        let bin = podman.dir.join("bin");
        let config = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
             [network]\nnetwork_backend = \"cni\"\ncni_plugin_dirs = [{bin:?}]\nnetwork_config_dir = {:?}\n\
             [engine]\nevents_logger = \"file\"\nruntime = \"runc\"\n",
            podman.dir.join("net.d")
        );
        podman.write("containers.conf", &config)?;
        podman.write("net.d/web.conflist", include_str!("../../../../contrib/cni/10-fwd.conflist"))?;
        Ok(podman)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        let parent = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(parent).doing("make", parent.display().to_string())?;
        fs::write(&path, text).doing("write", path.display().to_string())
    }

    /// A program inside of containers: a copy, or a link to one.
    fn link(&self, from: &Path, name: &str, copy: bool) -> Result<()> {
        let to = self.dir.join("root/bin").join(name);
        let done = if copy { fs::copy(from, &to).map(drop) } else { symlink(from, &to) };
        done.doing("make", to.display().to_string())
    }

    /// `fwd` under the names of those that it stands in for, and the others of podman's lists as they are.
    fn plugins(&self) -> Result<()> {
        let (own, bin) = (fwd()?, self.dir.join("bin"));
        let ours = ["fwd", "bridge", "portmap"].map(|name| (own.clone(), name));
        let others = ["host-local", "firewall", "tuning"].map(|name| (Path::new(OTHERS).join(name), name));
        for (from, name) in ours.into_iter().chain(others) {
            symlink(&from, bin.join(name)).doing("link", from.display().to_string())?;
        }
        Ok(())
    }

    /// `podman WORDS…`.
    fn call(&self, words: &[&str]) -> Result<Output> {
        let dir = |name: &str| self.dir.join(name).display().to_string();
        let (root, runroot, tmp) = (dir("storage"), dir("run"), dir("tmp"));
        let options = ["podman", "--root", &root, "--runroot", &runroot, "--tmpdir", &tmp, "--storage-driver", "vfs"];
        let options = [&options[..], &["--cgroup-manager", "cgroupfs"], words].concat();
        let mut command: Command = command_in(self.testbed.host(), &options);
        command.env("CONTAINERS_CONF", dir("containers.conf")).env("FWD_RUN_DIR", self.testbed.run_dir().join("fwd"));
        run_to_end(command, PATIENCE)?.success()
    }

    /// Starts a container that serves a page on port 80.
    fn serve(&self, name: &str, network: &str, port: u16) -> Result<()> {
        let (root, ports) = (self.dir.join("root").display().to_string(), format!("{port}:80"));
        let words = ["run", "-d", "--name", name, "--network", network, "-p", &ports, "--rootfs", &root];
        self.call(&[&words[..], &["httpd", "-f", "-p", "80", "-h", "/www"]].concat()).map(drop)
    }

    /// Whether the page comes from a port of the host, asked from outside.
    fn serves(&self, port: u16) -> bool {
        let url = format!("http://{}:{port}/", self.testbed.uplink(0).address);
        let command = command_in(self.testbed.internet(0), &["curl", "-s", "-m", "5", &url]);
        run_to_end(command, PATIENCE).is_ok_and(|output| output.stdout == PAGE)
    }

    /// Whether a container is answered from there.
    fn reaches(&self, name: &str, address: &str) -> bool {
        self.call(&["exec", name, "ping", "-c", "1", "-W", "2", address]).is_ok()
    }

    /// The addresses of a container, one for each of its networks.
    fn address(&self, name: &str) -> Result<String> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        Ok(self.call(&["inspect", name, "--format", format])?.stdout.trim().to_owned())
    }

    /// How many endpoints there are.
    fn endpoints(&self) -> Result<usize> {
        let mut command = command_in(self.testbed.host(), &[fwd()?.as_os_str(), "ls".as_ref(), "--json".as_ref()]);
        command.env("FWD_RUN_DIR", self.testbed.run_dir().join("fwd"));
        let shown = run_to_end(command, PATIENCE)?.success()?.stdout;
        let shown: Vec<serde_json::Value> = serde_json::from_str(&shown).doing("read", "fwd ls")?;
        Ok(shown.len())
    }
}

/// Runs containers by podman; whether all is as with the plugins of others.
pub(crate) fn run() -> Result<bool> {
    let podman = Podman::new()?;
    let outside = podman.testbed.uplink(0).outside[0].to_string();
    let mut all = true;
    let mut check = |what: &str, right: bool| {
        println!("  {} {what}", if right { "✓" } else { "✗" });
        all &= right;
    };
    podman.serve("a", "fwd", 8080)?;
    podman.serve("b", "podman", 8081)?;
    check("list of type fwd: port from outside", podman.serves(8080));
    check("podman's list for bridge, host-local, portmap, firewall, tuning: port from outside", podman.serves(8081));
    check("way out", podman.reaches("a", &outside) && podman.reaches("b", &outside));
    podman.serve("c", "fwd", 8082)?;
    let (a, b) = (podman.address("a")?, podman.address("b")?);
    check("container to container of one network, and not of two", podman.reaches("c", &a) && !podman.reaches("c", &b));
    podman.call(&["restart", "-t", "0", "a"])?;
    check("restart", podman.serves(8080));
    podman.call(&["network", "reload", "a", "b"])?;
    check("network reload", podman.serves(8080) && podman.serves(8081));
    podman.call(&["kill", "b"])?;
    podman.call(&["rm", "-f", "-t", "0", "a", "b", "c"])?;
    check("nothing is left", podman.endpoints()? == 0);
    Ok(all)
}
