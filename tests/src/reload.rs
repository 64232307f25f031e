//! `fwd reload`, and what another version has brought up.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use forwarder::{
    dataplane::{Dataplane, RunDir},
    testbed::{self, TestbedSpec, wait_until},
};
use nix::sys::socket::{setsockopt, sockopt};
use serde_json::{Value, json};

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, LIMIT, Pod, binary, inside, number, text, try_inside},
    peers::{ANY, at, connect, echo_tcp, echoed, listen, udp},
};

/// `r2 = 50000000`, the time between two slices of the expiry timer: what another build has changed.
const PERIOD: [u8; 8] = [0xb7, 2, 0, 0, 0x80, 0xf0, 0xfa, 0x02];
const OTHER_PERIOD: [u8; 8] = [0xb7, 2, 0, 0, 0x40, 0x78, 0x7d, 0x01];

fn replaced(bytes: &mut [u8], old: &[u8], new: &[u8]) -> usize {
    let places: Vec<usize> =
        bytes.windows(old.len()).enumerate().filter(|(_, it)| *it == old).map(|(at, _)| at).collect();
    places.iter().for_each(|at| bytes[*at..*at + old.len()].copy_from_slice(new));
    places.len()
}

/// `fwd` as another build would be: the same maps, other programs, and it knows the difference.
pub(crate) fn other_build(fwd: &Fwd, pod: &Pod) -> PathBuf {
    let shown = fwd.json(&["inspect", &pod.name]);
    let object = u64::from_str_radix(&text(&shown["programs"]["object"]), 16).expect("a hexadecimal number");
    let mut bytes = fs::read(binary()).expect("the program");
    assert!(replaced(&mut bytes, &PERIOD, &OTHER_PERIOD) > 0, "the programs have another period");
    assert!(replaced(&mut bytes, &object.to_le_bytes(), &(!object).to_le_bytes()) > 0, "the build has no number");
    let (content, path) = (fwd.run_dir().join("another-build"), fwd.run_dir().join("fwd-of-another-build"));
    fs::write(&content, bytes).expect("a file");
    // Written by a process of its own: what another test starts meanwhile inherits our descriptors for a moment, and what is open for
    // writing cannot be run.
    let [from, to] = [&content, &path].map(|path| path.to_str().expect("a plain path"));
    inside(fwd.host(), &["install", "-m755", from, to]);
    fs::remove_file(content).expect("it is there");
    path
}

/// `PROGRAM ARGS… --json` on this host; what it wrote, and its warnings.
#[track_caller]
pub(crate) fn by(program: &Path, fwd: &Fwd, args: &[&str]) -> (Value, String) {
    let args = [&["--json"], args].concat();
    let mut command = Command::new(program);
    command.args(fwd.command(&args).get_args()).stdin(Stdio::null());
    let output = testbed::run(command, LIMIT).expect("it runs");
    assert!(output.status.success(), "{args:?}: {}", output.stderr);
    (serde_json::from_str(&output.stdout).expect("JSON"), output.stderr)
}

/// The directory of this version's pins.
pub(crate) fn pins(fwd: &Fwd) -> PathBuf {
    RunDir::new(fwd.pins()).of(fwd.host().cookie().expect("a cookie"))
}

/// What bpftool shows of each program or link (`what`) that is pinned in a directory.
fn shown_of(fwd: &Fwd, what: &str, dir: &Path) -> Vec<Value> {
    let pins = fs::read_dir(dir).expect("pins").flatten().filter(|pin| !pin.path().is_dir());
    let commands = pins.map(|pin| format!("{what} show pinned {}\n", pin.path().display()));
    // In one go: each is a look, and there are dozens.
    let batch = fwd.run_dir().join("looks");
    fs::write(&batch, commands.collect::<String>()).expect("a file");
    let shown = inside(fwd.host(), &["bpftool", "-j", "batch", "file", batch.to_str().expect("a plain path")]);
    fs::remove_file(batch).expect("it is there");
    let shown: Vec<Value> = serde_json::from_str(&shown).expect("JSON of bpftool");
    shown.into_iter().map(|it| it["output"].clone()).collect()
}

/// The numbers of the programs that are pinned.
pub(crate) fn pinned(fwd: &Fwd) -> BTreeSet<u64> {
    shown_of(fwd, "prog", &pins(fwd).join("progs")).iter().map(|shown| number(&shown["id"])).collect()
}

/// The numbers of those that links run.
pub(crate) fn linked(fwd: &Fwd) -> BTreeSet<u64> {
    shown_of(fwd, "link", &pins(fwd).join("links")).iter().map(|shown| number(&shown["prog_id"])).collect()
}

/// All of these.
fn programs(fwd: &Fwd) -> BTreeSet<u64> {
    pinned(fwd).union(&linked(fwd)).copied().collect()
}

fn slices(fwd: &Fwd) -> u64 {
    let (run_dir, cookie) = (RunDir::new(fwd.pins()), fwd.host().cookie().expect("a cookie"));
    Dataplane::open(&run_dir, cookie).expect("pins").expect("it is up").expiry().expect("a record").slices
}

/// Numbered datagrams, one in a millisecond, until it is told to stop. How many.
fn stream(socket: &UdpSocket, stop: &AtomicBool) -> u32 {
    let mut sent = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        socket.send(&sent.to_be_bytes()).expect("it is sent");
        sent += 1;
        // The pace of the stream.
        thread::sleep(Duration::from_millis(1));
    }
    sent
}

/// Takes numbered datagrams, and answers each if so asked, until none has come for a while after the end. Which ones came.
fn heard(socket: &UdpSocket, answers: bool, ended: &AtomicBool) -> BTreeSet<u32> {
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket");
    setsockopt(socket, sockopt::RcvBufForce, &(4 << 20)).expect("room for a pause");
    let (mut numbers, mut buffer) = (BTreeSet::new(), [0; 4]);
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((4, from)) => {
                numbers.insert(u32::from_be_bytes(buffer));
                if answers {
                    socket.send_to(&buffer, from).expect("it is sent");
                }
            }
            Ok((length, from)) => panic!("{length} bytes from {from}"),
            Err(error) if error.kind() == ErrorKind::WouldBlock && ended.load(Ordering::Relaxed) => return numbers,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Stops those who ask, also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` while a stream of datagrams goes out and comes back, and a connection lasts: nothing may be lost.
pub(crate) fn under_traffic(fwd: &Fwd, pod: &Pod, work: impl FnOnce(&dyn Fn())) {
    let remote = at(fwd.uplink(0).outside[0], 9000);
    let server = echo_tcp(listen(fwd.internet(0), remote), 1);
    let tcp = connect(pod, ANY, remote).expect("it connects");
    let (inner, outer) = (udp(pod, ANY), udp(fwd.internet(0), remote));
    inner.connect(remote).expect("a socket");
    let (stop, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let (sent, out, back) = thread::scope(|scope| {
        let out = scope.spawn(|| heard(&outer, true, &ended));
        let back = scope.spawn(|| heard(&inner, false, &ended));
        let sent = scope.spawn(|| stream(&inner, &stop));
        let until = (Stop(&stop), Stop(&ended));
        work(&|| echoed(&tcp, &[7; 50_000]));
        drop(until.0);
        let sent = sent.join().expect("it ends");
        drop(until.1);
        (sent, out.join().expect("it ends"), back.join().expect("it ends"))
    });
    let missing = |numbers: &BTreeSet<u32>| (0..sent).filter(|number| !numbers.contains(number)).collect::<Vec<_>>();
    assert!(sent > 100, "{sent} datagrams are no stream");
    assert_eq!((missing(&out), missing(&back)), (vec![], vec![]), "of {sent} datagrams, out and back");
    drop(tcp);
    assert_eq!(server.join().expect("a server").len(), 1);
}

/// The numbers of the programs that a rollback brings back.
pub(crate) fn kept(fwd: &Fwd) -> BTreeSet<u64> {
    let builds = fs::read_dir(pins(fwd).join("progs-former")).into_iter().flatten().flatten();
    builds.flat_map(|build| shown_of(fwd, "prog", &build.path())).map(|shown| number(&shown["id"])).collect()
}

#[track_caller]
fn assert_gone(fwd: &Fwd, programs: &BTreeSet<u64>) {
    wait_until(LIMIT, "the programs go", || {
        let shown = |id: &u64| try_inside(fwd.host(), &["bpftool", "prog", "show", "id", &id.to_string()]);
        Ok((!programs.iter().any(|id| shown(id).status.success())).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}"));
}

#[track_caller]
fn assert_timer_goes_on(fwd: &Fwd) {
    let at = slices(fwd);
    wait_until(LIMIT, "the timer goes on", || Ok((slices(fwd) > at + 2).then_some(())))
        .unwrap_or_else(|error| panic!("{error}"));
}

fn reload_loses_nothing(fwd: &Fwd, options: &[&str]) {
    let before = snapshot(fwd);
    let pod = fwd.up("c1", options);
    let (this, other) = (binary(), other_build(fwd, &pod));
    assert_eq!(fwd.json(&["reload"])["changed"], false);
    assert_eq!(by(&this, fwd, &["ls"]).1, "");
    for args in [&["ls"][..], &["up", "--ns", &pod.name]] {
        let warned = by(&other, fwd, args).1;
        assert!(warned.contains("another build") && warned.contains(" reload"), "{args:?}: {warned}");
    }
    fwd.expect_error(&["reload", "--rollback"], 3, &["none are kept"]);
    under_traffic(fwd, &pod, |talk| {
        let mut former = BTreeSet::new();
        for program in [&other, &this, &other, &this] {
            talk();
            let old = programs(fwd);
            assert_eq!(by(program, fwd, &["inspect", &pod.name]).0["programs"]["current"], false);
            let shown = by(program, fwd, &["reload"]).0;
            assert_eq!((&shown["changed"], &shown["after"]["current"]), (&json!(true), &json!(true)), "{shown}");
            assert_eq!(shown["replaced"], fs::read_dir(pins(fwd).join("progs")).expect("pins").count());
            assert_ne!(shown["before"]["object"], shown["after"]["object"]);
            assert_eq!(by(program, fwd, &["inspect", &pod.name]).0["attached"], true);
            assert_eq!(by(program, fwd, &["reload"]).0["changed"], false);
            assert_eq!(by(program, fwd, &["up", "--ns", &pod.name]).0["changed"], false);
            assert!(programs(fwd).is_disjoint(&old), "some were not replaced");
            // What ran before is kept, and nothing of before that, by the timer neither.
            assert_gone(fwd, &former);
            former = old;
            assert_timer_goes_on(fwd);
            talk();
        }
        for program in [&this, &other, &this] {
            let [old, before] = [programs(fwd), kept(fwd)];
            let shown = by(program, fwd, &["reload", "--rollback"]).0;
            assert_eq!((&shown["changed"], &shown["rolled_back"]), (&json!(true), &json!(true)), "{shown}");
            assert_eq!(programs(fwd), before, "those that ran before");
            assert_eq!(kept(fwd).len(), before.len());
            assert!(kept(fwd).iter().all(|id| old.contains(id)), "those that ran until now can be brought back again");
            assert_eq!(
                (&shown["after"]["object"], &shown["after"]["former"]),
                (&shown["before"]["former"], &shown["before"]["object"])
            );
            assert_eq!(by(program, fwd, &["inspect", &pod.name]).0["attached"], true);
            assert_timer_goes_on(fwd);
            talk();
        }
    });
    assert_eq!(by(&this, fwd, &["reload"]).0["after"]["current"], true);
    fwd.up("c2", options);
    fwd.ok(&["down", "--all"]);
    fs::remove_file(other).expect("it is there");
    assert_as_before(fwd, &before);
}

#[test]
fn reload_replaces_programs_without_losing_a_packet() {
    reload_loses_nothing(&Fwd::new(), &[]);
}

#[test]
fn reload_replaces_filters_without_losing_a_packet() {
    reload_loses_nothing(&Fwd::new(), &["--attach", "clsact"]);
}

#[test]
fn reload_replaces_xdp_without_losing_a_packet() {
    reload_loses_nothing(&Fwd::with_xdp(&TestbedSpec::default()), &[]);
}

#[test]
fn programs_that_do_not_fit_the_maps_change_nothing() {
    let fwd = Fwd::new();
    fwd.expect_error(&["reload"], 3, &["nothing is up", " up "]);
    let pod = fwd.up("c1", &[]);
    let other = other_build(&fwd, &pod);
    let old = programs(&fwd);
    let map = pins(&fwd).join("maps/PORT_RETRIES");
    fs::remove_file(&map).expect("a pin");
    let path = map.display().to_string();
    let create =
        ["bpftool", "map", "create", &path, "type", "array", "key", "4", "value", "64", "entries", "1", "name", "x"];
    fwd.on_host(&create);
    let mut command = Command::new(&other);
    command.args(fwd.command(&["reload"]).get_args()).stdin(Stdio::null());
    let output = testbed::run(command, LIMIT).expect("it runs");
    assert_eq!(output.status.code(), Some(4), "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("PORT_RETRIES") && output.stderr.contains("down --all"), "{}", output.stderr);
    assert_eq!(programs(&fwd), old);
    assert!(!pins(&fwd).join("progs-new").exists());
    assert_reaches_outside(&fwd, &pod);
    fwd.ok(&["down", "--all"]);
}

#[test]
fn what_another_version_brought_up_can_be_taken_down() {
    for options in [&[][..], &["--attach", "clsact"], &["--datapath", "kernel"], &["--datapath", "xdp"]] {
        let fwd = Fwd::new();
        let before = snapshot(&fwd);
        let pod = fwd.up("c1", options);
        fwd.up("c2", options);
        // As far as this version can tell, and from before versions said how their records are laid out.
        fs::remove_file(pins(&fwd).join("schema")).expect("a pin");
        let other = pins(&fwd).with_file_name("v4000");
        fs::rename(pins(&fwd), &other).expect("another name");
        let (shown, warned) = by(&binary(), &fwd, &["ls"]);
        assert_eq!(shown, json!([]));
        assert!(warned.contains("v4000") && warned.contains("down --all"), "{warned}");
        for args in [&["flows"][..], &["stats"]] {
            assert_eq!(fwd.list(args), [Value::Null; 0]);
        }
        let between = snapshot(&fwd);
        for args in
            [&["up", "--ns", &pod.name][..], &["up", "--ns", &fwd.name("c3")], &["down", &pod.name], &["reload"]]
        {
            fwd.expect_error(args, 4, &["another version", "v4000", "down --all"]);
        }
        assert_as_before(&fwd, &between);
        assert_reaches_outside(&fwd, &pod);
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
        let pod = fwd.up("c1", options);
        assert_reaches_outside(&fwd, &pod);
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
    }
}
