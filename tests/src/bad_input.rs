//! What cannot be done is refused with one error that names the object and the remedy, and changes nothing.

use forwarder::testbed::Snapshot;

use crate::fwd::{Fwd, inside, open};

/// Exit codes (`fwd --help`).
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;
const UNSUPPORTED: i32 = 5;

/// Each is refused with its code and words, and the host looks as before.
#[track_caller]
fn assert_refused(fwd: &Fwd, calls: &[(&[&str], i32, &[&str])]) {
    let before = fwd.snapshot().expect("a snapshot");
    for (args, code, words) in calls {
        fwd.expect_error(args, *code, words);
        assert_same(fwd, &before, args);
    }
}

#[track_caller]
fn assert_same(fwd: &Fwd, before: &Snapshot, args: &[&str]) {
    let difference = before.diff(&fwd.snapshot().expect("a snapshot"));
    assert_eq!(difference, [""; 0], "fwd {args:?} changed the host");
}

#[test]
fn uplinks_that_lead_nowhere() {
    let fwd = Fwd::new();
    fwd.on_host(&["sh", "-c", "ip link add down0 type veth peer name bare0; ip link set bare0 up"]);
    fwd.on_host(&["sh", "-c", "ip address add 192.0.2.9/24 dev down0; ip link add up0 type veth peer name up1"]);
    fwd.on_host(&["sh", "-c", "ip link set up0 up; ip link set up1 up; sysctl -q net.ipv6.conf.all.disable_ipv6=1"]);
    let name = fwd.name("c1");
    let up = ["up", "--ns", &name, "--uplink"];
    assert_refused(
        &fwd,
        &[
            (&[&up[..], &["etho"]].concat(), NOT_FOUND, &["etho", "eth0"]),
            (&[&up[..], &["lo"]].concat(), USAGE, &["lo", "loopback"]),
            (&[&up[..], &["down0"]].concat(), FAILED, &["down0", "down", "ip link set down0 up"]),
            (&[&up[..], &["up0"]].concat(), FAILED, &["up0", "no IPv4 address"]),
        ],
    );
    fwd.on_host(&["ip", "route", "del", "default"]);
    assert_refused(&fwd, &[(&["up", "--ns", &name], NOT_FOUND, &["no default route", "--uplink"])]);
}

#[test]
fn names_that_no_namespace_can_have() {
    let fwd = Fwd::new();
    let long = "x".repeat(300);
    for command in ["up", "down", "exec"] {
        // `exec` tells its own failures from those of the command, as docker does.
        let code = if command == "exec" { 125 } else { USAGE };
        assert_refused(
            &fwd,
            &[
                (&[command, "--ns", ""], code, &["empty"]),
                (&[command, "--ns", "../x"], code, &["../x", "`/`"]),
                (&[command, "--ns", ".."], code, &["directory"]),
                (&[command, "--ns", &long], code, &["300 bytes"]),
                (&[command, "--ns", "a\nb"], code, &["control"]),
                (&[command, "--ns", "\u{1b}[31mred"], code, &["control"]),
            ],
        );
    }
}

#[test]
fn targets_that_are_no_network_namespace() {
    let fwd = Fwd::new();
    let host = format!("/run/netns/{}", fwd.host().name());
    assert_refused(
        &fwd,
        &[
            (&["up", "--netns", "/etc/passwd"], USAGE, &["/etc/passwd", "no network namespace"]),
            (&["up", "--netns", "/proc/self/ns/mnt"], USAGE, &["/proc/self/ns/mnt", "no network namespace"]),
            (&["up", "--netns", "/run/netns/no/such/file"], NOT_FOUND, &["/run/netns/no/such/file"]),
            // Above the largest process id that Linux gives.
            (&["up", "--pid", "4194305"], NOT_FOUND, &["4194305"]),
            (&["up", "--netns", &host], USAGE, &[&host, "host's own"]),
            (&["up", "--ns", fwd.host().name().as_str()], USAGE, &["host's own"]),
            (&["exec", "--ns", &fwd.name("none"), "--", "true"], 125, &["none"]),
            (&["inspect", "--ns", &fwd.name("none")], NOT_FOUND, &["none"]),
            (&["inspect", "--if", "none0"], NOT_FOUND, &["none0"]),
            (&["ns", "rm", "../x"], USAGE, &["../x"]),
        ],
    );
}

#[test]
fn targets_with_a_life_of_their_own() {
    let fwd = Fwd::new();
    let (busy, routed) = (fwd.name("busy"), fwd.name("routed"));
    for name in [&busy, &routed] {
        fwd.ok(&["ns", "add", name]);
    }
    inside(&open(&busy), &["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other0"]);
    let route = "ip link add a0 type veth peer name a1; ip address add 192.0.2.2/24 dev a0; ip link set a0 up; \
        ip link set a1 up; ip route add default via 192.0.2.1";
    inside(&open(&routed), &["sh", "-c", route]);
    assert_refused(
        &fwd,
        &[
            (&["up", "--ns", &busy], CONFLICT, &[&busy, "eth0"]),
            (&["up", "--ns", &routed], CONFLICT, &[&routed, "default route"]),
        ],
    );
}

#[test]
fn subnets_and_addresses_that_do_not_fit() {
    let fwd = Fwd::new();
    fwd.up("c1", &["--subnet", "10.0.0.0/24"]);
    let name = fwd.name("c2");
    let other = ["up", "--ns", &name, "--network", "other", "--subnet"];
    let join = ["up", "--ns", &name, "--ip"];
    assert_refused(
        &fwd,
        &[
            (&[&other[..], &["10.0.0.0/31"]].concat(), USAGE, &["10.0.0.0/31", "too small"]),
            (&[&other[..], &["10.9.0.7/24"]].concat(), USAGE, &["10.9.0.0/24"]),
            (&[&other[..], &["300.0.0.0/24"]].concat(), USAGE, &["300.0.0.0/24"]),
            (&[&other[..], &["fd00::/64"]].concat(), USAGE, &["fd00::/64"]),
            (&[&other[..], &["10.0.0.128/25"]].concat(), CONFLICT, &["10.0.0.128/25", "10.0.0.0/24"]),
            (&[&other[..], &["198.51.100.0/24"]].concat(), CONFLICT, &["198.51.100.0/24", "eth0"]),
            (&[&join[..], &["10.0.0.2"]].concat(), CONFLICT, &["10.0.0.2"]),
            (&[&join[..], &["10.0.0.1"]].concat(), USAGE, &["10.0.0.1", "gateway"]),
            (&[&join[..], &["10.0.0.255"]].concat(), USAGE, &["broadcast"]),
            (&[&join[..], &["10.1.0.2"]].concat(), USAGE, &["10.1.0.2", "10.0.0.0/24"]),
            (&[&join[..], &["ten"]].concat(), USAGE, &["ten"]),
        ],
    );
}

#[test]
fn options_that_differ_from_what_is_up() {
    let fwd = Fwd::with(&forwarder::testbed::TestbedSpec { uplinks: 2, ..Default::default() });
    let pod = fwd.up("c1", &[]);
    let up = ["up", "--ns", &pod.name];
    assert_refused(
        &fwd,
        &[
            (&[&up[..], &["--uplink", "eth1"]].concat(), CONFLICT, &["eth0", "eth1"]),
            (&[&up[..], &["--mtu", "1400"]].concat(), CONFLICT, &["1500", "1400"]),
            (&[&up[..], &["--datapath", "kernel"]].concat(), CONFLICT, &["tc", "kernel"]),
            (&[&up[..], &["--subnet", "10.0.0.0/24"]].concat(), CONFLICT, &["10.77.0.0/24", "10.0.0.0/24"]),
            (&[&up[..], &["--ip", "10.77.0.9"]].concat(), CONFLICT, &["10.77.0.2", "10.77.0.9"]),
            (&[&up[..], &["--network", "web"]].concat(), CONFLICT, &["fwd0", "web"]),
            (&["up", "--ns", &fwd.name("c2"), "--mtu", "9000", "--network", "jumbo"], USAGE, &["9000", "1500"]),
            (&["ns", "rm", &pod.name], CONFLICT, &[&pod.name, "down"]),
        ],
    );
    assert!(crate::fwd::pings(&pod, fwd.uplink(0).outside[0]), "it works as before");
}

#[test]
fn users_other_than_root() {
    let fwd = Fwd::new();
    let before = fwd.snapshot().expect("a snapshot");
    let mut command = std::process::Command::new("setpriv");
    // A copy that everybody may run, wherever the program was built.
    let copy = std::path::Path::new("/tmp").join(fwd.name("fwd"));
    crate::fwd::copy_program(&crate::fwd::binary(), &copy);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
    command.args(["--json", "up", "--ns", &fwd.name("c1")]);
    let output = forwarder::testbed::run(command, crate::fwd::LIMIT).expect("it ends");
    std::fs::remove_file(&copy).expect("it is removed");
    assert_eq!(output.status.code(), Some(UNSUPPORTED), "{output:?}");
    assert!(output.stderr.contains("root") && output.stderr.contains("sudo"), "{output:?}");
    assert_same(&fwd, &before, &["up"]);
}

#[test]
fn command_lines_that_make_no_sense() {
    let fwd = Fwd::new();
    for args in [
        &["up"][..],
        &["down"],
        &["up", "--ns", "a", "--pid", "7"],
        &["up", "--ns", "a", "--datapath", "pigeon"],
        &["up", "--ns", "a", "--mtu", "-1"],
        &["nonsense"],
        &["ls", "--json", "--output", "table"],
    ] {
        assert_eq!(fwd.call(args).status.code(), Some(USAGE), "{args:?}");
    }
    let output = fwd.call(&[]);
    assert_eq!(output.status.code(), Some(USAGE), "{output:?}");
}
