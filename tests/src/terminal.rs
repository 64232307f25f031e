//! What others name does nothing to the terminal of who looks at it: here an unprivileged user, in namespaces of its own.

use std::{process::Command, time::Duration};

use forwarder::{
    netns::Netns,
    testbed::{self, Process, wait_until},
    text::is_harmless,
};

use crate::fwd::{Fwd, inside};

const PATIENCE: Duration = Duration::from_secs(120);
/// Escape sequences, a change of direction, a mark that joins the letter before it, and bytes that are no UTF-8.
const INTERFACES: [&[u8]; 4] = [b"x\x1b[31mred", "x\u{202e}a\u{301}".as_bytes(), b"x\xff\xc3", b"x\xc2\x9b2J"];
/// The same in an alias, where there may also be lines.
const ALIAS: &[u8] = b"a\x1b]0;title\x07\nerror: \xe2\x80\x8f\xff";

/// A process of an unprivileged user in a network namespace of its own, with interfaces and aliases as above.
struct Hostile(Process);

impl Hostile {
    fn start() -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let script = r#"alias=$1; shift; n=0
            for name; do n=$((n + 1)); ip link add "$name" type veth peer name "peer$n" || exit 1; done
            ip link add plain0 type veth peer name plain1 && ip link set plain0 alias "$alias" && exec sleep 600"#;
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "--user", "--map-root-user"]);
        command.args(["--net", "sh", "-c", script, "sh"]).arg(std::ffi::OsStr::from_bytes(ALIAS));
        command.args(INTERFACES.map(std::ffi::OsStr::from_bytes));
        let process = Process::spawn(command).expect("it starts");
        let ready = || {
            let comm = std::fs::read_to_string(format!("/proc/{}/comm", process.id())).unwrap_or_default();
            Ok((comm == "sleep\n").then_some(()))
        };
        wait_until(PATIENCE, "the unprivileged user has made its interfaces", ready).expect("it has");
        Self(process)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

/// All that `fwd` says, without its line ends.
#[track_caller]
fn said(fwd: &Fwd, args: &[&str]) -> String {
    let output = fwd.call(args);
    let said = format!("{}{}", output.stdout, output.stderr);
    let line: String = said.split('\n').collect();
    assert!(is_harmless(&line), "fwd {args:?}: {line:?}");
    said
}

#[test]
fn names_of_interfaces_and_aliases_are_escaped() {
    let fwd = Fwd::new();
    let hostile = Hostile::start();
    let pid = hostile.pid();
    let listed = said(&fwd, &["ns", "ls", "--all"]);
    assert!(listed.contains(r"x\u{1b}[31mred") && listed.contains(r"x\u{202e}a\u{301}"), "{listed}");
    assert!(listed.contains(r"x\u{9b}2J"), "{listed}");
    let shown = said(&fwd, &["inspect", "--pid", &pid, "--if", "plain0"]);
    assert!(shown.contains(r"a\u{1b}]0;title\u{7}\nerror: \u{200f}"), "{shown}");
    assert_eq!(shown.matches("alias").count(), 1, "{shown}");
    // The list of what there is, in an error.
    let error = said(&fwd, &["inspect", "--pid", &pid, "--if", "none0"]);
    assert!(error.contains(r"x\u{1b}[31mred") && error.contains("plain0"), "{error}");
    said(&fwd, &["ns", "of", &pid]);
    let name = std::str::from_utf8(INTERFACES[0]).expect("text");
    let shown = fwd.json(&["inspect", "--pid", &pid, "--if", name]);
    assert_eq!(shown["ifname"], name, "JSON has it as it is");
}

#[test]
fn a_name_that_is_no_text_hides_nothing_else() {
    let fwd = Fwd::new();
    let before = fwd.snapshot().expect("a snapshot");
    let hostile = Hostile::start();
    let pid = hostile.pid();
    fwd.json(&["up", "--pid", &pid]);
    let shown = fwd.json(&["inspect", "--pid", &pid, "--if", "eth0"]);
    assert_eq!(shown["endpoint"]["pid"], hostile.0.id());
    fwd.ok(&["inspect", "--if", "fwd0"]);
    fwd.ok(&["down", "--pid", &pid]);
    assert_eq!(before.diff(&fwd.snapshot().expect("a snapshot")), [""; 0]);
}

#[test]
fn names_on_the_host_are_escaped_in_errors() {
    let fwd = Fwd::new();
    fwd.on_host(&["ip", "link", "add", "x\u{1b}[31mred", "type", "veth", "peer", "name", "y\u{202e}"]);
    let name = fwd.name("c1");
    let error = said(&fwd, &["up", "--ns", &name, "--uplink", "none0"]);
    assert!(error.contains(r"x\u{1b}[31mred") && error.contains(r"y\u{202e}"), "{error}");
    // Its remedy can be pasted: the name is written in a shell's escapes.
    let error = said(&fwd, &["up", "--ns", &name, "--uplink", "x\u{1b}[31mred"]);
    let remedy = error.split_once("ip link set ").expect("a remedy").1.trim_end();
    fwd.on_host(&["bash", "-c", &format!("ip link set {remedy}")]);
    assert!(fwd.on_host(&["ip", "link", "show", "up"]).contains("red"));
    // A word of the command line may come from elsewhere too.
    said(&fwd, &["up", "--x\u{1b}[31m"]);
    let error = fwd.call(&["--color", "always", "exec", "\u{1b}[31m", "\u{202e}"]).stderr;
    let own = ["\u{1b}[1;31m", "\u{1b}[36m", "\u{1b}[0m"];
    let line = own.iter().fold(error.replace('\n', ""), |line, colour| line.replace(colour, ""));
    assert!(is_harmless(&line) && line.contains(r"\u{1b}[31m"), "{error:?}");
}

#[test]
fn hints_are_quoted_for_the_shell() {
    let fwd = Fwd::new();
    let name = fwd.name("a b$(id)");
    let shown = fwd.ok(&["up", "--ns", &name]);
    let hint = shown.lines().find(|line| line.contains("ping")).expect("a hint");
    let command = hint.trim_start().trim_start_matches("try:").trim().to_owned();
    let output = testbed::run(bash(&command), PATIENCE).expect("it runs");
    assert!(output.status.success(), "{command}: {}{}", output.stdout, output.stderr);
    let refused = fwd.call(&["ns", "rm", &name]).stderr;
    let remedy = refused.split_once('`').expect("a remedy").1.trim_end().trim_end_matches('`');
    let output = testbed::run(bash(remedy), PATIENCE).expect("it runs");
    assert!(output.status.success(), "{remedy}: {}{}", output.stdout, output.stderr);
    assert!(!inside(&Netns::current().expect("open"), &["ip", "netns"]).contains(&name));
}

fn bash(line: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", line]);
    command
}
