//! Network namespaces as `ip netns`, `unshare` and containers make and use them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use forwarder::{
    Error, Kind,
    netns::{DIRECTORY, Name, Netns, interfaces, named, nearest},
    testbed::wait_until,
};

use crate::peers::PATIENCE;

mod exec;
mod listed;

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

/// Polls until `condition` holds.
#[track_caller]
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    wait_until(PATIENCE, what, || Ok(condition().then_some(()))).unwrap_or_else(|error| panic!("{error}"));
}
