use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const STUB: &str = "# comment\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n";
const SERVERS: &str = "nameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 192.0.2.1\nsearch example.org\n";

fn name() -> Name {
    Name::try_from("blue").expect("a valid name")
}

fn host(resolv_conf: &str, upstream: &[(&str, &str)]) -> (TempDir, Roots) {
    let directory = tempfile::tempdir().expect("a directory");
    let roots = Roots { etc: directory.path().join("etc"), run: directory.path().join("run"), host: None };
    let put = |path: PathBuf, text: &str| {
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    };
    put(roots.etc.join("resolv.conf"), resolv_conf);
    upstream.iter().for_each(|(path, text)| put(roots.run.join(path), text));
    (directory, roots)
}

#[track_caller]
fn plans(resolv_conf: &str, upstream: &[(&str, &str)]) -> Plan {
    let (_directory, roots) = host(resolv_conf, upstream);
    plan_for(&roots, &name()).expect("all files can be read")
}

#[test]
fn loopback_is_recognized() {
    for text in [STUB, "nameserver ::1", "nameserver\t127.1.2.3 # x\nnameserver ::1\n", "nameserver ::ffff:127.0.0.1"] {
        assert!(is_loopback_only(text), "{text:?}");
    }
    for text in
        ["", "search x", "#nameserver 127.0.0.1", "nameserver 9.9.9.9", "nameserver 127.0.0.1\nnameserver 9.9.9.9"]
    {
        assert!(!is_loopback_only(text), "{text:?}");
    }
}

#[test]
fn a_resolver_elsewhere_needs_nothing() {
    assert_eq!(plans("nameserver 9.9.9.9\n", &[(UPSTREAM[0], SERVERS)]), Plan::Nothing);
}

#[test]
fn the_servers_behind_a_stub_are_used_ipv4_first() {
    let Plan::Write(text) = plans(STUB, &[(UPSTREAM[0], SERVERS)]) else { panic!("there is an upstream") };
    assert!(text.starts_with(HEADER), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["nameserver 192.0.2.1", "nameserver 2001:db8::1", "search example.org"]);
    assert!(!is_loopback_only(&text));
}

#[test]
fn a_file_without_usable_servers_is_passed_over() {
    let upstream = [(UPSTREAM[0], "nameserver 127.0.0.1\n"), (UPSTREAM[1], "nameserver 192.0.2.7\n")];
    let Plan::Write(text) = plans(STUB, &upstream) else { panic!("the second one serves") };
    assert!(text.contains("nameserver 192.0.2.7\n"), "{text}");
    assert_eq!(plans(STUB, &upstream[..1]), Plan::NoUpstream);
    assert_eq!(plans(STUB, &[]), Plan::NoUpstream);
}

#[test]
fn what_was_written_is_removed_with_its_directories() {
    let (_directory, roots) = host(STUB, &[(UPSTREAM[0], SERVERS)]);
    let Plan::Write(text) = plan_for(&roots, &name()).expect("readable") else { panic!("there is an upstream") };
    assert!(write(&roots, &name(), &text).expect("written"));
    assert_eq!(fs::read_to_string(file_of(&roots, &name())).expect("written"), text);
    assert_eq!(plan_for(&roots, &name()).expect("readable"), Plan::Nothing, "a rerun has nothing to do");
    assert!(remove(&roots, &name()).expect("removed"));
    assert!(!roots.etc.join("netns").exists());
    assert!(!remove(&roots, &name()).expect("nothing there"));
}

#[test]
fn a_file_of_ours_follows_the_host() {
    let (_directory, roots) = host(STUB, &[(UPSTREAM[0], SERVERS)]);
    let plan = || plan_for(&roots, &name()).expect("readable");
    let follow = |server: &str| {
        let Plan::Write(text) = plan() else { panic!("{server} is new") };
        assert!(text.contains(server), "{text}");
        assert!(write(&roots, &name(), &text).expect("written"));
        assert_eq!(fs::read_to_string(file_of(&roots, &name())).expect("written"), text);
        assert_eq!(plan(), Plan::Nothing, "{server} is there");
    };
    follow("nameserver 192.0.2.1\n");
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(file_of(&roots, &name())).expect("a file"));
    fs::write(roots.run.join(UPSTREAM[0]), "nameserver 192.0.2.2\n").expect("a file");
    follow("nameserver 192.0.2.2\n");
    // The host came to another network, with a resolver that can be reached from everywhere.
    fs::write(roots.etc.join("resolv.conf"), "nameserver 9.9.9.9\n").expect("a file");
    follow("nameserver 9.9.9.9\n");
    let now = std::os::unix::fs::MetadataExt::ino(&fs::metadata(file_of(&roots, &name())).expect("a file"));
    assert_eq!(now, inode, "whoever has it open, or bound, sees what it says now");
    // Nobody knows: what was right is better than nothing.
    fs::write(roots.etc.join("resolv.conf"), STUB).expect("a file");
    fs::remove_file(roots.run.join(UPSTREAM[0])).expect("removed");
    assert_eq!(plan(), Plan::Nothing);
    assert!(is_ours(&roots, &name()));
}

#[test]
fn files_of_others_are_kept() {
    let (_directory, roots) = host(STUB, &[(UPSTREAM[0], SERVERS)]);
    fs::create_dir_all(directory_of(&roots, &name())).expect("a directory");
    fs::write(file_of(&roots, &name()), "nameserver 192.0.2.9\n").expect("a file");
    assert_eq!(plan_for(&roots, &name()).expect("readable"), Plan::Nothing);
    assert!(!write(&roots, &name(), "other").expect("it exists"), "never overwritten");
    assert!(!remove(&roots, &name()).expect("not ours") && !is_ours(&roots, &name()));
    assert!(file_of(&roots, &name()).exists());
    fs::remove_file(file_of(&roots, &name())).expect("removed");
    fs::write(directory_of(&roots, &name()).join("hosts"), "").expect("a file");
    assert!(write(&roots, &name(), HEADER).expect("written"));
    assert!(remove(&roots, &name()).expect("ours"));
    assert!(directory_of(&roots, &name()).join("hosts").exists(), "the directory is not empty");
}

#[test]
fn a_namespace_that_plays_the_host_has_servers_of_its_own() {
    let (_directory, mut roots) = host("nameserver 9.9.9.9\n", &[]);
    roots.host = Some(Name::try_from("box").expect("a valid name"));
    let plan = || plan_for(&roots, &name()).expect("readable");
    assert_eq!(plan(), Plan::Nothing, "without a file of its own, the machine's counts");
    let etc = roots.etc.join("netns/box");
    fs::create_dir_all(&etc).expect("a directory");
    fs::write(etc.join("resolv.conf"), "nameserver 198.51.100.1\n").expect("a file");
    let Plan::Write(text) = plan() else { panic!("inside, the machine's file would be used") };
    assert!(text.contains("nameserver 198.51.100.1\n"), "{text}");
    fs::write(etc.join("resolv.conf"), STUB).expect("a file");
    assert_eq!(plan(), Plan::NoUpstream);
}

#[test]
fn a_link_is_not_followed() {
    let (directory, roots) = host(STUB, &[]);
    fs::create_dir_all(directory_of(&roots, &name())).expect("a directory");
    let elsewhere = directory.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, file_of(&roots, &name())).expect("a link");
    assert!(!write(&roots, &name(), HEADER).expect("it exists"));
    assert!(!elsewhere.exists());
}

proptest! {
    #[test]
    fn any_text_can_be_read(text in ".{0,200}") {
        if let Some(written) = reachable(&text, Path::new("/x")) {
            prop_assert!(!is_loopback_only(&written));
            prop_assert!(written.starts_with(HEADER));
        }
    }
}
