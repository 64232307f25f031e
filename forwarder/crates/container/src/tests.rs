//! Over what the runtimes wrote: docker 20.10.24, podman 4.3.1 with runc 1.1.5, containerd 1.6.20 and crun 1.8.1, shortened to what is read.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
};

use super::*;
use crate::process::started;
use fwd_base::{Kind, text::is_harmless};
use fwd_kernel::netns::Netns;

const WEB: &str = "956617f662002612070edbb6349c588be0d3269198ab327731edc44e4b316d97";
const WEB2: &str = "b3329c5a1fa0d2afd52a2fb7ffe6133401502f11345f7c665a477322c000667c";
const BY_RUNC: &str = "66495ba9e7edf93faa8534b665b4841cccb22f8076bb01254cef1a66462fb1c3";
const BY_CRUN: &str = "66a87de0ad7f1a6bbd7fe2ab43cb6b1ae1eab4b1d16a78c4c83fb7a60dd5b3f0";

/// Where a machine keeps what its runtimes note, and a process that plays the first of containers.
struct Machine {
    root: tempfile::TempDir,
    process: Child,
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("it is ours");
    }
}

impl Machine {
    fn new() -> Self {
        let process = Command::new("sleep").arg("600").spawn().expect("sleep runs");
        Self { root: tempfile::tempdir().expect("a directory"), process }
    }

    /// The process's number, and when it began.
    fn process(&self) -> (u32, u64) {
        (self.process.id(), started(self.process.id()).expect("it runs"))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    fn docker(&self, id: &str, name: &str, pid: u32) {
        self.docker_in("var/lib/docker", id, name, pid);
    }

    fn docker_in(&self, data: &str, id: &str, name: &str, pid: u32) {
        let running = pid != 0;
        let sandbox = if running { format!("/var/run/docker/netns/{}", &id[..12]) } else { String::new() };
        let config = format!(
            r#"{{"StreamConfig":{{}},"State":{{"Running":{running},"Paused":false,"Dead":false,"Pid":{pid},"ExitCode":0}},
            "ID":"{id}","Name":"/{name}","NetworkSettings":{{"Bridge":"","SandboxKey":"{sandbox}"}},"Driver":"vfs"}}"#
        );
        self.write(&format!("{data}/containers/{id}/config.v2.json"), &config);
    }

    /// `state.json` of runc in a directory.
    fn runc(&self, directory: &str, (pid, start): (u32, u64)) {
        let state = format!(
            r#"{{"id":"x","init_process_pid":{pid},"init_process_start":{start},"created":"2026-11-30T13:34:45.687487753Z","config":{{}}}}"#
        );
        self.write(&format!("{directory}/state.json"), &state);
    }

    /// podman with its two containers, of which `old` has ended, and left its files.
    fn podman(&self) {
        self.write(
            "var/lib/containers/storage/vfs-containers/containers.json",
            &format!(
                r#"[{{"id":"{BY_RUNC}","names":["byrunc"],"image":"","layer":"e72e","created":"2026-11-30T13:35:49.7605462Z"}},
                {{"id":"a8b3db053b0724062bf6944da733b902dd4335019fe42e7dfcfbfa313d7b2e94","names":["old"]}},
                {{"id":"{BY_CRUN}","names":null}}]"#
            ),
        );
        let (pid, start) = self.process();
        let run = "run/containers/storage/vfs-containers";
        self.write(&format!("{run}/{BY_RUNC}/userdata/pidfile"), &format!("{pid}"));
        self.runc(&format!("run/runc/{BY_RUNC}"), (pid, start));
        let old = "a8b3db053b0724062bf6944da733b902dd4335019fe42e7dfcfbfa313d7b2e94";
        self.write(&format!("{run}/{old}/userdata/pidfile"), &format!("{pid}\n"));
        // Its number is another process's by now.
        self.runc(&format!("run/runc/{old}"), (pid, start - 1));
        self.write(&format!("{run}/{BY_CRUN}/userdata/pidfile"), &format!("{pid}"));
        let status =
            format!(r#"{{"pid":{pid},"process-start-time":{start},"cgroup-path":"/libpod-x","owner":"root"}}"#);
        self.write(&format!("run/crun/{BY_CRUN}/status"), &status);
    }

    /// A task of containerd, with annotations.
    fn containerd(&self, namespace: &str, id: &str, annotations: &str) {
        let (pid, start) = self.process();
        let task = format!("run/containerd/io.containerd.runtime.v2.task/{namespace}/{id}");
        self.write(&format!("{task}/init.pid"), &pid.to_string());
        self.write(&format!("{task}/config.json"), &format!(r#"{{"ociVersion":"1.0.2"{annotations}}}"#));
        self.runc(&format!("run/containerd/runc/{namespace}/{id}"), (pid, start));
    }

    #[track_caller]
    fn find(&self, asked: &str) -> Container {
        find(self.root.path(), asked).unwrap_or_else(|error| panic!("{asked}: {error}"))
    }

    #[track_caller]
    fn refuses(&self, asked: &str, kind: Kind, words: &[&str]) {
        let error = match find(self.root.path(), asked).and_then(|found| found.open()) {
            Ok(_) => panic!("{asked} is found"),
            Err(error) => error,
        };
        let text = format!("{error}\n{}", error.remedy.as_deref().unwrap_or_default());
        assert_eq!(error.kind, kind, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} in: {text}");
        assert!(is_harmless(&error.to_string()), "{text}");
    }

    /// The process that is found is ours.
    #[track_caller]
    fn runs(&self, found: &Container) {
        let (pid, started) = self.process();
        assert_eq!(found.process, Some(FirstProcess { pid, started }));
        let own = Netns::current().expect("/proc is mounted");
        assert!(found.open().expect("it runs").is_same(&own).expect("both are open"));
    }
}

#[test]
fn container_of_docker_is_found_by_name_id_and_beginning_of_the_id() {
    let machine = Machine::new();
    machine.docker(WEB, "web", machine.process.id());
    machine.docker(WEB2, "web2", 0);
    machine.runc(&format!("run/docker/runtime-runc/moby/{WEB}"), machine.process());
    for asked in ["web", WEB, "9566", "9", "docker:web", "docker:9566"] {
        let found = machine.find(asked);
        assert_eq!((found.id.as_str(), found.label(), found.runtime), (WEB, "web", Runtime::Docker), "{asked}");
        machine.runs(&found);
    }
    assert_eq!(machine.find("b").label(), "web2");
    let sandboxes = docker_sandboxes(machine.root.path());
    assert_eq!(sandboxes, [(format!("/var/run/docker/netns/{}", &WEB[..12]), WEB.to_owned())].into());
}

#[test]
fn container_that_does_not_run_is_told_with_what_starts_it() {
    let machine = Machine::new();
    machine.docker(WEB2, "web2", 0);
    machine.podman();
    machine.refuses("web2", Kind::NotFound, &["container web2", "does not run", "docker start web2"]);
    machine.refuses("old", Kind::NotFound, &["container old", "podman start old", "--pid"]);
}

#[test]
fn number_that_was_given_to_another_process_names_no_container() {
    let machine = Machine::new();
    let (pid, start) = machine.process();
    machine.docker(WEB, "web", pid);
    machine.refuses("web", Kind::NotFound, &["does not run"]);
    machine.runc(&format!("run/docker/runtime-runc/moby/{WEB}"), (pid, start + 1));
    machine.refuses("web", Kind::NotFound, &["does not run"]);
    machine.runc(&format!("run/docker/runtime-runc/moby/{WEB}"), (pid + 1, start));
    machine.refuses("web", Kind::NotFound, &["does not run"]);
    // One that ends between the look and the opening.
    machine.runc(&format!("run/docker/runtime-runc/moby/{WEB}"), (pid, start));
    let found = machine.find("web");
    drop(machine);
    assert_eq!(found.open().expect_err("it has ended").kind, Kind::NotFound);
    let process = Some(FirstProcess { pid: std::process::id(), started: start });
    assert_eq!(Container { process, ..found }.open().expect_err("it is another").kind, Kind::NotFound);
}

#[test]
fn containers_of_podman_are_found_by_the_states_of_runc_and_crun() {
    let machine = Machine::new();
    machine.podman();
    machine.runs(&machine.find("byrunc"));
    let nameless = machine.find("66a8");
    machine.runs(&nameless);
    assert_eq!((nameless.label(), nameless.identity()), ("66a87de0ad7f", format!("podman:{BY_CRUN}")));
    machine.write(
        "run/containers/storage/vfs-containers/volatile-containers.json",
        r#"[{"id":"0c","names":["passing"]}]"#,
    );
    assert_eq!(machine.find("passing").id, "0c");
}

#[test]
fn containers_of_containerd_are_found_in_all_its_namespaces() {
    let machine = Machine::new();
    machine.containerd("default", "c1", "");
    machine.containerd("default", "n1", r#","annotations":{"nerdctl/name":"db"}"#);
    let pod =
        r#","annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-name":"api-7f"}"#;
    machine.containerd("k8s.io", "1f2e", pod);
    machine.containerd("k8s.io", "1f3e", &pod.replace("\"sandbox\"", "\"container\""));
    machine.containerd("moby", WEB, "");
    for (asked, id) in
        [("c1", "c1"), ("db", "n1"), ("api-7f", "1f2e"), ("1f3", "1f3e"), ("containerd:k8s.io/1f2e", "1f2e")]
    {
        let found = machine.find(asked);
        assert_eq!(found.id, id, "{asked}");
        machine.runs(&found);
    }
    machine.refuses("9566", Kind::NotFound, &["9566"]);
}

#[test]
fn several_that_could_be_meant_are_named() {
    let machine = Machine::new();
    machine.podman();
    machine.docker(WEB, "old", 0);
    machine.containerd("a", "c1", "");
    machine.containerd("b", "c1", "");
    machine.refuses("66", Kind::Usage, &["byrunc (podman, 66495ba9e7ed)", "66a87de0ad7f (podman)"]);
    machine.refuses(
        "old",
        Kind::Usage,
        &["docker, 956617f66200", "podman, a8b3", &format!("--container docker:{WEB}")],
    );
    machine.refuses("c1", Kind::Usage, &["c1 (containerd a)", "--container containerd:a/c1"]);
    assert_eq!(machine.find("podman:old").runtime, Runtime::Podman);
    assert_eq!(machine.find("containerd:b/c1").namespace.as_deref(), Some("b"));
    // A name comes before the beginning of an id.
    machine.docker(WEB2, "66", 0);
    assert_eq!(machine.find("66").id, WEB2);
}

#[test]
fn what_nobody_is_called_is_refused_with_the_nearest() {
    let machine = Machine::new();
    machine.refuses("web", Kind::NotFound, &["docker ps", "--pid"]);
    machine.docker(WEB, "web", 0);
    machine.refuses("webb", Kind::NotFound, &["`web`"]);
    for nonsense in ["", "docker:", "lxc:web", "containerd:x/"] {
        machine.refuses(nonsense, Kind::Usage, &["--container"]);
    }
    machine.refuses("../../etc", Kind::NotFound, &["note none"]);
    machine.refuses("\u{1b}[31m", Kind::NotFound, &[r"\u{1b}[31m"]);
}

#[test]
fn places_that_are_configured_are_looked_at() {
    let machine = Machine::new();
    machine.write("etc/docker/daemon.json", r#"{"data-root":"/srv/docker","exec-root":"/run/d","debug":true}"#);
    machine.docker_in("srv/docker", WEB, "web", machine.process.id());
    machine.docker_in("srv/docker/100000.100000", WEB2, "remapped", machine.process.id());
    machine.runc(&format!("run/d/runtime-runc/moby/{WEB}"), machine.process());
    machine.runc(&format!("run/d/runtime-crun/moby/{WEB2}"), machine.process());
    machine.runs(&machine.find("web"));
    machine.runs(&machine.find("remapped"));
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let machine = Machine::new();
    machine.docker(WEB, "web", machine.process.id());
    machine.write(&format!("var/lib/docker/containers/{WEB2}/config.v2.json"), "{\"State\":");
    machine.refuses("gone", Kind::NotFound, &["config.v2.json cannot be read", WEB2]);
    assert_eq!(machine.find("web").id, WEB, "the others are found");
}

#[test]
fn names_are_harmless_where_they_are_shown() {
    let machine = Machine::new();
    let hostile = r#","annotations":{"nerdctl/name":"\u001b]0;x\u0007"}"#;
    machine.containerd("default", "c1", hostile);
    machine.containerd("default", "c2", hostile);
    machine.refuses("c", Kind::Usage, &[r"\u{1b}]0;x\u{7}"]);
    let mut found = machine.find("c1");
    assert_eq!(found.label(), "\x1b]0;x\x07", "it is what it is");
    found.process = None;
    assert!(is_harmless(&found.open().expect_err("it does not run").to_string()));
}

#[test]
fn nothing_is_found_where_there_is_no_runtime() {
    assert_eq!(find(Path::new("/no/such/root"), "web").expect_err("nothing").kind, Kind::NotFound);
}
