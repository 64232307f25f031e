//! Floods and full tables: what is established stays, and others still get through.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use forwarder::{
    netns::Netns,
    testbed::{Delay, wait_until},
};

use serde_json::Value;

use super::fwd::{Fwd, LIMIT, Pod, number};
use crate::{
    flood::{self, Kind},
    peers::{ANY, PATIENCE, at, connect, echoed, listen, raise_file_limit, udp},
};

/// Packets of a flood in `./x test`: more than there are slots. `./x flood` sends a million of each kind.
const PACKETS: u64 = 200_000;
/// Connections that must live through it.
const CONNECTIONS: usize = 200;
/// How far the far host is, one way.
const ONE_WAY: Duration = Duration::from_millis(50);
/// Pause of everybody but the flood, which shall have the CPU.
const PACE: Duration = Duration::from_millis(20);
/// An attempt that took so long was resent: TCP waits for a second at first (RFC 6298 §2).
const RESENT: Duration = Duration::from_millis(900);

fn packets() -> u64 {
    std::env::var("FWD_FLOOD").ok().map_or(PACKETS, |count| count.parse().expect("FWD_FLOOD is a number"))
}

/// Accepts until the namespace goes, and echoes on each connection until it ends.
fn serve(listener: TcpListener) {
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut buffer = [0; 512];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..length]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// A server outside, and one far away.
struct Servers {
    near: SocketAddrV4,
    far: SocketAddrV4,
    delay: Delay,
}

fn near(fwd: &Fwd) -> SocketAddrV4 {
    at(fwd.uplink(0).outside[0], 9000)
}

fn servers(fwd: &Fwd) -> Servers {
    let delay = Delay::start(fwd, ONE_WAY).expect("a far host");
    let (near, far) = (near(fwd), at(delay.address, 9000));
    serve(listen(fwd.internet(0), near));
    serve(listen(&delay.host, far));
    Servers { near, far, delay }
}

/// How long new connections took.
#[derive(Default)]
struct Attempts {
    took: Vec<Duration>,
    failed: Vec<String>,
}

impl Attempts {
    /// Connects again and again, until the flood is over and it was done at least three times.
    fn during(flooding: &AtomicBool, ns: &Netns, server: SocketAddrV4) -> Self {
        let mut attempts = Self::default();
        while flooding.load(Ordering::Relaxed) || attempts.took.len() + attempts.failed.len() < 3 {
            let began = Instant::now();
            match connect(ns, ANY, server) {
                Ok(stream) => {
                    attempts.took.push(began.elapsed());
                    echoed(&stream, b"hello");
                }
                Err(error) => attempts.failed.push(error.to_string()),
            }
            thread::sleep(PACE);
        }
        attempts.took.sort_unstable();
        attempts
    }

    #[track_caller]
    fn assert_good(&self, what: &str) {
        let at = |share: usize| self.took[(self.took.len() - 1) * share / 100];
        assert!(!self.took.is_empty(), "{what}: {:?}", self.failed);
        let resent = self.took.iter().filter(|took| **took > RESENT).count();
        println!(
            "  {what}: {} connected, {} failed, {resent} after a second try; p50 {:?}, p99 {:?}, longest {:?}",
            self.took.len(),
            self.failed.len(),
            at(50),
            at(99),
            at(100)
        );
        assert_eq!(self.failed, [""; 0], "{what}");
    }
}

/// Connections with traffic, in turns, until the flood is over; how often each was used.
fn converse(connections: &[TcpStream], flooding: &AtomicBool) -> usize {
    let mut rounds = 0;
    while flooding.load(Ordering::Relaxed) || rounds < 3 {
        connections.iter().for_each(|stream| echoed(stream, b"still there?"));
        rounds += 1;
        thread::sleep(PACE);
    }
    rounds
}

/// A stream of datagrams in one direction, until the flood is over; the sockets from which they came.
fn stream(
    from: &Pod,
    to: &Netns,
    remote: SocketAddrV4,
    ready: &AtomicBool,
    flooding: &AtomicBool,
) -> BTreeSet<SocketAddr> {
    let (client, server) = (udp(from, ANY), udp(to, remote));
    // A veth with XDP has a queue of 256 frames, which a flood fills: then a datagram may be lost.
    let may_be_lost = from.shown["datapath"] == "xdp";
    if may_be_lost {
        server.set_read_timeout(Some(10 * PACE)).expect("a socket");
    }
    let (began, mut senders, mut buffer) = (Instant::now(), BTreeSet::new(), [0; 16]);
    while flooding.load(Ordering::Relaxed) {
        client.send_to(b"datagram", remote).expect("it leaves");
        match server.recv_from(&mut buffer) {
            Ok((_, sender)) => _ = senders.insert(sender),
            Err(error) => assert!(may_be_lost, "it arrives: {error}"),
        }
        // Two seconds make it a conversation.
        if began.elapsed() > Duration::from_secs(3) {
            ready.store(true, Ordering::Relaxed);
        }
        thread::sleep(PACE);
    }
    senders
}

/// Floods from `flooder` while everybody else goes on.
#[track_caller]
fn survive(fwd: &Fwd, kinds: &[Kind]) {
    raise_file_limit();
    // A small table: there are three times as many packets as slots.
    let (flooder, other) = (fwd.up("c1", &["--max-flows", "2000"]), fwd.up("c2", &[]));
    let servers = servers(fwd);
    let open = |number: usize| {
        let pod = if number.is_multiple_of(2) { &flooder } else { &other };
        connect(pod, ANY, servers.near).expect("it connects")
    };
    let connections: Vec<_> = (0..CONNECTIONS).map(open).collect();
    let (ready, flooding) = (AtomicBool::new(false), AtomicBool::new(true));
    let remote = at(fwd.uplink(0).outside[1], 7000);
    thread::scope(|scope| {
        let talk = scope.spawn(|| converse(&connections, &flooding));
        let streamed = scope.spawn(|| stream(&flooder, fwd.internet(0), remote, &ready, &flooding));
        let is_ready = || Ok(ready.load(Ordering::Relaxed).then_some(()));
        wait_until(PATIENCE, "the stream has lasted", is_ready).expect("a stream");
        let attempts = [
            ("from the flooding namespace", &flooder, servers.near),
            ("from the flooding namespace, 100 ms away", &flooder, servers.far),
            ("from another", &other, servers.near),
            ("from another, 100 ms away", &other, servers.far),
        ];
        let flooding = &flooding;
        let attempts = attempts.map(|(what, pod, to)| (what, scope.spawn(move || Attempts::during(flooding, pod, to))));
        let sent = flood::send(&flooder, flooder.address, kinds, packets() * kinds.len() as u64);
        flooding.store(false, Ordering::Relaxed);
        let sent = sent.expect("a flood");
        assert!(sent.packets >= packets() * kinds.len() as u64, "the flood was cut short: {sent:?}");
        report(fwd, kinds, sent);
        let rounds = talk.join().expect("no connection was reset");
        println!("  {CONNECTIONS} connections went on, each {rounds} times");
        let senders = streamed.join().expect("the stream went on");
        assert_eq!(senders.len(), 1, "the one-way stream keeps its external port: {senders:?}");
        for (what, attempt) in attempts {
            attempt.join().expect("every new connection echoes").assert_good(what);
        }
    });
    drop(servers.delay);
}

/// Says what was sent.
fn report(fwd: &Fwd, kinds: &[Kind], sent: flood::Sent) {
    let dropped = |reason| fwd.counted("from_ns", "dropped", Some(reason));
    println!(
        "{kinds:?}: {} packets in {:.1} s, {:.0} a second; dropped {} TableFull, {} PortsExhausted",
        sent.packets,
        sent.took.as_secs_f64(),
        sent.packets as f64 / sent.took.as_secs_f64(),
        dropped("TableFull"),
        dropped("PortsExhausted"),
    );
}

#[test]
fn flood_of_syns_evicts_nothing_established_and_lets_others_through() {
    survive(&Fwd::new(), &[Kind::SynToNobody]);
}

#[test]
fn flood_of_udp_to_random_ports_evicts_nothing_established_and_lets_others_through() {
    survive(&Fwd::new(), &[Kind::UdpToNobody]);
}

#[test]
fn scan_of_a_host_that_refuses_evicts_nothing_established_and_lets_others_through() {
    let fwd = Fwd::new();
    let host = fwd.uplink(0).outside[2];
    survive(&fwd, &[Kind::SynToHost(host)]);
}

#[test]
fn flood_towards_one_server_leaves_ports_for_those_who_use_it() {
    let fwd = Fwd::new();
    let server = near(&fwd);
    survive(&fwd, &[Kind::SynToServer(server)]);
}

/// Connects with little patience; whether somebody was there.
fn connects_soon(pod: &Pod, server: SocketAddrV4) -> bool {
    let soon = Duration::from_millis(500);
    pod.run(|| Ok(TcpStream::connect_timeout(&server.into(), soon).is_ok())).expect("a socket")
}

#[test]
fn full_table_leaves_the_old_flows_and_new_ones_half_open() {
    let fwd = Fwd::new();
    let limits = ["--max-flows", "30", "--max-flows-per-ns", "20"];
    let (one, two) = (fwd.up("c1", &limits), fwd.up("c2", &[]));
    let server = at(fwd.uplink(0).outside[0], 9000);
    serve(listen(fwd.internet(0), server));
    let open = |pod: &Pod, count| -> Vec<_> {
        (0..count)
            .map(|_| {
                let stream = connect(pod, ANY, server).expect("it connects");
                echoed(&stream, b"hello");
                stream
            })
            .collect()
    };
    let first = open(&one, 20);
    assert!(!connects_soon(&one, server), "one namespace has no more than its share");
    assert!(fwd.counted("from_ns", "dropped", Some("EndpointFull")) > 0);
    let second = open(&two, 10);
    assert_eq!(established(&fwd).len(), 30, "the table is full");
    let third = open(&two, 3);
    assert_eq!((established(&fwd).len(), fwd.counted("from_ns", "dropped", Some("TableFull"))), (30, 0));
    for stream in first.iter().chain(&second).chain(&third) {
        echoed(stream, b"still there?");
    }
    drop(second);
    let last = || {
        third.iter().for_each(|stream| echoed(stream, b"and now?"));
        Ok((established(&fwd).len() == 23).then_some(()))
    };
    wait_until(LIMIT, "closed connections make room", last).expect("room");
    first.iter().for_each(|stream| echoed(stream, b"still there?"));
}

fn established(fwd: &Fwd) -> Vec<Value> {
    fwd.list(&["flows"]).into_iter().filter(|flow| flow["state"] == "established").collect()
}

#[test]
fn connection_survives_the_loss_of_its_flow() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--timeout", "tcp-established=1s"]);
    let server = at(fwd.uplink(0).outside[0], 9000);
    serve(listen(fwd.internet(0), server));
    // A port that the range has, and one that it maps.
    for local in [at(Ipv4Addr::UNSPECIFIED, 20_000), at(Ipv4Addr::UNSPECIFIED, 50_000)] {
        let stream = connect(&pod, local, server).expect("it connects");
        for _ in 0..3 {
            echoed(&stream, b"hello");
            let gone = || Ok(established(&fwd).is_empty().then_some(()));
            wait_until(LIMIT, "the idle flow ends", gone).expect("an end");
        }
        echoed(&stream, b"as if nothing had happened");
        let flows = established(&fwd);
        assert!(flows.len() == 1 && number(&flows[0]["tx_packets"]) < 5, "the flow is a new one: {flows:?}");
        drop(stream);
    }
}
