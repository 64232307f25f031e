//! What `fwd` takes for its own, and deletes: what its undo log says, and nothing that merely looks like it.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use forwarder::{
    netns::{DIRECTORY, Name, Netns},
    reconcile::Undo,
    testbed::{self, Output},
};

use crate::{
    commands::{assert_as_before, assert_reaches_outside, exists, snapshot},
    fwd::{Fwd, LIMIT, inside, open},
};

/// A namespace that the user made.
fn theirs(fwd: &Fwd, role: &str) -> Netns {
    Netns::create_named(&fwd_name(fwd, role), |_| Ok(())).expect("a namespace")
}

fn fwd_name(fwd: &Fwd, role: &str) -> Name {
    Name::try_from(fwd.name(role).as_str()).expect("a name")
}

#[test]
fn nothing_inside_a_namespace_makes_it_ours() {
    let fwd = Fwd::new();
    let [attached, bystander] = ["attached", "bystander"].map(|role| theirs(&fwd, role));
    let cookie = fwd.host().cookie().expect("a cookie");
    // Also what an entry of the undo log says.
    for alias in [format!("fwd1:ns:{cookie}"), format!("kind netns cookie {cookie}")] {
        for ns in [&attached, &bystander] {
            inside(ns, &["ip", "link", "set", "lo", "alias", &alias]);
        }
        let before = snapshot(&fwd);
        fwd.up("attached", &[]);
        fwd.down("attached");
        fwd.up("attached", &[]);
        fwd.ok(&["down", "--all"]);
        fwd.ok(&["down", "--all"]);
        assert!(exists(&fwd.name("attached")) && exists(&fwd.name("bystander")));
        assert_as_before(&fwd, &before);
    }
}

#[test]
fn another_namespace_under_the_name_of_ours_is_not_ours() {
    let fwd = Fwd::new();
    for all in [false, true] {
        let before = snapshot(&fwd);
        fwd.up("c1", &[]);
        fwd.up("other", &[]);
        Netns::delete_named(&fwd_name(&fwd, "c1")).expect("deleted");
        let ns = theirs(&fwd, "c1");
        if !all {
            fwd.down("c1");
        }
        fwd.ok(&["down", "--all"]);
        assert!(open(&fwd.name("c1")).is_same(&ns).expect("open"), "it was deleted, and is the user's");
        Netns::delete_named(&fwd_name(&fwd, "c1")).expect("deleted");
        assert_as_before(&fwd, &before);
        // The same where `up` meets it.
        fwd.up("c1", &[]);
        Netns::delete_named(&fwd_name(&fwd, "c1")).expect("deleted");
        let ns = theirs(&fwd, "c1");
        let pod = fwd.up("c1", &[]);
        assert_eq!(pod.shown["ns_created"], false);
        assert_reaches_outside(&fwd, &pod);
        fwd.ok(&["down", "--all"]);
        assert!(open(&fwd.name("c1")).is_same(&ns).expect("open"), "it was deleted, and is the user's");
        Netns::delete_named(&fwd_name(&fwd, "c1")).expect("deleted");
        assert_as_before(&fwd, &before);
    }
}

/// The directory of the host's undo log.
pub(crate) fn undo_log(fwd: &Fwd) -> PathBuf {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
    fwd.pins().join(format!("undo-{}", boot.trim())).join(fwd.host().cookie().expect("a cookie").to_string())
}

/// What a command leaves that is killed while it gives a namespace its name: an entry of the undo log and an empty file.
fn half_made(fwd: &Fwd, role: &str, file: bool) {
    let entry = Undo::Netns { name: fwd_name(fwd, role), cookie: Some(u64::MAX) };
    let log = undo_log(fwd);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&log).expect("a directory");
    fs::write(log.join(entry.key()), format!("fwd-undo 1\n{}", entry.to_text())).expect("a file");
    if file {
        fs::create_dir_all(DIRECTORY).expect("a directory");
        fs::write(Path::new(DIRECTORY).join(fwd.name(role)), "").expect("a file");
    }
}

#[test]
fn half_made_namespace_is_made_anew_or_cleared_away() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    for file in [false, true] {
        half_made(&fwd, "c1", file);
        let pod = fwd.up("c1", &[]);
        assert_eq!(pod.shown["ns_created"], true);
        assert_reaches_outside(&fwd, &pod);
        fwd.down("c1");
        assert_as_before(&fwd, &before);
        for down in [&["down", "--all"][..], &["down", &fwd.name("c1")]] {
            half_made(&fwd, "c1", file);
            fwd.ok(down);
            assert_as_before(&fwd, &before);
        }
        // Beside others.
        half_made(&fwd, "c1", file);
        fwd.up("c2", &[]);
        fwd.up("c3", &[]);
        fwd.up("c1", &[]);
        fwd.down("c1");
        assert!(!exists(&fwd.name("c1")));
        half_made(&fwd, "c1", file);
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
    }
}

#[test]
fn file_of_others_under_a_name_is_left_alone() {
    let fwd = Fwd::new();
    let path = Path::new(DIRECTORY).join(fwd.name("c1"));
    fs::create_dir_all(DIRECTORY).expect("a directory");
    fs::write(&path, "").expect("a file");
    fwd.expect_error(&["up", "--ns", &fwd.name("c1")], 4, &["no network namespace", "ns rm"]);
    fwd.ok(&["down", "--all"]);
    assert!(path.exists());
    fwd.ok(&["ns", "rm", &fwd.name("c1")]);
}

/// `fwd ARGS…` where /proc/sys cannot be written.
fn with_read_only_sysctls(fwd: &Fwd, args: &[&str]) -> Output {
    const SCRIPT: &str = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec \"$@\"";
    let program = fwd.command(args);
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
    command.arg(program.get_program()).args(program.get_args()).stdin(Stdio::null());
    testbed::run(command, LIMIT).expect("it runs")
}

pub(crate) fn forwards(fwd: &Fwd) -> String {
    fwd.on_host(&["sysctl", "-n", "net.ipv4.conf.eth0.forwarding"]).trim().to_owned()
}

#[test]
fn down_that_cannot_undo_all_is_completed_by_the_next() {
    for datapath in ["tc", "kernel"] {
        let fwd = Fwd::new();
        let before = snapshot(&fwd);
        for args in [&["down", "--all"][..], &["down", &fwd.name("c1")]] {
            fwd.up("c1", &["--datapath", datapath]);
            for _ in 0..2 {
                let output = with_read_only_sysctls(&fwd, args);
                assert_eq!(output.status.code(), Some(5), "{}{}", output.stdout, output.stderr);
                assert!(
                    output.stderr.contains("eth0/forwarding") && output.stderr.contains("try:"),
                    "{}",
                    output.stderr
                );
                assert_eq!(forwards(&fwd), "1");
            }
            fwd.ok(args);
            assert_as_before(&fwd, &before);
        }
        // Or `up` goes on from there.
        fwd.up("c1", &["--datapath", datapath]);
        assert!(!with_read_only_sysctls(&fwd, &["down", "--all"]).status.success());
        let pod = fwd.up("c1", &["--datapath", datapath]);
        assert_reaches_outside(&fwd, &pod);
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
    }
}

#[test]
fn loopback_of_a_foreign_namespace_goes_down_again_whatever_happened_meanwhile() {
    let fwd = Fwd::new();
    let ns = theirs(&fwd, "theirs");
    let is_up = || inside(&ns, &["ip", "-o", "link", "show", "lo"]).contains("UP,LOWER_UP");
    let before = snapshot(&fwd);
    for by_hand in [false, true] {
        let pod = fwd.up("theirs", &[]);
        assert!(is_up());
        if by_hand {
            // Its endpoint is made anew, which does not make the user have set `lo` up.
            fwd.on_host(&["ip", "link", "del", &pod.host_if]);
            fwd.up("theirs", &[]);
        }
        fwd.down("theirs");
        assert!(!is_up());
        assert_as_before(&fwd, &before);
    }
    // What the user set up stays up.
    inside(&ns, &["ip", "link", "set", "lo", "up"]);
    fwd.up("theirs", &[]);
    fwd.down("theirs");
    assert!(is_up());
}
