//! `fwd` as a user calls it, on a sandboxed host.

use std::{
    env,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use forwarder::{
    netns::{Name, Netns},
    testbed::{self, Output, Process, Testbed, TestbedSpec, command_in, unique_prefix, wait_until},
};
use serde_json::Value;

use crate::peers::PATIENCE;

/// How long a command may take: only what hangs meets it. One that measures waits for its turn among the loads of other tests,
/// as often as it has a path to measure.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// A sandboxed host with `fwd` installed.
pub(crate) struct Fwd {
    testbed: Testbed,
    /// What `up` is asked for where a test does not name a data path: what `FWD_TEST_DATAPATH` says (`./x vm --datapath`).
    datapath: Option<String>,
}

impl Deref for Fwd {
    type Target = Testbed;

    fn deref(&self) -> &Testbed {
        &self.testbed
    }
}

/// A namespace that `fwd up` connected.
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) ns: Netns,
    pub(crate) address: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) host_if: String,
    /// What `up --json` said.
    pub(crate) shown: Value,
}

impl Deref for Pod {
    type Target = Netns;

    fn deref(&self) -> &Netns {
        &self.ns
    }
}

impl Fwd {
    pub(crate) fn new() -> Self {
        Self::with(&TestbedSpec::default())
    }

    pub(crate) fn with(spec: &TestbedSpec) -> Self {
        let testbed = Testbed::with(&unique_prefix(), spec).expect("a sandboxed host");
        Self { testbed, datapath: env::var("FWD_TEST_DATAPATH").ok() }
    }

    /// The same, where every `up` that names no data path takes XDP. Like a network card, the other ends of the uplinks finish
    /// checksums, write VLAN tags into the frame, and take frames from XDP.
    pub(crate) fn with_xdp(spec: &TestbedSpec) -> Self {
        let fwd = Self { datapath: Some("xdp".into()), ..Self::with(spec) };
        for uplink in fwd.uplinks() {
            inside(&uplink.internet, &["ethtool", "-K", "inet0", "tx", "off", "txvlan", "off", "gro", "on"]);
        }
        fwd
    }

    /// Whether XDP may send what a capture on the host would then not see.
    pub(crate) fn is_xdp(&self) -> bool {
        self.datapath.as_deref() == Some("xdp")
    }

    /// The directory of pins and locks: below the testbed's own, because the last command removes it.
    pub(crate) fn pins(&self) -> PathBuf {
        self.run_dir().join("run")
    }

    /// `fwd ARGS…` on this host.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("--host-netns").arg(self.host().name().as_str()).arg("--run-dir").arg(self.pins()).args(args);
        let names_one = args.iter().any(|arg| arg.starts_with("--datapath"));
        if let Some(datapath) = self.datapath.as_ref().filter(|_| args.contains(&"up") && !names_one) {
            command.args(["--datapath", datapath.as_str()]);
        }
        if let Some(cgroup) = self.cgroup() {
            command.env("FWD_CGROUP", cgroup);
        }
        command.env_remove("FWD_RUN_DIR").env_remove("FWD_LOG").stdin(Stdio::null());
        command
    }

    /// Runs `fwd ARGS…` to its end, whatever that is.
    #[track_caller]
    pub(crate) fn call(&self, args: &[&str]) -> Output {
        testbed::run(self.command(args), LIMIT).unwrap_or_else(|error| panic!("fwd {args:?}: {error}"))
    }

    /// The same of what the helper does with `fwd ARGS…`: its own words come first.
    #[track_caller]
    pub(crate) fn observed(&self, helped: &[&str], args: &[&str]) -> Output {
        let mut command = Command::new(helper());
        command.args(helped).args(["fwd", "--host-netns", self.host().name().as_str(), "--run-dir"]).arg(self.pins());
        command.args(args).stdin(Stdio::null());
        if let Some(cgroup) = self.cgroup() {
            command.env("FWD_CGROUP", cgroup);
        }
        testbed::run(command, LIMIT).unwrap_or_else(|error| panic!("fwd {args:?}: {error}"))
    }

    /// Runs `fwd ARGS…`, which must succeed, and returns its standard output.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert!(output.status.success(), "fwd {args:?}: {}\n{}{}", output.status, output.stdout, output.stderr);
        output.stdout
    }

    /// Runs `fwd ARGS… --json`, which must succeed.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[&["--json"], args].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("fwd {args:?}: {error} in {text}"))
    }

    /// Runs `fwd ARGS… --json`, which must succeed and show a list.
    #[track_caller]
    pub(crate) fn list(&self, args: &[&str]) -> Vec<Value> {
        let value = self.json(args);
        value.as_array().unwrap_or_else(|| panic!("fwd {args:?} shows no list: {value}")).clone()
    }

    /// `fwd up --ns ROLE OPTIONS…`; the namespace is called after the testbed, so that it goes with it.
    #[track_caller]
    pub(crate) fn up(&self, role: &str, options: &[&str]) -> Pod {
        let shown = self.json(&[&["up", "--ns", &self.name(role)], options].concat());
        self.pod(role, shown)
    }

    /// The namespace of which `up --json` has said this.
    #[track_caller]
    pub(crate) fn pod(&self, role: &str, shown: Value) -> Pod {
        let name = self.name(role);
        let ns = open(&name);
        Pod {
            address: address(&shown["addresses"][0]),
            gateway: address(&shown["gateways"][0]),
            host_if: text(&shown["host_if"]),
            name,
            ns,
            shown,
        }
    }

    /// `fwd down --ns ROLE`.
    #[track_caller]
    pub(crate) fn down(&self, role: &str) {
        self.ok(&["down", "--ns", &self.name(role)]);
    }

    /// `fwd ARGS…` must fail with `code` and one error that has all `words` and a remedy.
    #[track_caller]
    pub(crate) fn expect_error(&self, args: &[&str], code: i32, words: &[&str]) {
        let output = self.call(&[&["--json"], args].concat());
        let said = format!("fwd {args:?}: {}\n{}{}", output.status, output.stdout, output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(output.stdout, "", "{said}");
        let error: Value = serde_json::from_str(&output.stderr).unwrap_or_else(|error| panic!("{error}: {said}"));
        let error = &error["error"];
        let text = format!("{} {} {}", error["message"], error["object"], error["remedy"]);
        for word in words {
            assert!(text.contains(word), "{word:?} is missing: {said}");
        }
        assert!(error["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "no remedy: {said}");
    }

    /// What `fwd stats` counted, in packets.
    #[track_caller]
    pub(crate) fn counted(&self, hook: &str, verdict: &str, reason: Option<&str>) -> u64 {
        let stats = self.list(&["stats"]);
        let rows = stats.iter().filter(|stat| {
            stat["hook"] == hook && stat["verdict"] == verdict && reason.is_none_or(|reason| stat["reason"] == reason)
        });
        rows.map(|stat| number(&stat["packets"])).sum()
    }

    /// A program on the host, to its end.
    #[track_caller]
    pub(crate) fn on_host(&self, argv: &[&str]) -> String {
        inside(self.host(), argv)
    }
}

/// A program inside a namespace, which must succeed; its standard output.
#[track_caller]
pub(crate) fn inside(ns: &Netns, argv: &[&str]) -> String {
    let output = try_inside(ns, argv);
    assert!(output.status.success(), "{argv:?}: {}\n{}{}", output.status, output.stdout, output.stderr);
    output.stdout
}

/// A program inside a namespace, to its end.
#[track_caller]
pub(crate) fn try_inside(ns: &Netns, argv: &[&str]) -> Output {
    testbed::run(command_in(ns, argv), LIMIT).unwrap_or_else(|error| panic!("{argv:?}: {error}"))
}

/// A program says so, sooner or later: what it writes is read by a thread.
#[track_caller]
pub(crate) fn says(program: &Process, words: &str) {
    wait_until(PATIENCE, words, || Ok(program.stdout().contains(words).then_some(())))
        .unwrap_or_else(|error| panic!("{error}: {}{}", program.stdout(), program.stderr()));
}

/// Pings after which one that has to be answered is given up.
const PINGS: usize = 12;
/// How long an answer may take that has to come, seconds.
const PATIENT: &str = "15";

/// Packets that the queues of the CPUs have dropped, which are the same for all namespaces of the machine (`net.core.netdev_max_backlog`): where
/// another test floods its own, others lose packets. The second column of /proc/net/softnet_stat (net/core/net-procfs.c).
fn dropped_by_queues() -> u64 {
    let shown = std::fs::read_to_string("/proc/net/softnet_stat").expect("it is there");
    let dropped = |line: &str| u64::from_str_radix(line.split(' ').nth(1).expect("a column"), 16).expect("a number");
    shown.lines().map(dropped).sum()
}

/// Runs it again while nothing came of it, as `is_lost` says, and queues have dropped packets meanwhile: one of them may have been its own.
pub(crate) fn unless_dropped<T>(run: impl Fn() -> T, is_lost: impl Fn(&T) -> bool) -> T {
    for _ in 1..PINGS {
        let before = dropped_by_queues();
        let result = run();
        if !is_lost(&result) || dropped_by_queues() == before {
            return result;
        }
    }
    run()
}

/// Whether one ping is answered, seconds at most after it has left.
#[track_caller]
fn ping(ns: &Netns, family: &str, seconds: &str, address: &str) -> bool {
    try_inside(ns, &["ping", family, "-n", "-q", "-c", "1", "-W", seconds, address]).status.success()
}

/// Whether a ping is answered, however late on a busy machine: for what has to be.
#[track_caller]
pub(crate) fn pings(ns: &Netns, address: Ipv4Addr) -> bool {
    unless_dropped(|| ping(ns, "-4", PATIENT, &address.to_string()), |answered| !answered)
}

/// The same by IPv6.
#[track_caller]
pub(crate) fn pings6(ns: &Netns, address: Ipv6Addr) -> bool {
    unless_dropped(|| ping(ns, "-6", PATIENT, &address.to_string()), |answered| !answered)
}

/// Whether one ping is answered soon: for what must not be, and for polls.
#[track_caller]
pub(crate) fn answers(ns: &Netns, address: Ipv4Addr) -> bool {
    ping(ns, "-4", "2", &address.to_string())
}

/// The same by IPv6.
#[track_caller]
pub(crate) fn answers6(ns: &Netns, address: Ipv6Addr) -> bool {
    ping(ns, "-6", "2", &address.to_string())
}

/// What a ping with these options says, answered or told why it is not.
#[track_caller]
pub(crate) fn told(ns: &Netns, options: &[&str]) -> Output {
    let argv = [&["ping", "-n", "-c", "1", "-W", PATIENT], options].concat();
    let is_lost = |output: &Output| {
        let is_told = !output.stderr.is_empty() || output.stdout.lines().any(|line| line.starts_with("From "));
        !output.status.success() && !is_told
    };
    unless_dropped(|| try_inside(ns, &argv), is_lost)
}

#[track_caller]
pub(crate) fn open(name: &str) -> Netns {
    Netns::open_named(&Name::try_from(name).expect("a name")).expect("the namespace is there")
}

#[track_caller]
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// An address, with or without the length of its prefix.
#[track_caller]
pub(crate) fn address(value: &Value) -> Ipv4Addr {
    let text = text(value);
    let address = text.split('/').next().unwrap_or_default();
    address.parse().unwrap_or_else(|_| panic!("no IPv4 address: {text}"))
}

/// The program that tests start as a process of its own: see `bin/fwd-test-helper.rs`.
pub(crate) fn helper() -> PathBuf {
    built("fwd-test-helper")
}

/// Copies a program that is to be run, by a process of its own: while this one has the copy open, a child that another test starts at that
/// moment has it open, too, until it is a program of its own, and nobody can run the copy (ETXTBSY).
#[track_caller]
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    copy.arg("--").args([from, to]);
    testbed::run(copy, LIMIT).expect("cp").success().expect("a copy");
}

/// The program under test.
pub(crate) fn binary() -> PathBuf {
    env::var_os("FWD_BIN").map_or_else(|| built("fwd"), PathBuf::from)
}

/// A program of the same build: it lies above the directory of this one.
fn built(name: &str) -> PathBuf {
    let tests = env::current_exe().expect("this program is a file");
    tests.parent().and_then(Path::parent).expect("target/PROFILE/deps").join(name)
}
