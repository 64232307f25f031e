//! Network namespaces as `ip netns`, `unshare` and containers make and use them.

use std::{
    env,
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use forwarder::{
    Error, Kind,
    netns::{DIRECTORY, Listed, Name, Netns, interfaces, list_all, list_named, named, nearest, of_pid},
};

use crate::fwd::helper;

/// A namespace name of this test run alone; whatever bears it is removed at the end.
struct Scratch(Name);

impl Scratch {
    fn new(what: &str) -> Self {
        let name = format!("fwdt{}-{what}", std::process::id());
        Self(Name::try_from(name.as_str()).expect("a valid name"))
    }

    /// With a namespace of this name.
    fn created(what: &str) -> (Self, Netns) {
        let scratch = Self::new(what);
        let netns = Netns::create_named(&scratch.0, |_| Ok(())).expect("root can create a namespace");
        (scratch, netns)
    }

    fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(self.0.as_str())
    }

    /// /etc/netns/NAME.
    fn configuration(&self) -> PathBuf {
        Path::new("/etc/netns").join(self.0.as_str())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = Netns::delete_named(&self.0) {
            eprintln!("{error}");
        }
        if self.configuration().exists() {
            fs::remove_dir_all(self.configuration()).expect("it can be removed");
            // Stays if somebody else has files there.
            fs::remove_dir("/etc/netns").unwrap_or_default();
        }
    }
}

/// A process that is ended with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("it starts"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("it can be ended");
        self.0.wait().expect("it ends");
    }
}

/// The standard output of a command that succeeds.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn ip(arguments: &[&str]) -> String {
    output(Command::new("ip").args(arguments))
}

fn ip_lists(name: &Name) -> bool {
    ip(&["netns", "list"]).lines().any(|line| line.split(' ').next() == Some(name.as_str()))
}

fn mount_points() -> Vec<String> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4).map(str::to_owned)).collect()
}

/// How often `path` is in the mount table: once for a name, and no more however often things are repeated.
fn times_mounted(path: &Path) -> usize {
    mount_points().iter().filter(|point| Path::new(point) == path).count()
}

#[test]
fn a_created_namespace_is_one_that_ip_knows() {
    let (scratch, netns) = Scratch::created("ip");
    assert!(ip_lists(&scratch.0));
    assert!(named().expect("readable").contains(&scratch.0));
    let links = ip(&["netns", "exec", scratch.0.as_str(), "ip", "-o", "link"]);
    assert_eq!(links.lines().count(), 1, "{links}");
    assert!(links.contains("lo: <LOOPBACK>"), "a fresh namespace has only a loopback, which is down: {links}");
    assert!(Netns::open_named(&scratch.0).expect("published").is_same(&netns).expect("both are open"));

    assert!(Netns::delete_named(&scratch.0).expect("root can delete it"));
    assert!(!ip_lists(&scratch.0));
    assert_eq!(times_mounted(&scratch.path()), 0);
    assert!(!Netns::delete_named(&scratch.0).expect("nothing to do"));
    assert_eq!(interfaces(&netns).expect("the handle keeps it alive"), ["lo"]);
}

#[test]
fn a_namespace_of_ip_is_opened_and_deleted() {
    let scratch = Scratch::new("made");
    ip(&["netns", "add", scratch.0.as_str()]);
    let netns = Netns::open_named(&scratch.0).expect("ip made it");
    let inode = output(Command::new("stat").arg("-Lc%i").arg(scratch.path()));
    assert_eq!(netns.inode().expect("open").to_string(), inode.trim());
    assert!(Netns::delete_named(&scratch.0).expect("root can delete it"));
    assert!(!ip_lists(&scratch.0));
}

#[test]
fn preparation_runs_inside_before_the_name_exists() {
    let scratch = Scratch::new("prep");
    let outside = Netns::current().expect("open");
    let netns = Netns::create_named(&scratch.0, |new| {
        assert!(Netns::current()?.is_same(new)?);
        assert!(!new.is_same(&outside)?);
        assert!(!scratch.path().exists());
        ip(&["link", "set", "lo", "alias", "fwd1:test"]);
        Ok(())
    })
    .expect("created");
    assert!(ip(&["-n", scratch.0.as_str(), "link", "show", "lo"]).contains("alias fwd1:test"));
    assert!(Netns::current().expect("open").is_same(&outside).expect("open"), "this thread stayed where it was");
    assert!(!netns.is_same(&outside).expect("open"));
}

#[test]
fn a_failed_preparation_leaves_nothing() {
    let scratch = Scratch::new("fail");
    let refusal = || Error::new(Kind::Failed, "prepare", "it", "the test says so");
    let error = Netns::create_named(&scratch.0, |_| Err(refusal())).expect_err("preparation failed");
    assert_eq!(error.to_string(), refusal().to_string());
    assert!(scratch.path().symlink_metadata().is_err());
}

#[test]
fn a_taken_name_is_a_conflict_and_stays_as_it_was() {
    let (scratch, netns) = Scratch::created("taken");
    let error = Netns::create_named(&scratch.0, |_| panic!("nothing is prepared")).expect_err("the name is taken");
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.to_string().contains(scratch.0.as_str()), "{error}");
    assert!(Netns::open_named(&scratch.0).expect("still there").is_same(&netns).expect("open"));
    assert_eq!(times_mounted(&scratch.path()), 1);
}

#[test]
fn twenty_creators_at_once_get_a_namespace_each() {
    let before = times_mounted(Path::new(DIRECTORY)).max(1);
    let all: Vec<Scratch> = (0..20).map(|number| Scratch::new(&format!("many{number}"))).collect();
    std::thread::scope(|scope| {
        for scratch in &all {
            scope.spawn(|| Netns::create_named(&scratch.0, |_| Ok(())).expect("created"));
        }
    });
    let listed = ip(&["netns", "list"]);
    for scratch in &all {
        assert!(listed.contains(scratch.0.as_str()), "{listed}");
        assert_eq!(times_mounted(&scratch.path()), 1);
    }
    assert_eq!(times_mounted(Path::new(DIRECTORY)), before, "the directory is not bound over itself again and again");
}

#[test]
fn of_many_creators_of_one_name_one_wins() {
    let scratch = Scratch::new("race");
    let results: Vec<_> = std::thread::scope(|scope| {
        let create = || Netns::create_named(&scratch.0, |_| Ok(())).map_err(|error| error.kind);
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let winners: Vec<&Netns> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(winners.len(), 1);
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(|kind| *kind == Kind::Conflict));
    assert!(Netns::open_named(&scratch.0).expect("published").is_same(winners[0]).expect("open"));
}

#[test]
fn a_leftover_file_is_told_apart_and_removed() {
    let (_other, _netns) = Scratch::created("leftdir");
    let scratch = Scratch::new("left");
    fs::write(scratch.path(), "").expect("root can write there");
    let error = Netns::open_named(&scratch.0).expect_err("it is no namespace");
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.remedy.expect("there is a remedy").contains("fwd ns rm"));
    assert!(Netns::delete_named(&scratch.0).expect("removed"));
    assert!(scratch.path().symlink_metadata().is_err());
}

#[test]
fn deleting_a_link_spares_its_target() {
    let (scratch, netns) = Scratch::created("target");
    let link = Scratch::new("link");
    std::os::unix::fs::symlink(scratch.path(), link.path()).expect("root can write there");
    assert!(Netns::open_named(&link.0).expect("links are followed").is_same(&netns).expect("open"));
    assert!(Netns::delete_named(&link.0).expect("removed"));
    assert!(Netns::open_named(&scratch.0).expect("still there").is_same(&netns).expect("open"));
}

#[test]
fn a_typo_is_answered_with_the_name_meant() {
    let (scratch, _netns) = Scratch::created("typo");
    let typo = Name::try_from(format!("{}x", scratch.0).as_str()).expect("a valid name");
    let error = Netns::open_named(&typo).expect_err("a typo");
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.remedy.expect("there is a remedy").contains(scratch.0.as_str()));
    assert_eq!(nearest(typo.as_str(), &named().expect("readable")), Some(&scratch.0));
}

#[test]
fn a_namespace_is_the_same_by_name_process_and_path() {
    let (scratch, by_name) = Scratch::created("same");
    let process = Running::start(Command::new("ip").args(["netns", "exec", scratch.0.as_str(), "sleep", "60"]));
    let entered = || Netns::open_pid(process.pid()).is_ok_and(|netns| netns.is_same(&by_name).expect("open"));
    wait_for("the process is inside", entered);
    let by_path = Netns::open_path(&PathBuf::from(format!("/proc/{}/ns/net", process.pid()))).expect("it runs");
    let host = Netns::current().expect("open");
    let cookie = by_name.cookie().expect("this kernel has cookies");
    assert_eq!(by_path.cookie().expect("this kernel has cookies"), cookie);
    assert_ne!(host.cookie().expect("this kernel has cookies"), cookie);
}

/// Polls until `condition` holds; fails after 5 s.
#[track_caller]
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed().as_secs() < 5, "in vain: {what}");
        std::thread::yield_now();
    }
}

fn listed(inode: u64) -> Option<Listed> {
    let host = Netns::current().expect("open");
    list_all(&host, &host).expect("readable").into_iter().find(|listed| listed.inode == inode)
}

#[test]
fn named_namespaces_are_listed_with_what_is_inside() {
    let (scratch, netns) = Scratch::created("list");
    ip(&["-n", scratch.0.as_str(), "link", "add", "one", "type", "veth", "peer", "two"]);
    let inode = netns.inode().expect("open");
    let empty = listed(inode).expect("it is listed");
    assert_eq!(empty.names, [scratch.0.as_str()]);
    assert_eq!((empty.processes, empty.example), (Some(0), None));
    let interfaces = empty.interfaces.expect("root can read them");
    assert_eq!(interfaces[0], "lo");
    assert_eq!(interfaces.len(), 3);
    assert!(["one", "two"].iter().all(|name| interfaces.iter().any(|interface| interface == name)), "{interfaces:?}");
    assert!(!empty.is_host && !empty.is_caller);

    let process = Running::start(Command::new("ip").args(["netns", "exec", scratch.0.as_str(), "sleep", "60"]));
    wait_for("sleep runs inside", || {
        let example = listed(inode).and_then(|listed| listed.example);
        example.is_some_and(|example| example.pid == process.pid() && example.comm == "sleep")
    });
    assert_eq!(listed(inode).expect("it is listed").processes, Some(1));
    let host = Netns::current().expect("open");
    let named = list_named(&host, &host).expect("readable");
    assert!(named.iter().any(|listed| listed.inode == inode));
    assert!(named.iter().all(Listed::is_named));
}

#[test]
fn nameless_namespaces_are_listed_by_their_processes() {
    let process = Running::start(Command::new("unshare").args(["-n", "sleep", "60"]));
    let host = Netns::current().expect("open");
    let member = || of_pid(process.pid(), &host).expect("it runs");
    wait_for("sleep runs in a namespace of its own", || !member().is_host && member().process.comm == "sleep");
    let found = member();
    assert_eq!(found.names, [""; 0]);
    assert_eq!((found.shared_with.len(), found.complete), (0, true));
    let listed = listed(found.inode).expect("it is listed");
    assert_eq!(listed.example.expect("there is a process"), found.process);
    assert_eq!(listed.interfaces.expect("root can read them"), ["lo"]);
    assert!(!listed.names.iter().any(|name| !name.starts_with('/')));
}

#[test]
fn a_namespace_bound_elsewhere_is_listed_by_its_path() {
    let (scratch, netns) = Scratch::created("bound");
    let file = env::temp_dir().join(scratch.0.as_str());
    fs::write(&file, "").expect("writable");
    output(Command::new("mount").arg("--bind").arg(scratch.path()).arg(&file));
    Netns::delete_named(&scratch.0).expect("deleted");
    let found = listed(netns.inode().expect("open"));
    output(Command::new("umount").arg(&file));
    fs::remove_file(&file).expect("removable");
    assert_eq!(found.expect("it is listed").names, [file.to_str().expect("UTF-8")]);
}

#[test]
fn processes_of_one_namespace_know_each_other() {
    let (scratch, netns) = Scratch::created("of");
    let inside = ["netns", "exec", scratch.0.as_str(), "sleep", "60"];
    let (one, two) = (Running::start(Command::new("ip").args(inside)), Running::start(Command::new("ip").args(inside)));
    let host = Netns::current().expect("open");
    wait_for("both are inside", || {
        let member = of_pid(one.pid(), &host).expect("it runs");
        member.shared_with.iter().map(|process| process.pid).eq([two.pid()])
            && member.names == [scratch.0.as_str()]
            && member.inode == netns.inode().expect("open")
    });
}

/// `ip netns exec`, with our means.
fn run(name: &Name, argv: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(helper())
        .args(["exec", name.as_str()])
        .args(argv)
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_command_sees_only_its_namespace() {
    let (scratch, netns) = Scratch::created("sees");
    let before = mount_points();
    let output = run(&scratch.0, &["sh", "-c", "ls /sys/class/net; readlink /proc/self/ns/net"], "");
    let inode = netns.inode().expect("open");
    assert_eq!(said(&output), format!("lo\nnet:[{inode}]\n"), "{output:?}");
    let points: Vec<String> = before.iter().filter(|point| point.starts_with("/sys")).cloned().collect();
    let output = run(&scratch.0, &["cat", "/proc/self/mountinfo"], "");
    let inside = said(&output);
    for point in points {
        assert!(inside.lines().any(|line| line.split(' ').nth(4) == Some(&point)), "{point} is missing: {inside}");
    }
    let added = |points: &[String]| points.iter().filter(|point| point.starts_with("/sys")).count();
    assert_eq!(added(&mount_points()), added(&before), "mounts of the command leak");
}

#[test]
fn what_is_mounted_below_sys_stays_readable() {
    let (scratch, _netns) = Scratch::created("cgroup");
    let list = |path: &str| format!("ls {path} | sort");
    let outside = output(Command::new("sh").args(["-c", &list("/sys/fs/cgroup")]));
    assert_eq!(said(&run(&scratch.0, &["sh", "-c", &list("/sys/fs/cgroup")], "")), outside);
}

#[test]
fn stdin_status_and_signals_are_those_of_the_command() {
    use std::os::unix::process::ExitStatusExt;
    let (scratch, _netns) = Scratch::created("status");
    let output = run(&scratch.0, &["sh", "-c", "cat; exit 7"], "from outside\n");
    assert_eq!((said(&output).as_str(), output.status.code()), ("from outside\n", Some(7)));
    let output = run(&scratch.0, &["sh", "-c", "kill -TERM $$"], "");
    assert_eq!(output.status.signal(), Some(15));
    // The Rust runtime ignores SIGPIPE: a command must not inherit that.
    let ignored = said(&run(&scratch.0, &["sed", "-n", "s/SigIgn:\t//p", "/proc/self/status"], ""));
    let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a mask of signals");
    assert_eq!(ignored & (1 << (13 - 1)), 0, "SIGPIPE is ignored");
    assert_eq!(said(&run(&scratch.0, &[], "echo from $0\n")), "from /bin/sh\n", "no command means the shell");
}

#[test]
fn a_command_that_cannot_run_gives_the_status_of_docker() {
    let (scratch, _netns) = Scratch::created("cannot");
    for (program, status) in [("no-such-command", 127), ("/no/such/command", 127), ("/etc/passwd", 126), ("/tmp", 126)]
    {
        let output = run(&scratch.0, &[program], "");
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(program), "{output:?}");
    }
}

#[test]
fn files_of_the_namespace_take_the_place_of_those_in_etc() {
    let (scratch, _netns) = Scratch::created("etc");
    fs::create_dir_all(scratch.configuration()).expect("root can write there");
    fs::write(scratch.configuration().join("hosts"), "192.0.2.1 inside\n").expect("root can write there");
    fs::write(scratch.configuration().join("no-such-file-in-etc"), "").expect("root can write there");
    let output = run(&scratch.0, &["cat", "/etc/hosts"], "");
    assert_eq!(said(&output), "192.0.2.1 inside\n", "a file without a namesake in /etc stops nothing: {output:?}");
    assert_ne!(fs::read_to_string("/etc/hosts").unwrap_or_default(), "192.0.2.1 inside\n");
}

/// What a process that `wrapper` starts in its own way says about a mount on `dir`.
fn asked(wrapper: &[&str], job: &[&str]) -> String {
    let mut words: Vec<OsString> = wrapper.iter().map(Into::into).collect();
    words.push(helper().into());
    let text = output(Command::new(&words[0]).args(&words[1..]).args(job));
    text.lines().next().unwrap_or_default().to_owned()
}

/// A shell that stays the parent of what follows.
const IN_SHELL: [&str; 4] = ["sh", "-c", "\"$@\"; true", "sh"];

#[test]
fn a_mount_that_ends_with_the_command_is_refused() {
    let (scratch, _netns) = Scratch::created("temp");
    let enter = ["ip", "netns", "exec", scratch.0.as_str()];
    for wrapper in [enter.to_vec(), [&enter[..], &IN_SHELL].concat(), vec!["unshare", "-m"]] {
        for dir in ["/run/fwd/bpf", DIRECTORY] {
            let said = asked(&wrapper, &["temporary", dir]);
            assert!(said.starts_with("temporary Unsupported"), "{wrapper:?} {dir}: {said}");
            assert!(said.contains(dir) && said.contains("fwd --host-netns"), "{said}");
            let names_it = said.contains(&format!("--host-netns {} ", scratch.0));
            assert_eq!(names_it, wrapper[0] == "ip", "{said}");
        }
    }
}

/// What `PrivateTmp=` and others give a service of systemd: mounts that are slaves of the host's, and shared among its processes.
const IN_SERVICE: [&str; 6] = [
    "unshare",
    "-m",
    "sh",
    "-c",
    r#"mount --make-rshared / && exec unshare -m --propagation slave sh -c 'mount --make-rshared / && "$@"; true' sh "$@""#,
    "sh",
];

#[test]
fn a_mount_that_lasts_is_not_refused() {
    // A namespace may be called as the source of a sysfs usually is.
    let named_sysfs = "mount -t tmpfs names /run/netns && : >/run/netns/sysfs && \"$@\"; true";
    let named_sysfs = ["unshare", "-m", "sh", "-c", named_sysfs, "sh"];
    let (_scratch, _netns) = Scratch::created("names");
    // As `nsenter -t 1 -m`, from a mount namespace of its own.
    let process = Running::start(Command::new("unshare").args(["-m", "sleep", "60"]));
    let mounts = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    wait_for("it has mounts of its own", || mounts(&process.pid().to_string()) != mounts("self"));
    let pid = process.pid().to_string();
    let entered = ["nsenter", "-t", &pid, "-m"];
    for wrapper in
        [&["env"][..], &IN_SHELL, &[&["unshare", "-nm"], &IN_SHELL[..]].concat(), &entered, &IN_SERVICE, &named_sysfs]
    {
        assert_eq!(asked(wrapper, &["temporary", "/run/fwd/bpf"]), "lasting", "{wrapper:?}");
    }
}

#[test]
fn no_name_is_given_inside_a_temporary_mount_namespace() {
    let (scratch, _netns) = Scratch::created("host");
    let other = Scratch::new("lost");
    let said = asked(&["ip", "netns", "exec", scratch.0.as_str()], &["create", other.0.as_str()]);
    assert_eq!(said, "Some(Unsupported)");
    assert!(other.path().symlink_metadata().is_err());
}
