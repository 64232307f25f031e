//! Commands inside, and mounts that end with them.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

use forwarder::netns::{DIRECTORY, Name};

use super::{Running, Scratch, mount_points, output, wait_for};
use crate::fwd::helper;

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
