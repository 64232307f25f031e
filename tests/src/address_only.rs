//! Protocols without ports, by raw sockets (UDP-Lite by its own): one namespace, or the host, may speak each with a destination.

use std::net::Ipv4Addr;

use forwarder::{
    netns::Netns,
    testbed::{Output, Process, command_in, wait_until},
};
use serde_json::Value;

use super::fwd::{Fwd, pings, says, try_inside};
use crate::{capture::Recording, peers::PATIENCE};

const GRE: u8 = 47;
const ESP: u8 = 50;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// Answers everything, and says from where it came.
const ECHO: &str = "import socket, sys
proto, address = int(sys.argv[1]), sys.argv[2]
lite = proto == 136
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if lite else socket.SOCK_RAW, proto)
s.bind((address, 7000 if lite else 0))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(65535)
    print('from', peer[0], flush=True)
    s.sendto(data if lite else data[20:], peer)";

/// Asks until an answer comes, a few times.
const ASK: &str = "import socket, sys
proto, address = int(sys.argv[1]), sys.argv[2]
lite = proto == 136
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if lite else socket.SOCK_RAW, proto)
s.settimeout(1)
for attempt in range(int(sys.argv[3])):
    s.sendto(b'is anybody there?', (address, 7000 if lite else 0))
    try:
        data, peer = s.recvfrom(65535)
    except TimeoutError:
        continue
    assert peer[0] == address and data.endswith(b'is anybody there?'), (peer, data)
    sys.exit(0)
sys.exit(1)";

fn echo(ns: &Netns, proto: u8, address: Ipv4Addr) -> Process {
    let argv = ["python3", "-c", ECHO, &proto.to_string(), &address.to_string()];
    let process = Process::spawn(command_in(ns, &argv)).expect("it starts");
    let ready = || Ok(process.stdout().contains("ready").then_some(()));
    wait_until(PATIENCE, "the server is ready", ready).unwrap_or_else(|error| panic!("{error}: {}", process.stderr()));
    process
}

fn ask(ns: &Netns, proto: u8, address: Ipv4Addr, attempts: u8) -> Output {
    try_inside(ns, &["python3", "-c", ASK, &proto.to_string(), &address.to_string(), &attempts.to_string()])
}

#[track_caller]
fn assert_answered(ns: &Netns, proto: u8, address: Ipv4Addr) {
    let output = ask(ns, proto, address, 5);
    assert!(output.status.success(), "protocol {proto}: {output:?}");
}

#[track_caller]
fn assert_alone(ns: &Netns, proto: u8, address: Ipv4Addr) {
    let output = ask(ns, proto, address, 1);
    assert_eq!((output.status.code(), output.stderr.as_str()), (Some(1), ""), "protocol {proto} is answered");
}

#[test]
fn protocols_without_ports_are_answered() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = fwd.uplink(0).outside[0];
    assert!(pings(&pod, outside));
    let recording = Recording::on_uplink(&fwd);
    for (proto, name) in [(GRE, "gre"), (ESP, "esp"), (SCTP, "sctp"), (UDP_LITE, "udplite")] {
        let server = echo(fwd.internet(0), proto, outside);
        assert_answered(&pod, proto, outside);
        says(&server, &format!("from {}\n", fwd.uplink(0).address));
        let flows = fwd.list(&["flows", "--ns", &pod.name]);
        let flow = flows.iter().find(|flow| flow["proto"] == name).unwrap_or_else(|| panic!("no {name}: {flows:#?}"));
        for port in ["src_port", "dst_port", "nat_port", "icmp_id"] {
            assert_eq!(flow[port], Value::Null, "{port} in {flow:#}");
        }
        recording.find(name, |packet| packet.proto() == proto);
    }
    recording.assert_clean();
}

#[test]
fn second_namespace_is_told_from_the_first_by_nothing() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let (outside, elsewhere) = (fwd.uplink(0).outside[0], fwd.uplink(0).outside[1]);
    let _servers = [outside, elsewhere].map(|address| echo(fwd.internet(0), GRE, address));
    assert_answered(&one, GRE, outside);
    assert_alone(&two, GRE, outside);
    assert_eq!(fwd.counted("from_ns", "dropped", Some("Ambiguous")), 1);
    assert_answered(&two, GRE, elsewhere);
    assert_answered(&one, GRE, outside);
    fwd.down("c1");
    assert_answered(&two, GRE, outside);
}

#[test]
fn host_comes_first_whoever_was_first() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = fwd.uplink(0).outside[0];
    let _servers = [GRE, ESP].map(|proto| echo(fwd.internet(0), proto, outside));
    assert_answered(&pod, GRE, outside);
    assert_answered(fwd.host(), GRE, outside);
    assert_alone(&pod, GRE, outside);
    assert_answered(fwd.host(), ESP, outside);
    assert_alone(&pod, ESP, outside);
    assert_answered(fwd.host(), ESP, outside);
    assert_eq!(fwd.counted("from_ns", "dropped", Some("Ambiguous")), 2);
    assert!(fwd.counted("to_uplink", "punted", Some("HostFlow")) >= 1);
}

/// Prints a line for each packet that arrives.
const HEAR: &str = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, int(sys.argv[1]))
print('ready', flush=True)
while True:
    s.recvfrom(65535)
    print('heard', flush=True)";

/// Sends without being asked, for a minute at most.
const TELL: &str = "import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, int(sys.argv[1]))
s.bind((sys.argv[2], 0))
for packet in range(3000):
    s.sendto(b'for the host', (sys.argv[3], 0))
    time.sleep(0.02)";

#[test]
fn host_goes_on_hearing_a_peer_to_whom_a_namespace_writes() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let (outside, gre) = (fwd.uplink(0).outside[0], GRE.to_string());
    let server = echo(fwd.internet(0), GRE, outside);
    let hears = Process::spawn(command_in(fwd.host(), &["python3", "-c", HEAR, &gre])).expect("it starts");
    wait_until(PATIENCE, "the host listens", || Ok(hears.stdout().contains("ready").then_some(()))).expect("ready");
    let (from, to) = (outside.to_string(), fwd.uplink(0).address.to_string());
    let tell = ["python3", "-c", TELL, &gre, &from, &to];
    let _peer = Process::spawn(command_in(fwd.internet(0), &tell)).expect("it starts");
    let heard = || hears.stdout().matches("heard").count();
    let hears_more = || {
        let before = heard();
        wait_until(PATIENCE, "the host hears", || Ok((heard() > before + 5).then_some(()))).expect("it hears");
    };
    hears_more();
    assert_alone(&pod, GRE, outside);
    assert_eq!(fwd.counted("from_ns", "dropped", Some("Ambiguous")), 1);
    hears_more();
    assert!(!server.stdout().contains("from"), "{}", server.stdout());
    // Once nobody listens, the kernel tells the peer that it speaks no such protocol.
    drop(hears);
    let gets_through = || {
        let _ = ask(&pod, GRE, outside, 1);
        Ok(server.stdout().contains("from").then_some(()))
    };
    wait_until(PATIENCE, "what the host refuses is the namespace's", gets_through).expect("it gets through");
}
