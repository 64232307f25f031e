//! The sandboxed host itself.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    path::Path,
    time::{Duration, Instant},
};

use forwarder::{
    Kind, Result,
    netlink::{BridgeSpec, PairKind, PairSpec, nft},
    testbed::{self, Namespace, Process, Testbed, TestbedSpec, command_in, http, unique_prefix, wait_until},
};
use nix::sys::signal::Signal;

use crate::fwd::{helper, told};

const LIMIT: Duration = Duration::from_secs(20);

fn run(ns: &Namespace, argv: &[&str]) -> testbed::Output {
    testbed::run(command_in(ns, argv), LIMIT).unwrap()
}

fn ping(ns: &Namespace, address: Ipv4Addr, options: &[&str]) -> bool {
    let address = address.to_string();
    told(ns, &[options, &[address.as_str()]].concat()).status.success()
}

/// Nothing answers a ping with these options.
fn is_silent(ns: &Namespace, address: Ipv4Addr, options: &[&str]) -> bool {
    let address = address.to_string();
    !run(ns, &[&["ping", "-n", "-q", "-c", "1", "-W", "1"], options, &[address.as_str()]].concat()).status.success()
}

#[test]
fn host_reaches_router_and_outside() {
    let testbed = Testbed::new(&unique_prefix()).unwrap();
    let uplink = testbed.uplink(0);
    assert_eq!((uplink.name.as_str(), uplink.address), ("eth0", Ipv4Addr::new(198, 51, 100, 2)));
    assert!(ping(testbed.host(), uplink.gateway, &[]));
    assert!(ping(testbed.host(), uplink.outside[0], &[]));
    assert!(ping(testbed.internet(0), uplink.address, &[]));
}

#[test]
fn what_leaves_untranslated_gets_no_reply() {
    let testbed = Testbed::new(&unique_prefix()).unwrap();
    let host = testbed.host().netlink().unwrap();
    let lo = host.link("lo").unwrap().unwrap().index;
    host.add_address(lo, "10.77.0.2/32".parse().unwrap()).unwrap();
    assert!(is_silent(testbed.host(), testbed.uplink(0).outside[0], &["-I", "10.77.0.2"]));
}

#[test]
fn each_uplink_has_an_internet_of_its_own() {
    let testbed =
        Testbed::with(&unique_prefix(), &TestbedSpec { uplinks: 2, mtu: 1400, ..TestbedSpec::default() }).unwrap();
    for uplink in testbed.uplinks() {
        assert!(ping(testbed.host(), uplink.gateway, &[]));
        for address in &uplink.outside {
            assert!(ping(testbed.host(), *address, &[]));
        }
        assert!(ping(testbed.host(), uplink.gateway, &["-M", "do", "-s", "1372"]));
        assert!(!ping(testbed.host(), uplink.gateway, &["-M", "do", "-s", "1373"]));
    }
    assert!(is_silent(testbed.internet(0), testbed.uplink(1).gateway, &[]));
    let error = Testbed::with("fwdt0x0", &TestbedSpec { uplinks: 5, ..TestbedSpec::default() })
        .err()
        .expect("too many uplinks");
    assert_eq!(error.kind, Kind::Usage);
}

#[test]
fn host_forwards_nothing_before_somebody_asks() {
    let testbed = Testbed::new(&unique_prefix()).unwrap();
    assert_eq!(run(testbed.host(), &["cat", "/proc/sys/net/ipv4/conf/eth0/forwarding"]).stdout, "0\n");
    assert_eq!(run(testbed.host(), &["cat", "/proc/sys/net/ipv4/conf/all/forwarding"]).stdout, "0\n");
}

#[test]
fn programs_are_captured_limited_and_ended() {
    let testbed = Testbed::new(&unique_prefix()).unwrap();
    let output = run(testbed.host(), &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((output.status.code(), output.stdout.as_str(), output.stderr.as_str()), (Some(7), "out\n", "err\n"));
    let error = output.success().unwrap_err();
    assert!(error.to_string().contains("exit status: 7") && error.to_string().contains("err"), "{error}");
    assert!(testbed::run(command_in(testbed.host(), &["no-such-program"]), LIMIT).is_err());

    let start = Instant::now();
    let error = testbed::run(
        command_in(testbed.host(), &["sh", "-c", "echo begun; exec sleep 60"]),
        Duration::from_millis(300),
    );
    let error = error.unwrap_err();
    assert!(error.to_string().contains("begun"), "{error}");
    assert!(start.elapsed() < LIMIT);

    let sleeper = Process::spawn(command_in(testbed.host(), &["sleep", "60"])).unwrap();
    let pid = sleeper.id();
    assert!(is_running(pid));
    drop(sleeper);
    assert!(!is_running(pid));
    let sleeper = Process::spawn(command_in(testbed.host(), &["sleep", "60"])).unwrap();
    sleeper.signal(Signal::SIGTERM).unwrap();
    assert_eq!(sleeper.wait(LIMIT).unwrap().status.code(), None);
}

#[test]
fn downloads_are_verified_and_clients_seen() {
    let testbed = Testbed::new(&unique_prefix()).unwrap();
    let outside = testbed.uplink(0).outside[0];
    let server = http::Server::start(testbed.internet(0), SocketAddrV4::new(outside, 80)).unwrap();
    let file = testbed.run_dir().join("download");
    let path = file.to_str().unwrap();
    run(testbed.host(), &["curl", "-sSf", "-o", path, &format!("http://{outside}/3000001")]).success().unwrap();
    http::Body::new(3_000_001).verify(fs::File::open(&file).unwrap()).unwrap();
    assert!(!run(testbed.host(), &["curl", "-sSf", &format!("http://{outside}/nothing")]).status.success());
    let clients: Vec<_> = server.clients().iter().map(|client| client.ip()).collect();
    assert_eq!(clients, [IpAddr::from(testbed.uplink(0).address); 2]);
    drop(server);
    assert!(!run(testbed.host(), &["curl", "-sSf", &format!("http://{outside}/1")]).status.success());
}

#[test]
fn snapshot_shows_what_changed_and_only_that() {
    let testbed = Testbed::new(&unique_prefix()).unwrap();
    // The first ping fills neighbour tables and counters, which are no part of it.
    let before = testbed.snapshot().unwrap();
    assert!(ping(testbed.host(), testbed.uplink(0).gateway, &[]));
    let again = testbed.snapshot().unwrap();
    assert_eq!(before.diff(&again), [""; 0]);

    let netlink = testbed.host().netlink().unwrap();
    let lo = netlink.link("lo").unwrap().unwrap().index;
    let rule = nft::Masquerade {
        network: "default".into(),
        subnet: "10.77.0.0/24".parse().unwrap(),
        leaving: nft::Leaving::By("eth0".into()),
    };
    let change = || -> Result<()> {
        netlink.add_address(lo, "10.77.0.1/32".parse().unwrap())?;
        testbed.host().run(|| nft::ensure_masquerade(&rule).map(drop))?;
        fs::write(testbed.run_dir().join("pin"), "").unwrap();
        Namespace::create(&testbed.name("pod")).map(std::mem::forget)
    };
    change().unwrap();
    run(testbed.host(), &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/eth0/forwarding"]).success().unwrap();
    run(testbed.host(), &["tc", "qdisc", "add", "dev", "eth0", "clsact"]).success().unwrap();
    run(testbed.host(), &["ip", "rule", "add", "from", "10.77.0.0/24", "lookup", "77"]).success().unwrap();
    let difference = before.diff(&testbed.snapshot().unwrap());
    let count = |needle: &str| difference.iter().filter(|line| line.contains(needle)).count();
    for (needle, number) in [
        ("+ network: address ", 1),
        ("+ network: route ", 1),
        ("+ network: rule ", 1),
        ("clsact", 1),
        ("- sysctl: net/ipv4/conf/eth0/forwarding = 0", 1),
        ("+ sysctl: net/ipv4/conf/eth0/forwarding = 1", 1),
        ("+ nftables: table ip fwd_nat {", 1),
        ("masquerade comment \"default\"", 1),
        ("/pin", 1),
        ("+ files: /run/netns/", 1),
        ("+ mounts: ", 1),
    ] {
        assert_eq!(count(needle), number, "{needle} in {difference:#?}");
    }

    netlink.del_address(lo, "10.77.0.1/32".parse().unwrap()).unwrap();
    testbed.host().run(|| nft::remove_masquerade("default").map(drop)).unwrap();
    run(testbed.host(), &["sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/eth0/forwarding"]).success().unwrap();
    run(testbed.host(), &["tc", "qdisc", "del", "dev", "eth0", "clsact"]).success().unwrap();
    run(testbed.host(), &["ip", "rule", "del", "from", "10.77.0.0/24", "lookup", "77"]).success().unwrap();
    run(testbed.host(), &["ip", "netns", "del", &testbed.name("pod")]).success().unwrap();
    fs::remove_file(testbed.run_dir().join("pin")).unwrap();
    assert_eq!(before.diff(&testbed.snapshot().unwrap()), [""; 0]);
}

#[test]
fn namespaces_behind_nftables_reach_the_outside() {
    let testbed = Testbed::new(&unique_prefix()).unwrap();
    let pod = Namespace::create(&testbed.name("pod")).unwrap();
    let (host, inside) = (testbed.host().netlink().unwrap(), pod.netlink().unwrap());
    let (gateway_mac, pod_mac) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let bridge = BridgeSpec { name: "fwd0".into(), mac: gateway_mac, mtu: 1500, alias: String::new() };
    let bridge = host.create_bridge(&bridge).unwrap();
    host.add_address(bridge, "10.77.0.1/24".parse().unwrap()).unwrap();
    let veth = PairSpec {
        kind: PairKind::Veth,
        host_if: "fw-pod".into(),
        ns_if: "eth0".into(),
        host_mac: None,
        ns_mac: pod_mac,
        mtu: 1500,
        alias: String::new(),
    };
    let port = host.create_pair(&veth, &pod).unwrap();
    host.set_controller(port, Some(bridge)).unwrap();
    host.add_fdb(port, pod_mac).unwrap();
    host.replace_neighbour(bridge, IpAddr::from([10, 77, 0, 2]), pod_mac).unwrap();
    let eth0 = inside.link("eth0").unwrap().unwrap().index;
    inside.set_up(eth0).unwrap();
    host.await_carrier(port, LIMIT).unwrap();
    inside.add_address(eth0, "10.77.0.2/24".parse().unwrap()).unwrap();
    inside.add_default_route(eth0, Ipv4Addr::new(10, 77, 0, 1)).unwrap();
    inside.replace_neighbour(eth0, IpAddr::from([10, 77, 0, 1]), gateway_mac).unwrap();
    run(testbed.host(), &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]).success().unwrap();
    assert!(ping(&pod, Ipv4Addr::new(10, 77, 0, 1), &[]));

    let outside = testbed.uplink(0).outside[0];
    assert!(is_silent(&pod, outside, &[]), "without translation nothing comes back");
    let rule = nft::Masquerade {
        network: "default".into(),
        subnet: "10.77.0.0/24".parse().unwrap(),
        leaving: nft::Leaving::By("eth0".into()),
    };
    testbed.host().run(|| nft::ensure_masquerade(&rule)).unwrap();
    assert!(ping(&pod, outside, &[]));
    let server = http::Server::start(testbed.internet(0), SocketAddrV4::new(outside, 80)).unwrap();
    run(&pod, &["curl", "-sSf", "-o", "/dev/null", &format!("http://{outside}/100000")]).success().unwrap();
    let client = server.clients()[0].ip();
    assert_eq!(client, IpAddr::from(testbed.uplink(0).address), "the outside sees the uplink's address");
}

#[test]
fn everything_ends_with_the_testbed() {
    let testbed = Testbed::new(&unique_prefix()).unwrap();
    let (prefix, run_dir) = (testbed.prefix().to_owned(), testbed.run_dir().to_owned());
    let bpffs = run_dir.join("bpf");
    fs::create_dir(&bpffs).unwrap();
    run(testbed.host(), &["mount", "-t", "bpf", "none", bpffs.to_str().unwrap()]).success().unwrap();
    std::mem::forget(Namespace::create(&testbed.name("pod")).unwrap());
    let daemon = run(testbed.host(), &["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"]).success().unwrap();
    let daemon: u32 = daemon.stdout.trim().parse().unwrap();
    assert!(is_running(daemon) && !traces(&prefix).is_empty());
    drop(testbed);
    assert_eq!(traces(&prefix), [""; 0]);
    wait_until(LIMIT, "the daemon ends", || Ok((!is_running(daemon)).then_some(()))).unwrap();
}

#[test]
fn interrupted_process_cleans_up() {
    let (child, prefix) = child_with_testbed();
    child.signal(Signal::SIGINT).unwrap();
    let output = child.wait(LIMIT).unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(Signal::SIGINT as i32));
    assert_eq!(traces(&prefix), [""; 0]);
}

#[test]
fn leftovers_of_a_killed_process_are_swept() {
    let (child, prefix) = child_with_testbed();
    assert!(!testbed::remove_stale(testbed::FAMILY).unwrap().contains(&prefix), "its process is alive");
    child.signal(Signal::SIGKILL).unwrap();
    child.wait(LIMIT).unwrap();
    assert!(!traces(&prefix).is_empty());
    // Another test of this run may have come first.
    testbed::remove_stale(testbed::FAMILY).unwrap();
    assert_eq!(traces(&prefix), [""; 0]);
}

/// A process with a testbed; and the testbed's prefix.
fn child_with_testbed() -> (Process, String) {
    let mut command = std::process::Command::new(helper());
    command.arg("hold-testbed");
    let child = Process::spawn(command).unwrap();
    let prefix = wait_until(LIMIT, "the child has a testbed", || {
        Ok(child.stdout().lines().find_map(|line| line.strip_prefix("testbed ").map(String::from)))
    });
    (child, prefix.unwrap())
}

/// What of a testbed is left on the machine.
fn traces(prefix: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut traces: Vec<_> = mounts.lines().filter(|line| line.contains(prefix)).map(String::from).collect();
    for directory in ["/run/netns", "/run", "/etc/netns"] {
        let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        traces.extend(names.map(|path| path.display().to_string()).filter(|path| path.contains(prefix)));
    }
    traces
}

fn is_running(pid: u32) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    // A zombie has ended; its parent may be slow to notice.
    status.is_ok_and(|status| !status.contains(") Z "))
}
