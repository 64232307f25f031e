//! Containers by name or id: over what docker notes in files, of processes that play the first of a container.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use forwarder::{
    netns::Netns,
    testbed::{Output, Process, command_in_cgroup, run, wait_until},
};
use serde_json::{Value, json};

use crate::{
    fwd::{Fwd, LIMIT, inside, pings, try_inside},
    peers::PATIENCE,
};

const WEB: &str = "956617f662002612070edbb6349c588be0d3269198ab327731edc44e4b316d97";
const DB: &str = "b3329c5a1fa0d2afd52a2fb7ffe6133401502f11345f7c665a477322c000667c";

/// What docker notes, laid over /var/lib in a mount namespace of the command alone: the machine's own is not touched.
struct Docker<'a> {
    fwd: &'a Fwd,
    /// Directories of containers, as below /var/lib/docker/containers.
    state: PathBuf,
}

/// A process in a network namespace of its own and in the cgroup of a container.
struct First {
    process: Process,
    ns: Netns,
    _cgroup: Cgroup,
}

impl First {
    fn pid(&self) -> String {
        self.process.id().to_string()
    }
}

/// The cgroup of a container, which goes once nobody is in it any more.
struct Cgroup(PathBuf);

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = wait_until(PATIENCE, "the cgroup goes", || Ok(fs::remove_dir(&self.0).ok())) {
            eprintln!("{error}");
        }
    }
}

impl<'a> Docker<'a> {
    fn new(fwd: &'a Fwd) -> Self {
        // Pins that a command in such a mount namespace made would go with it.
        fwd.ok(&["network", "add", "fwd0"]);
        Self { fwd, state: fwd.run_dir().join("docker") }
    }

    fn start(&self, id: &str) -> First {
        let cgroup = self.fwd.cgroup().expect("this machine has cgroup2").join(format!("docker-{id}.scope"));
        fs::create_dir(&cgroup).expect("a cgroup");
        let guard = Cgroup(cgroup.clone());
        let command = command_in_cgroup(self.fwd.host(), &cgroup, &["unshare", "-n", "sleep", "600"]);
        let process = Process::spawn(command).expect("it starts");
        let host = self.fwd.host().inode().expect("a namespace");
        let unshared = || {
            let ns = Netns::open_pid(process.id())?;
            Ok((ns.inode()? != host).then_some(ns))
        };
        let ns = wait_until(PATIENCE, "the process has a namespace of its own", unshared).expect("it has");
        First { process, ns, _cgroup: guard }
    }

    fn note(&self, id: &str, name: &str, pid: &str) {
        let directory = self.state.join(id);
        fs::create_dir_all(&directory).expect("a directory");
        let running = pid != "0";
        let config = format!(r#"{{"ID":"{id}","Name":"/{name}","State":{{"Running":{running},"Pid":{pid}}}}}"#);
        fs::write(directory.join("config.v2.json"), config).expect("a file");
    }

    fn call(&self, args: &[&str]) -> Output {
        const LAID_OVER: &str = "mount -t tmpfs fwd-test /var/lib && mkdir -p /var/lib/docker/containers && \
            cp -r \"$0\"/. /var/lib/docker/containers && exec \"$@\"";
        let fwd = self.fwd.command(args);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", LAID_OVER]).arg::<&Path>(&self.state);
        command.arg(fwd.get_program()).args(fwd.get_args()).env_remove("FWD_RUN_DIR");
        run(command, LIMIT).expect("it ends")
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        output.stdout
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[&["--json"], args].concat())).expect("JSON")
    }

    #[track_caller]
    fn refuses(&self, args: &[&str], code: i32, words: &[&str]) {
        let output = self.call(args);
        let is_said = words.iter().all(|word| output.stderr.contains(word));
        assert!(output.status.code() == Some(code) && is_said, "{words:?}: {output:?}");
    }
}

#[test]
fn container_is_connected_by_its_name_and_shown_by_it() {
    let fwd = Fwd::new();
    let docker = Docker::new(&fwd);
    let web = docker.start(WEB);
    docker.note(WEB, "web", &web.pid());
    docker.note(DB, "db", "0");
    let shown = docker.json(&["up", "--container", "web"]);
    assert_eq!((&shown["container"], &shown["ns"], &shown["changed"]), (&json!("web"), &Value::Null, &json!(true)));
    assert_eq!(shown["pid"].to_string(), web.pid());
    assert!(pings(&web.ns, fwd.uplink(0).outside[0]));
    // By its id, by the beginning of it, and by other ways it is the same.
    for again in [["--container", WEB], ["--container", "docker:9566"], ["--pid", &web.pid()]] {
        assert_eq!(docker.json(&[&["up"], &again[..]].concat())["changed"], false, "{again:?}");
    }
    assert_eq!(docker.ok(&["exec", "--container", "web", "--", "ls", "/sys/class/net"]), "eth0\nlo\n");
    assert_eq!(docker.json(&["inspect", "--container", "9566"])["container"], "web");
    assert_eq!(docker.json(&["ls", "--container", "web"])[0]["container"], "web");
    assert!(!docker.json(&["flows", "--container", "web"]).as_array().expect("a list").is_empty());
    let measured = docker.json(&["latency", "--container", "web", "--duration", "100ms"]);
    assert_eq!(measured["paths"][0]["interface"], "eth0");
    docker.ok(&["port", "add", "--container", "web", "-p", "8080:80"]);
    for list in [&["ls"][..], &["port", "ls"]] {
        let text = fwd.ok(list);
        assert!(text.contains("web") && !text.contains("pid "), "{list:?} calls it by its name: {text}");
    }
    assert_eq!(docker.json(&["graph"])["bridges"][0]["ports"][0]["ns"], "web (docker)");
    docker.refuses(&["up", "--container", "db"], 3, &["container db", "does not run", "docker start db"]);
    docker.refuses(&["inspect", "--container", "wep"], 3, &["did you mean `web`"]);
    docker.ok(&["down", "--container", "web"]);
    assert_eq!(inside(&web.ns, &["ip", "-br", "link"]).lines().count(), 1, "only lo is left");
    assert_eq!(fwd.list(&["ls"]).len(), 0);
}

#[test]
fn container_that_ended_is_no_other_process_and_goes_by_its_name() {
    let fwd = Fwd::new();
    let docker = Docker::new(&fwd);
    let web = docker.start(WEB);
    docker.note(WEB, "web", &web.pid());
    docker.ok(&["up", "--container", "web"]);
    drop(web);
    // docker was killed with it, and its number is given to somebody else.
    let stranger = docker.start(DB);
    docker.note(WEB, "web", &stranger.pid());
    docker.refuses(&["up", "--container", "web"], 3, &["container web", "does not run"]);
    docker.refuses(&["exec", "--container", "web", "true"], 125, &["does not run"]);
    // The kernel takes namespaces apart when it has time.
    let gone = || Ok((docker.json(&["inspect", "--container", "web"])["gone"] == true).then_some(()));
    wait_until(PATIENCE, "its namespace is gone", gone).expect("it goes");
    docker.ok(&["down", "--container", "web"]);
    assert_eq!(fwd.list(&["ls"]).len(), 0);
    assert_eq!(inside(&stranger.ns, &["ip", "-br", "link"]).lines().count(), 1, "nobody touched it");
    docker.ok(&["down", "--container", "web"]);
}

#[test]
fn container_with_a_network_of_its_own_gets_a_second_interface() {
    let fwd = Fwd::new();
    let docker = Docker::new(&fwd);
    let web = docker.start(WEB);
    docker.note(WEB, "web", &web.pid());
    inside(&web.ns, &["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other"]);
    inside(&web.ns, &["ip", "addr", "add", "192.168.99.2/24", "dev", "eth0"]);
    for link in ["eth0", "other"] {
        inside(&web.ns, &["ip", "link", "set", link, "up"]);
    }
    inside(&web.ns, &["ip", "route", "add", "default", "via", "192.168.99.1"]);
    let remedy = ["--ifname", "eth1", "--no-default-route"];
    docker.refuses(&["up", "--container", "web"], 4, &["an interface eth0 of its own", &remedy.join(" ")]);
    let outside = fwd.uplink(0).outside[0];
    let route = format!("{outside}/32");
    let up = [&["up", "--container", "web"], &remedy[..], &["--route", &route]].concat();
    let shown = docker.json(&up);
    assert_eq!((&shown["ns_if"], &shown["default_route"]), (&json!("eth1"), &json!(false)));
    assert!(pings(&web.ns, outside), "by the second interface");
    assert!(inside(&web.ns, &["ip", "route", "show", "default"]).contains("dev eth0"), "its own route stays");
    docker.ok(&["down", "--container", "web"]);
    assert!(!try_inside(&web.ns, &["ip", "link", "show", "eth1"]).status.success());
    assert!(inside(&web.ns, &["ip", "-4", "addr"]).contains("192.168.99.2"), "its own interface stays");
}
