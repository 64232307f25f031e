//! The run directory: shared by hosts, by commands at once, by readers; beside a second one; full, and where others have a say.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use forwarder::{
    dataplane::{Dataplane, RunDir},
    execute::{self, HostContext, Unobserved},
    netns::Name,
    reconcile::{DownRequest, TargetRef, UpRequest},
    testbed::{self, Output},
};
use serde_json::Value;

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, LIMIT, Pod, binary, inside, open},
};

/// `fwd ARGS…` on the same host, with another run directory.
pub(crate) fn beside(fwd: &Fwd, run_dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("--host-netns").arg(fwd.host().name().as_str()).arg("--run-dir").arg(run_dir).args(args);
    command.env_remove("FWD_RUN_DIR").stdin(Stdio::null());
    testbed::run(command, LIMIT).expect("it runs")
}

#[track_caller]
pub(crate) fn succeeds(output: &Output) -> Value {
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    serde_json::from_str(&output.stdout).expect("JSON")
}

#[test]
fn two_run_directories_of_a_host_leave_each_other_alone() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let other = fwd.run_dir().join("other");
    for datapath in ["tc", "kernel"] {
        let ours = fwd.up("ours", &["--datapath", datapath]);
        let name = fwd.name("theirs");
        let up = ["--json", "up", "--ns", &name, "--datapath", datapath];
        let refused = beside(&fwd, &other, &up);
        assert_eq!(refused.status.code(), Some(4), "the bridge fwd0 is taken: {}", refused.stderr);
        assert!(refused.stderr.contains("--network"), "{}", refused.stderr);
        let theirs = succeeds(&beside(&fwd, &other, &[&up[..], &["--network", "fwd1"]].concat()));
        let theirs = Pod { name: name.clone(), ns: open(&name), shown: theirs, ..fwd.up("ours", &[]) };
        for pod in [&ours, &theirs] {
            assert_reaches_outside(&fwd, pod);
        }
        assert_eq!(fwd.list(&["ls"]).len(), 1);
        assert_eq!(succeeds(&beside(&fwd, &other, &["--json", "ls"])).as_array().map(Vec::len), Some(1));
        // Whoever goes first: what both need stays.
        let down = fwd.call(&["down", "--all"]);
        assert!(down.status.success() && down.stderr.contains("another run directory"), "{}", down.stderr);
        assert_reaches_outside(&fwd, &theirs);
        let again = fwd.up("ours", &["--datapath", datapath]);
        succeeds(&beside(&fwd, &other, &["--json", "down", "--all"]));
        assert_reaches_outside(&fwd, &again);
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
    }
}

#[test]
fn hosts_of_one_run_directory_mount_and_unmount_it_at_once() {
    let fwd = Fwd::new();
    let run_dir = RunDir::new(fwd.pins());
    thread::scope(|scope| {
        let hosts: Vec<_> = (0..8)
            .map(|number| {
                let run_dir = &run_dir;
                scope.spawn(move || {
                    for _ in 0..25 {
                        let cookie = u64::MAX - number;
                        let plane = Dataplane::create_records(run_dir, cookie).expect("maps");
                        assert!(plane.networks().expect("a map").is_empty());
                        Dataplane::destroy(run_dir, cookie).expect("it goes");
                    }
                })
            })
            .collect();
        hosts.into_iter().for_each(|host| host.join().expect("no panic"));
    });
    assert!(!run_dir.bpffs().exists());
}

#[test]
fn thousand_downs_and_ups_among_them_succeed() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let mut context = HostContext::new(RunDir::new(fwd.pins()));
    // A thousand wait, on a machine of any speed.
    context.patience = Duration::from_secs(600);
    let name = |number: usize| Name::try_from(fwd.name(&format!("c{}", number % 3)).as_str()).expect("a name");
    let down = |number: usize| {
        let target = if number.is_multiple_of(7) { None } else { Some(TargetRef::Named(name(number))) };
        let request = DownRequest { target, delete_ns: false, ..DownRequest::default() };
        fwd.host().run(|| execute::down(&context, &request, &mut Unobserved).map(drop))
    };
    let up = |number: usize| {
        let request = UpRequest::new(TargetRef::Named(name(number)));
        fwd.host().run(|| execute::up(&context, &request, &mut Unobserved).map(drop))
    };
    let results: Vec<_> = thread::scope(|scope| {
        let (down, up) = (&down, &up);
        let command =
            |number: usize| scope.spawn(move || if number.is_multiple_of(50) { up(number / 50) } else { down(number) });
        let commands: Vec<_> = (0..1020).map(command).collect();
        commands.into_iter().map(|command| command.join().expect("no panic")).collect()
    });
    let errors: Vec<String> = results.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{} failed: {errors:#?}", errors.len());
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn readers_never_fail_because_the_last_network_comes_and_goes() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let (name, done) = (fwd.name("c1"), AtomicBool::new(false));
    let commands = [&["ls"][..], &["flows"], &["stats"], &["inspect", &name], &["inspect", "--if", "eth0"]];
    thread::scope(|scope| {
        let readers: Vec<_> = commands
            .iter()
            .map(|args| {
                let (fwd, args) = (&fwd, *args);
                scope.spawn(move || {
                    for _ in 0..120 {
                        let output = fwd.call(args);
                        let absent = args.contains(&fwd.name("c1").as_str()) && output.status.code() == Some(3);
                        assert!(output.status.success() || absent, "{args:?}: {}", output.stderr);
                    }
                })
            })
            .collect();
        let writer = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                fwd.up("c1", &[]);
                fwd.down("c1");
                rounds += 1;
            }
            rounds
        });
        let read: Vec<_> = readers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(writer.join().expect("no panic") > 2);
        read.into_iter().for_each(|read| read.expect("no reader failed"));
    });
    assert_as_before(&fwd, &before);
}

#[test]
fn full_run_directory_is_no_reason_for_down_to_fail() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let small = fwd.run_dir().join("small");
    fs::create_dir(&small).expect("a directory");
    let shown = small.to_str().expect("a plain path");
    // Not in the host's namespace: mounts are the machine's.
    let here = |argv: &[&str]| {
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]);
        let output = testbed::run(command, LIMIT).expect("it runs");
        assert!(output.status.success(), "{argv:?}: {}", output.stderr);
    };
    here(&["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "small", shown]);
    let (run_dir, name) = (small.join("run"), fwd.name("c1"));
    succeeds(&beside(&fwd, &run_dir, &["--json", "up", "--ns", &name]));
    let fill = small.join("fill");
    let fill_up = || _ = fs::write(&fill, vec![0; 1 << 20]).expect_err("it takes no more");
    fill_up();
    succeeds(&beside(&fwd, &run_dir, &["--json", "down", "--all"]));
    // And `up` says what is missing, and leaves nothing.
    fill_up();
    let output = beside(&fwd, &run_dir, &["--json", "up", "--ns", &name]);
    assert_eq!(output.status.code(), Some(1), "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("No space left") && output.stderr.contains("make room"), "{}", output.stderr);
    fs::remove_file(&fill).expect("it is there");
    assert_eq!(inside(fwd.host(), &["find", shown, "-mindepth", "1"]), "", "something is left");
    here(&["umount", "--lazy", shown]);
    fs::remove_dir(&small).expect("empty");
    assert_as_before(&fwd, &before);
}

#[test]
fn directories_on_which_others_have_a_say_are_refused() {
    let fwd = Fwd::new();
    let base = fwd.run_dir().to_path_buf();
    let make = |name: &str, mode: u32| {
        let path = base.join(name);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        path
    };
    let theirs = make("theirs", 0o755);
    chown(&theirs, Some(65_534), Some(65_534)).expect("root may");
    let (open, group) = (make("open", 0o777), make("group", 0o770));
    symlink(&base, base.join("link")).expect("a link");
    let foreign = base.join("foreign");
    symlink(&base, &foreign).expect("a link");
    std::os::unix::fs::lchown(&foreign, Some(65_534), Some(65_534)).expect("root may");
    fs::write(base.join("file"), "").expect("a file");
    for refused in [
        theirs.join("run"),
        open.clone(),
        open.join("run"),
        group.join("run"),
        foreign.join("run"),
        base.join("file"),
        "/proc/1".into(),
        "/proc/self/fd".into(),
    ] {
        for args in [&["--json", "up", "--ns", &fwd.name("c1")][..], &["--json", "down", "--all"]] {
            let output = beside(&fwd, &refused, args);
            assert_eq!(output.status.code(), Some(1), "{}: {}{}", refused.display(), output.stdout, output.stderr);
            let error: Value = serde_json::from_str(&output.stderr).expect("an error");
            assert!(error["error"]["remedy"].as_str().is_some_and(|remedy| remedy.contains("--run-dir")), "{error}");
        }
    }
    // Root's own links are fine.
    succeeds(&beside(&fwd, &base.join("link/run"), &["--json", "up", "--ns", &fwd.name("c1")]));
    assert_eq!(fwd.list(&["ls"]).len(), 1, "it is the same directory");
    fwd.ok(&["down", "--all"]);
}
