//! Name resolution inside: whose files in /etc a command sees, and what keeps them right.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use forwarder::testbed::{self, Output};

use crate::fwd::{Fwd, LIMIT, binary};

/// /etc/netns/NAME of a namespace of this test, removed at its end.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn of(name: &str) -> Self {
        let directory = Path::new("/etc/netns").join(name);
        fs::create_dir_all(&directory).expect("root can write there");
        Self(directory)
    }

    pub(crate) fn put(&self, name: &str, text: &str) -> &Self {
        fs::write(self.0.join(name), text).expect("root can write there");
        self
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it can be removed");
        // Stays if somebody else has files there.
        fs::remove_dir("/etc/netns").unwrap_or_default();
    }
}

fn written(fwd: &Fwd, role: &str) -> String {
    fs::read_to_string(format!("/etc/netns/{}/resolv.conf", fwd.name(role))).unwrap_or_default()
}

/// A shell script in a mount namespace of its own, with the arguments of its words.
#[track_caller]
fn script(text: &str, words: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", text, "sh"]).args(words);
    testbed::run(command, LIMIT).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn up_refreshes_what_it_wrote() {
    let fwd = Fwd::new();
    let host = Files::of(fwd.host().name().as_str());
    host.put("resolv.conf", "nameserver 198.51.100.1\n");
    fwd.up("c1", &[]);
    assert!(written(&fwd, "c1").contains("nameserver 198.51.100.1\n"));
    assert_eq!(fwd.up("c1", &[]).shown["changed"], false);
    host.put("resolv.conf", "nameserver 203.0.113.1\nsearch example.org\n");
    assert_eq!(fwd.up("c1", &[]).shown["changed"], true);
    assert!(written(&fwd, "c1").contains("nameserver 203.0.113.1\nsearch example.org\n"));
    assert!(fwd.ok(&["inspect", "--ns", &fwd.name("c1")]).contains("written by fwd"));
    // What others wrote stays.
    fs::write(format!("/etc/netns/{}/resolv.conf", fwd.name("c1")), "nameserver 192.0.2.9\n").expect("writable");
    host.put("resolv.conf", "nameserver 203.0.113.2\n");
    fwd.up("c1", &[]);
    assert_eq!(written(&fwd, "c1"), "nameserver 192.0.2.9\n");
    assert!(!fwd.ok(&["inspect", "--ns", &fwd.name("c1")]).contains("written by fwd"));
    let _files = Files(Path::new("/etc/netns").join(fwd.name("c1")));
    fwd.ok(&["down", "--all"]);
    assert_eq!(written(&fwd, "c1"), "nameserver 192.0.2.9\n");
}

#[test]
fn read_only_etc_is_a_warning() {
    let fwd = Fwd::new();
    let host = Files::of(fwd.host().name().as_str());
    host.put("resolv.conf", "nameserver 198.51.100.1\n");
    let name = fwd.name("c1");
    fwd.ok(&["ns", "add", &name]);
    let (program, pins) = (binary(), fwd.pins());
    let (program, pins) = (program.to_str().expect("UTF-8"), pins.to_str().expect("UTF-8"));
    let text = r#"mount --bind /etc /etc; mount -o remount,ro,bind /etc
        fwd="$1 --host-netns $2 --run-dir $3"
        $fwd up --ns "$4" && $fwd ls && $fwd inspect --ns "$4" && $fwd down --all && umount -l /etc"#;
    let output = script(text, &[program, fwd.host().name().as_str(), pins, &name]);
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    assert!(
        output.stderr.contains("warning:") && output.stderr.contains("nameserver 198.51.100.1"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("Read-only file system"), "{}", output.stderr);
    assert!(!output.stdout.contains("written by fwd"), "{}", output.stdout);
    assert!(output.stdout.contains("everything is down"), "{}", output.stdout);
}

#[test]
fn a_running_command_keeps_its_resolver_when_the_host_gets_another() {
    let fwd = Fwd::new();
    let name = fwd.name("c1");
    fwd.ok(&["ns", "add", &name]);
    let directory = fwd.run_dir().join("rename");
    fs::create_dir(&directory).expect("a directory");
    // An /etc of its own, in which the host's resolver may rename.
    let text = r#"fwd=$1 name=$2 dir=$3; mkdir -p $dir/etc/netns/$name $dir/etc/run; cp -a /etc/passwd $dir/etc
        echo nameserver 127.0.0.53 >$dir/etc/resolv.conf; echo nameserver 192.0.2.1 >$dir/etc/netns/$name/resolv.conf
        echo 127.0.0.1 host >$dir/etc/run/hosts; ln -s run/hosts $dir/etc/hosts; echo 192.0.2.1 inside >$dir/etc/netns/$name/hosts
        mount --bind $dir/etc /etc
        await() { n=0; while ! "$@"; do n=$((n + 1)); test $n -lt 200 || return 1; sleep 0.05; done; }
        $fwd exec $name sh -c 'await() { n=0; while ! "$@"; do n=$((n + 1)); test $n -lt 200 || return 1; sleep 0.05; done; }
            cat /etc/resolv.conf /etc/hosts; touch $0/ready; await test -e $0/first
            await grep -q 192.0.2.1 /etc/resolv.conf && await grep -q inside /etc/hosts && touch $0/again; await test -e $0/second
            await grep -q 192.0.2.1 /etc/resolv.conf && await grep -q 192.0.2.7 /etc/hosts; cat /etc/resolv.conf /etc/hosts' $dir &
        await test -e $dir/ready
        echo nameserver 127.0.0.54 >/etc/new; mv /etc/new /etc/resolv.conf; echo 127.0.0.1 other >/etc/run/new; mv /etc/run/new /etc/run/hosts
        touch $dir/first; await test -e $dir/again
        rm /etc/resolv.conf; echo nameserver 127.0.0.55 >/etc/resolv.conf
        echo 192.0.2.7 inside >/etc/netns/new; mv /etc/netns/new /etc/netns/$name/hosts
        mv /etc/hosts /etc/h; echo 127.0.0.1 file >/etc/hosts; touch $dir/second; wait $!; cat /etc/resolv.conf; umount -l /etc"#;
    let program = binary();
    let words = [program.to_str().expect("UTF-8"), &name, directory.to_str().expect("UTF-8")];
    let output = script(text, &words);
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    let seen =
        "nameserver 192.0.2.1\n192.0.2.1 inside\nnameserver 192.0.2.1\n192.0.2.7 inside\nnameserver 127.0.0.55\n";
    assert_eq!(output.stdout, seen, "{}", output.stderr);
}

#[test]
fn nobody_stays_when_the_command_has_ended() {
    let fwd = Fwd::new();
    let name = fwd.name("c1");
    fwd.ok(&["ns", "add", &name]);
    let files = Files::of(&name);
    files.put("hosts", "192.0.2.1 inside\n");
    // Who waits for the end of the output, or for children, waits for nobody else.
    let output = fwd.call(&["exec", &name, "sh", "-c", "cat /etc/hosts; wait; exit 7"]);
    assert_eq!((output.stdout.as_str(), output.status.code()), ("192.0.2.1 inside\n", Some(7)));
    let ended = || {
        let mine = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&name));
        let pids = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Ok((!pids.into_iter().any(mine)).then_some(()))
    };
    testbed::wait_until(LIMIT, "the process that kept the files has ended", || ended().map_err(unreadable))
        .expect("it has");
}

fn unreadable(error: std::io::Error) -> forwarder::Error {
    forwarder::Error::new(forwarder::Kind::Failed, "read", "/proc", error.to_string())
}

#[test]
fn files_are_those_of_the_namespace_however_it_is_given() {
    let fwd = Fwd::new();
    let (a, b) = (fwd.name("a"), fwd.name("b"));
    for name in [&a, &b] {
        fwd.ok(&["ns", "add", name]);
    }
    let files = Files::of(&a);
    files.put("hosts", "192.0.2.1 of-a\n");
    let path = format!("/run/netns/{a}");
    let seen = |words: &[&str]| fwd.ok(&[words, &["--", "cat", "/etc/hosts"]].concat());
    assert_eq!(seen(&["exec", "--ns", &a]), "192.0.2.1 of-a\n");
    assert_eq!(seen(&["exec", "--netns", &path]), "192.0.2.1 of-a\n");
    let process =
        testbed::Process::spawn(testbed::command_in(&crate::fwd::open(&a), &["sleep", "60"])).expect("it starts");
    assert_eq!(seen(&["exec", "--pid", &process.id().to_string()]), "192.0.2.1 of-a\n");
    // Within a command of a, b has none: the host's.
    let own = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let program = binary();
    let program = program.to_str().expect("UTF-8");
    assert_eq!(seen(&["exec", "--ns", &a, "--", program, "exec", &b]), own);
    assert_eq!(seen(&["exec", "--ns", &b, "--", program, "exec", "--netns", &path]), "192.0.2.1 of-a\n");
    assert_eq!(seen(&["exec", "--ns", &a, "--", program, "exec", "--ns", &a]), "192.0.2.1 of-a\n");
    let by_ip = fwd.ok(&["exec", &a, "ip", "netns", "exec", &b, program, "exec", &b, "cat", "/etc/hosts"]);
    assert_eq!(by_ip, own);
}

#[test]
fn command_needs_no_dashes() {
    let fwd = Fwd::new();
    let name = fwd.name("c1");
    fwd.ok(&["ns", "add", &name]);
    for words in
        [&["exec", &name][..], &["exec", "--ns", &name], &["exec", &name, "--"], &["exec", "--ns", &name, "--"]]
    {
        assert_eq!(fwd.ok(&[words, &["echo", "-n", "--json", "x"]].concat()), "--json x", "{words:?}");
    }
    let output = fwd.call(&["exec", &name, "sh", "-c", "exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    let output = fwd.call(&["exec", "--wrong", &name, "true"]);
    assert_eq!(output.status.code(), Some(125), "{}", output.stderr);
    let output = fwd.call(&["exec"]);
    assert_eq!(output.status.code(), Some(125), "{}", output.stderr);
}
