//! Files that say what there is to be: `fwd apply`, `plan`, `export`, `validate`, `restore`.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use forwarder::testbed;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    commands::{assert_as_before, exists, snapshot},
    fwd::{Fwd, LIMIT, binary, inside, open, pings, text},
    peers::{any, at, connect, echo_tcp, echoed, listen},
};

mod partly;

const CLIENT: u16 = 40_123;

/// Files of a test, in a directory of its own.
struct Files<'a> {
    fwd: &'a Fwd,
    directory: TempDir,
}

impl<'a> Files<'a> {
    fn of(fwd: &'a Fwd) -> Self {
        Self { fwd, directory: tempfile::tempdir().expect("a directory") }
    }

    /// Writes a file, in which `@role` is the namespace of that role; its path.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        let text = text.replace('@', &self.fwd.name(""));
        fs::write(&path, text).expect("the file is written");
        path.display().to_string()
    }

    #[track_caller]
    fn apply(&self, text: &str) -> Value {
        self.fwd.json(&["apply", "-f", &self.write("network.toml", text)])
    }

    #[track_caller]
    fn plan(&self, text: &str) -> Value {
        self.fwd.json(&["plan", "-f", &self.write("network.toml", text)])
    }
}

/// What is done to what, such as `make a` and `replace network web`.
fn kinds(fwd: &Fwd, shown: &Value) -> Vec<String> {
    let prefix = fwd.name("");
    let changes = shown["changes"].as_array().unwrap_or_else(|| panic!("no changes: {shown}"));
    let what = |change: &Value| match change["ns"].as_str() {
        Some(ns) => ns.strip_prefix(&prefix).unwrap_or(ns).to_owned(),
        None => format!("network {}", text(&change["network"])),
    };
    changes.iter().map(|change| format!("{} {}", text(&change["change"]), what(change))).collect()
}

/// Runs `fwd ARGS…` with `input` on its standard input; what it wrote.
fn with_input(fwd: &Fwd, args: &[&str], input: &str) -> [String; 2] {
    let mut child = fwd
        .command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("fwd runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"))
}

const FILE: &str = r#"
    [networks.web]
    subnet = "10.9.0.0/24"
    [networks.db]
    internal = true

    [[endpoints]]
    ns = "@a"
    network = "web"
    publish = ["8080:80"]
    [[endpoints]]
    ns = "@b"
    network = "web"
    [[endpoints]]
    ns = "@b"
    network = "db"
    ifname = "eth1"
"#;

#[test]
fn file_is_made_changed_in_place_and_taken_away() {
    let fwd = Fwd::new();
    let files = Files::of(&fwd);
    let before = snapshot(&fwd);
    let planned = files.plan(FILE);
    let all = ["make network web", "make network db", "make a", "make b", "make b"];
    assert_eq!(kinds(&fwd, &planned), all);
    assert!(planned["steps"].as_array().is_some_and(|steps| steps.len() > 20), "{planned}");
    assert_as_before(&fwd, &before);
    let made = files.apply(FILE);
    assert_eq!((&made["changed"], kinds(&fwd, &made)), (&json!(true), all.map(ToOwned::to_owned).to_vec()));
    let again = files.apply(FILE);
    assert_eq!((&again["changed"], kinds(&fwd, &again)), (&json!(false), vec![]));
    let [a, b] = ["a", "b"].map(|role| open(&fwd.name(role)));
    assert!(pings(&a, fwd.uplink(0).outside[0]) && pings(&b, fwd.uplink(0).outside[0]));

    // A conversation by a published port, which goes on while something else changes.
    let server = echo_tcp(listen(&a, any(80)), 1);
    let client = at(fwd.uplink(0).outside[0], CLIENT);
    let stream = connect(fwd.internet(0), client, at(fwd.uplink(0).address, 8080)).expect("the port is published");
    echoed(&stream, b"before");
    let changed = FILE.replace("\"8080:80\"", "\"8080:80\", \"8443:443\"").replacen(
        "ns = \"@b\"",
        "ns = \"@b\"\nrate-out = \"50M\"",
        1,
    );
    let done = files.apply(&changed);
    assert_eq!(kinds(&fwd, &done), ["change a", "change b"]);
    assert!(done["changes"][0]["what"].to_string().contains("8443:443"), "{done}");
    echoed(&stream, b"after");
    drop(stream);
    server.join().expect("the server ends");
    let listed = fwd.list(&["ls"]);
    let of = |role: &str| {
        listed.iter().find(|it| it["ns"] == *fwd.name(role) && it["network"] == "web").expect("it is listed")
    };
    assert_eq!(
        (&of("a")["published"], &of("b")["rate_out"]["rate"]),
        (&json!(["8080:80/tcp", "8443:443/tcp"]), &json!(50_000_000))
    );

    // What is not said any more goes: a limit, a port, an endpoint.
    let less = FILE
        .replace("publish = [\"8080:80\"]", "")
        .replace("[[endpoints]]\n    ns = \"@b\"\n    network = \"db\"\n    ifname = \"eth1\"", "");
    assert_eq!(kinds(&fwd, &files.apply(&less)), ["remove b", "change a", "change b"]);
    assert!(connect(fwd.internet(0), client, at(fwd.uplink(0).address, 8080)).is_err());

    // What is up by hand stays until it is pruned; then nothing is left.
    fwd.up("other", &[]);
    assert_eq!(kinds(&fwd, &files.apply("[networks.web]\n[networks.db]\ninternal = true\n")), ["remove a", "remove b"]);
    assert!(exists(&fwd.name("other")) && !exists(&fwd.name("a")));
    let output = fwd.call(&["apply", "-f", &files.write("network.toml", "[networks.web]\n")]);
    assert!(output.stderr.contains("network db, fwd0; --prune"), "{}", output.stderr);
    let nothing = files.write("network.toml", "");
    let gone = fwd.json(&["apply", "--prune", "-f", &nothing]);
    assert_eq!(gone["changes"].as_array().map(Vec::len), Some(4), "{gone}");
    assert_as_before(&fwd, &before);
}

#[test]
fn what_cannot_change_in_place_is_made_anew_and_the_plan_says_so() {
    let fwd = Fwd::new();
    let files = Files::of(&fwd);
    let before = snapshot(&fwd);
    files.apply(FILE);
    let b = open(&fwd.name("b"));
    let address = |ns| {
        inside(ns, &["ip", "-4", "-brief", "addr", "show", "eth0"]).split_whitespace().nth(2).map(ToOwned::to_owned)
    };
    let former = address(&b);
    let spoof = FILE.replacen("ns = \"@b\"", "ns = \"@b\"\nallow-spoof = true", 1);
    let planned = files.plan(&spoof);
    assert_eq!(kinds(&fwd, &planned), ["replace b"]);
    assert!(text(&planned["changes"][0]["why"]).contains("--allow-spoof"), "{planned}");
    let shown = fwd.ok(&["plan", "-f", &files.write("network.toml", &spoof)]);
    assert!(shown.contains("±") && shown.contains("its flows end") && shown.contains("1 to make anew"), "{shown}");
    assert_eq!(kinds(&fwd, &files.apply(&spoof)), ["replace b"]);
    assert_eq!(
        open(&fwd.name("b")).inode().expect("it is there"),
        b.inode().expect("it is there"),
        "the same namespace"
    );
    assert_eq!(address(&b), former);
    assert!(pings(&b, fwd.uplink(0).outside[0]));

    // A network, with whatever is in it.
    let narrow = FILE.replace("subnet =", "mtu = 1300\nsubnet =");
    let planned = files.plan(&narrow);
    assert_eq!(kinds(&fwd, &planned), ["replace network web", "replace a", "replace b"]);
    files.apply(&narrow);
    assert!(inside(&b, &["ip", "link", "show", "eth0"]).contains("mtu 1300"));
    assert!(pings(&b, fwd.uplink(0).outside[0]));
    assert_eq!(files.apply(&narrow)["changed"], false);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn what_is_up_is_exported_and_applied_elsewhere() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let published = ["--network", "web", "-p", "8080:80", "--alias", "www", "--dns"];
    let limited = ["--rate-in", "10M", "--attach", "clsact", "--max-flows", "4096"];
    fwd.up("a", &[&published[..], &limited].concat());
    fwd.up("b", &["--network", "web", "--mac", "02:00:00:00:00:09", "--allow-spoof"]);
    let own = fwd.uplink(0).address.to_string();
    fwd.up("c", &["--network", "old", "--datapath", "kernel", "--no-default-route", "--source", &own]);
    fwd.ok(&["network", "add", "spare", "--internal", "--no-icc"]);
    let file = fwd.ok(&["export"]);
    let [planned, failed] = with_input(&fwd, &["--json", "plan", "--prune", "-f", "-"], &file);
    let planned: Value = serde_json::from_str(&planned).unwrap_or_else(|error| panic!("{error}: {failed}\n{file}"));
    assert_eq!(planned, json!({ "changes": [], "steps": [] }), "{file}");
    let up = fwd.list(&["ls"]);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
    // The directory that a machine restores when it starts.
    let files = Files::of(&fwd);
    let directory = files.directory.path().display().to_string();
    let nothing = fwd.call(&["--json", "restore", &directory]);
    assert!(nothing.status.success() && nothing.stderr.contains("all stays as it is"), "{}", nothing.stderr);
    fwd.expect_error(&["restore", "/nowhere"], 3, &["/nowhere"]);
    files.write("network.toml", &file);
    fwd.ok(&["restore", &directory]);
    let keys = [
        "ns",
        "network",
        "addresses",
        "published",
        "rate_in",
        "names",
        "attach",
        "datapath",
        "allow_spoof",
        "source",
        "default_route",
    ];
    let facts = |listed: &[Value]| listed.iter().map(|it| keys.map(|key| it[key].clone())).collect::<Vec<_>>();
    assert_eq!(facts(&fwd.list(&["ls"])), facts(&up));
    assert_eq!(fwd.ok(&["export"]), file);
    let said = fwd.json(&["export"]);
    assert_eq!(
        (&said["networks"]["web"]["dns"], &said["endpoints"][0]["publish"]),
        (&json!(true), &json!(["8080:80/tcp"]))
    );
    // JSON as well, by the name of the file.
    let path = files.write("whole.json", &said.to_string());
    for args in [&["plan", "--prune", "-f", &path][..], &["apply", "--prune", "-f", &path]] {
        assert_eq!(fwd.json(args)["changes"], json!([]), "{args:?}");
    }
    fwd.ok(&["down", "--all"]);
}

#[test]
fn file_is_refused_as_a_whole_before_anything_is_changed() {
    let fwd = Fwd::new();
    let files = Files::of(&fwd);
    let before = snapshot(&fwd);
    let path = files.write("network.toml", "[networks.web]\nuplnk = \"eth0\"\n");
    for command in ["apply", "plan"] {
        fwd.expect_error(&[command, "-f", &path], 2, &[&format!("{path}:2:1"), "uplnk", "did you mean uplink?"]);
    }
    let shown = fwd.call(&["apply", "-f", &path]).stderr;
    assert!(shown.contains("2 | uplnk = \"eth0\"\n") && shown.contains("  | ^^^^^\n"), "{shown}");
    // What the README shows can be done.
    let readme =
        include_str!("../../README.md").split("```").find_map(|part| part.strip_prefix("toml\n")).expect("an example");
    assert_eq!(files.plan(readme)["changes"].as_array().map(Vec::len), Some(4));
    // The last endpoint of all cannot be.
    let bad = FILE.replace("ifname = \"eth1\"", "ifname = \"eth1\"\nip = \"192.0.2.1\"");
    fwd.expect_error(&["apply", "-f", &files.write("network.toml", &bad)], 2, &["192.0.2.1"]);
    let busy =
        FILE.replace("network = \"db\"", "network = \"db\"\npublish = [\"8080:80\"]").replace("internal = true", "");
    fwd.expect_error(
        &["apply", "-f", &files.write("network.toml", &busy)],
        2,
        &["8080", "first at", "network.toml:7:5"],
    );
    assert_as_before(&fwd, &before);
}

#[test]
fn files_are_checked_without_root() {
    let fwd = Fwd::new();
    let files = Files::of(&fwd);
    let path = files.write("network.toml", FILE);
    let nobody = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary()).args(args);
        testbed::run(command, LIMIT).expect("it runs")
    };
    // Whoever may read the file.
    let open_to_all = std::env::temp_dir().join(format!("{}valid.toml", fwd.name("")));
    fs::copy(&path, &open_to_all).expect("it is copied");
    let open_path = open_to_all.display().to_string();
    let valid = nobody(&["--json", "validate", "-f", &open_path]);
    assert!(valid.status.success(), "{}", valid.stderr);
    let valid: Value = serde_json::from_str(&valid.stdout).expect("JSON");
    assert_eq!(valid, json!({ "files": [open_path], "networks": 2, "endpoints": 3 }));
    fs::write(&open_to_all, "[[endpoints]]\nns = \"a\"\nifnme = \"eth1\"\n").expect("it is written");
    let wrong = nobody(&["validate", "-f", &open_path]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stderr.contains("3:1") && wrong.stderr.contains("ifname"), "{}", wrong.stderr);
    fs::remove_file(&open_to_all).expect("it is there");
    let schema: Value = serde_json::from_str(&nobody(&["validate", "--schema"]).stdout).expect("JSON");
    assert!(schema["properties"]["networks"].is_object());
}
