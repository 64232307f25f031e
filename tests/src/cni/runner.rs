//! A runtime of our own: calls plugins as libcni does, one or several in a list, for containers that are namespaces.

use std::{
    env,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use forwarder::testbed::{self, Output};
use serde_json::{Map, Value, json};

pub(super) use crate::runtimes::Container;
use crate::{
    fwd::{Fwd, LIMIT, address, binary},
    runtimes::plugin_command,
};

/// A runtime on a sandboxed host, with a list of plugins.
pub(super) struct Runtime<'a> {
    fwd: &'a Fwd,
    /// Where the plugins are.
    bin: PathBuf,
    version: &'static str,
    plugins: Vec<Value>,
}

impl<'a> Runtime<'a> {
    /// With a list of one plugin, `config` besides what every one has.
    pub(super) fn new(fwd: &'a Fwd, version: &'static str, config: Value) -> Self {
        Self::with_list(fwd, version, vec![config])
    }

    pub(super) fn with_list(fwd: &'a Fwd, version: &'static str, plugins: Vec<Value>) -> Self {
        let bin = fwd.run_dir().join("plugins");
        std::fs::create_dir_all(&bin).expect("a directory");
        for name in ["fwd", "bridge", "ptp", "portmap", "loopback"] {
            let made = symlink(binary(), bin.join(name));
            assert!(made.is_ok() || bin.join(name).exists(), "{made:?}");
        }
        Self { fwd, bin, version, plugins }
    }

    /// Where the plugins are.
    pub(super) fn plugins(&self) -> PathBuf {
        self.bin.clone()
    }

    /// The same with another version.
    pub(super) fn speaking(&self, version: &'static str) -> Self {
        Self { fwd: self.fwd, bin: self.bin.clone(), version, plugins: self.plugins.clone() }
    }

    /// One plugin's configuration, with the keys of `extra`.
    pub(super) fn config(&self, plugin: usize, extra: &Value) -> Value {
        let mut whole = Map::from_iter([
            ("cniVersion".into(), json!(self.version)),
            ("name".into(), json!("web")),
            ("type".into(), json!("fwd")),
        ]);
        for members in [&self.plugins[plugin], extra] {
            whole.extend(members.as_object().expect("an object").clone());
        }
        Value::Object(whole)
    }

    /// Calls a program as a plugin with these variables.
    pub(super) fn command(&self, argv: &[&str], variables: &[(&str, &str)], config: &str) -> Command {
        let mut command = plugin_command(self.fwd, argv, config);
        command.envs(variables.iter().copied());
        if variables.iter().all(|(name, _)| *name != "CNI_PATH") {
            command.env("CNI_PATH", env::join_paths([&self.bin, Path::new("/usr/lib/cni")]).expect("paths"));
        }
        command
    }

    /// Calls a program as a plugin, to its end.
    #[track_caller]
    pub(super) fn call(&self, variables: &[(&str, &str)], config: &Value) -> Output {
        let program = self.bin.join(config["type"].as_str().unwrap_or("fwd"));
        let command = self.command(&[program.to_str().expect("a plain path")], variables, &config.to_string());
        testbed::run(command, LIMIT).unwrap_or_else(|error| panic!("{variables:?}: {error}"))
    }

    /// What is said of a container by the environment.
    pub(super) fn variables<'v>(command: &'v str, id: &'v str, netns: &'v str) -> Vec<(&'static str, &'v str)> {
        let all = [("CNI_COMMAND", command), ("CNI_CONTAINERID", id), ("CNI_NETNS", netns), ("CNI_IFNAME", "eth0")];
        all.into_iter().filter(|(_, value)| *value != ABSENT).collect()
    }

    /// The document that a call succeeds with; null if there is none.
    #[track_caller]
    pub(super) fn ok(&self, variables: &[(&str, &str)], config: &Value) -> Value {
        let output = self.call(variables, config);
        assert!(output.status.success(), "{variables:?} {config}: {}{}", output.stdout, output.stderr);
        if output.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error} in {}", output.stdout))
    }

    /// The call must fail with this number, all words, and one document.
    #[track_caller]
    pub(super) fn fails(&self, variables: &[(&str, &str)], config: &Value, code: u64, words: &[&str]) {
        let output = self.call(variables, config);
        let said = format!("{variables:?} {config}: {}\n{}{}", output.status, output.stdout, output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let error: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!(error["code"], code, "{said}");
        let text = format!("{} {}", error["msg"], error["details"]);
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {said}");
        assert!(error["cniVersion"].is_string() && !error["msg"].as_str().expect("text").contains('\n'), "{said}");
    }

    /// ADD of each plugin, the result of one handed to the next; the last result.
    #[track_caller]
    pub(super) fn add(&self, container: &Container, runtime: &Value) -> Value {
        let (mut previous, path) = (Value::Null, container.path());
        let variables = Self::variables("ADD", &container.id, &path);
        for plugin in 0..self.plugins.len() {
            let mut extra = json!({ "runtimeConfig": runtime });
            if plugin > 0 {
                extra["prevResult"] = previous;
            }
            previous = self.ok(&variables, &self.config(plugin, &extra));
            assert_eq!(previous["cniVersion"], self.version, "{previous}");
        }
        previous
    }

    /// CHECK of each plugin.
    #[track_caller]
    pub(super) fn check(&self, container: &Container, runtime: &Value, result: &Value) {
        for plugin in 0..self.plugins.len() {
            let extra = json!({ "runtimeConfig": runtime, "prevResult": result });
            self.ok(&Self::variables("CHECK", &container.id, &container.path()), &self.config(plugin, &extra));
        }
    }

    /// DEL of each plugin, the last first, in a namespace that is told so.
    #[track_caller]
    pub(super) fn del(&self, id: &str, netns: &str) {
        for plugin in (0..self.plugins.len()).rev() {
            let shown = self.ok(&Self::variables("DEL", id, netns), &self.config(plugin, &json!({})));
            assert_eq!(shown, Value::Null, "DEL answers nothing");
        }
    }
}

/// A variable that is not set.
pub(super) const ABSENT: &str = "(absent)";

/// The address of IPv4 in a result.
#[track_caller]
pub(super) fn address_of(result: &Value) -> std::net::Ipv4Addr {
    address(&result["ips"][0]["address"])
}
