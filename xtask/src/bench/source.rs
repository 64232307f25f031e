//! The programs that give the figures.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{root::Root, workspace::Workspace};

/// Where their output is kept.
pub(super) const DIRECTORY: &str = "docs/benchmarks";

/// A program that prints JSON.
pub(super) struct Source {
    /// What `--only` calls it.
    pub(super) name: &'static str,
    /// What it measures.
    pub(super) about: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

/// All of them, in the order in which they are run.
pub(super) const SOURCES: &[Source] = &[
    Source {
        name: "paths",
        about: "every data path beside the others: latency, throughput, CPU time",
        program: "fwd",
        arguments: &["bench", "--json"],
    },
    Source {
        name: "namespaces",
        about: "latency with a thousand namespaces",
        program: "fwd",
        arguments: &["bench", "--json", "--paths", "fwd-tc", "--metrics", "tcp-rr", "--namespaces", "1000"],
    },
    Source {
        name: "packets",
        about: "nanoseconds that the programs take for a packet",
        program: "fwd-packets",
        arguments: &["--json"],
    },
    Source {
        name: "many-flows",
        about: "the same among a thousand flows and among a million",
        program: "fwd-packets",
        arguments: &["--many-flows", "--json"],
    },
    Source {
        name: "host-cost",
        about: "what the host's own traffic pays",
        program: "fwd-host-cost",
        arguments: &["--json", "15"],
    },
    Source {
        name: "control",
        about: "how long up, down and flows take",
        program: "fwd",
        arguments: &["bench", "control", "--json", "--sizes", "10,100"],
    },
    Source {
        name: "control-clsact",
        about: "the same with filters of clsact at host-side veths",
        program: "fwd",
        arguments: &["bench", "control", "--json", "--sizes", "10,100", "--flows", "0", "--attach", "clsact"],
    },
];

impl Source {
    /// As a user would type it.
    pub(super) fn command(&self) -> String {
        format!("{} {}", self.program, self.arguments.join(" "))
    }

    /// Runs it. Its progress and its errors are seen at once.
    pub(super) fn measure(&self, workspace: &Workspace, root: Root) -> Result<Value> {
        let program = workspace.target.join("release").join(self.program);
        let mut command = root.command(&program, &[]);
        command.args(self.arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
        if !output.status.success() {
            bail!("{} failed ({})", self.command(), output.status);
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("{} printed no JSON", self.command()))
    }
}
