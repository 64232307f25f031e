use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::*;
use crate::Metric;
use crate::load::{
    Turn, Work,
    guest::Guest,
    job::Job,
    load_request::LoadRequest,
    remote::{
        Remote,
        control::{Channel, Hello, PROTOCOL, Reason, Refusal, Reply, Request},
    },
    tests::{WORK, namespace},
};
use fwd_testbed::{Namespace, wait_until};

const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on loopback of a namespace.
struct Served<'a> {
    ns: &'a Namespace,
    address: SocketAddrV4,
    token: String,
    told: &'a Mutex<Vec<String>>,
}

impl Served<'_> {
    fn connect(&self) -> Result<Remote<'_>> {
        Remote::connect(self.ns, self.address, Some(&self.token))
    }

    /// A connection that nothing was said over.
    fn silent(&self) -> TcpStream {
        self.ns.run(|| socket::connect(self.address.into())).expect("it listens")
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().expect("no panic").clone()
    }
}

/// Serves until `act` is done.
fn while_served<T: Send>(limits: Limits, act: impl FnOnce(&Served<'_>) -> T + Send) -> T {
    let (ns, over, told) = (namespace(), AtomicBool::new(false), Mutex::new(Vec::new()));
    let listener = ns.run(|| Listener::bind(LOCAL, limits)).expect("loopback");
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut tell = |line: &str| told.lock().expect("no panic").push(line.to_owned());
            ns.enter().and_then(|()| listener.serve(false, &|| over.load(Ordering::Relaxed), &mut tell))
        });
        let served = Served { ns: &ns, address: listener.address(), token: listener.token().to_string(), told: &told };
        let acted = panic::catch_unwind(AssertUnwindSafe(|| act(&served)));
        over.store(true, Ordering::Relaxed);
        server.join().expect("no panic").expect("it serves to the end");
        acted.unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}

#[test]
fn a_server_takes_part_in_all_loads_of_one_client() {
    while_served(Limits::default(), |served| {
        let mut remote = served.connect().expect("it serves");
        for metric in Metric::ALL {
            let sample = remote.run(&Work { metric, ..WORK }).unwrap_or_else(|error| panic!("{metric}: {error}"));
            assert!(sample.per_second > 100.0, "{metric}: {}", sample.per_second);
            assert_eq!(sample.cpu_ns.is_some_and(|cpu| cpu > 0.0), Metric::USUAL.contains(&metric), "{metric}");
        }
    });
}

#[test]
fn a_taken_port_disturbs_no_load_where_any_will_do() {
    while_served(Limits::default(), |served| {
        let next = SocketAddrV4::new(*LOCAL.ip(), served.address.port().checked_add(1).unwrap_or(1));
        // Taken by the listener here, or by whatever else was there before.
        let _taken =
            served.ns.run(|| Ok((TcpListener::bind(next).ok(), UdpSocket::bind(next).ok()))).expect("a namespace");
        assert!(served.connect().expect("it serves").run(&WORK).expect("another port does").per_second > 100.0);
    });
}

#[test]
fn a_second_client_is_sent_away_until_the_first_is_gone() {
    while_served(Limits::default(), |served| {
        let first = served.connect().expect("it serves");
        let error = served.connect().expect_err("there is a client");
        assert!(error.why.contains("busy") && error.remedy.is_some(), "{error}");
        drop(first);
        let free = || Ok(served.connect().ok().map(drop));
        wait_until(PATIENCE, "the server is free again", free).expect("the first is gone");
    });
}

#[test]
fn who_does_not_know_the_token_gets_nothing() {
    while_served(Limits::default(), |served| {
        let wrong = served.token.replace(|letter: char| letter != '-', "a");
        for token in [None, Some(""), Some(wrong.as_str()), Some(&served.token[1..])] {
            let error = Remote::connect(served.ns, served.address, token).expect_err("that is no token");
            assert!(error.why.contains("token"), "{token:?}: {error}");
            assert!(error.remedy.as_deref().is_some_and(|remedy| remedy.contains("--token")), "{token:?}: {error}");
        }
        assert!(served.connect().is_ok());
    });
}

#[test]
fn a_flood_of_connections_that_say_nothing_keeps_no_client_out() {
    while_served(Limits::default(), |served| {
        let mut silent: Vec<TcpStream> = (0..200).map(|_| served.silent()).collect();
        let mut remote = served.connect().expect("it is let in before those who say nothing");
        let ended = silent[0].set_read_timeout(Some(PATIENCE)).and_then(|()| silent[0].read(&mut [0]));
        assert!(!ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "the oldest was closed");
        silent.extend((0..200).map(|_| served.silent()));
        assert!(remote.run(&WORK).expect("they disturb no load").per_second > 100.0);
    });
}

#[test]
fn refusals_do_not_fill_a_disk() {
    while_served(Limits::default(), |served| {
        for _ in 0..100 {
            Remote::connect(served.ns, served.address, None).expect_err("there is no token");
        }
        let one = || Ok(served.told().iter().any(|line| line.contains("token")).then_some(()));
        wait_until(PATIENCE, "a refusal is told", one).expect("one is");
        assert!(served.told().len() < 50, "{:?}", served.told());
    });
}

#[test]
fn nonsense_is_answered_with_a_refusal_and_harms_nobody() {
    while_served(Limits::default(), |served| {
        let send = |lines: &[u8]| {
            let mut stream = served.silent();
            stream.write_all(lines).expect("loopback");
            stream.shutdown(Shutdown::Write).expect("loopback");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer).unwrap_or_default()
        };
        let hello = serde_json::to_string(&Request::Hello(Hello::ours(Some(served.token.clone())))).expect("JSON");
        let huge = r#"{"start":{"metric":"tcp-rr","size":9999999999,"streams":1,"lasts_ms":1}}"#;
        let escape = "{\"\\u001b[31mred\":1}\n";
        for nonsense in [
            "GET / HTTP/1.1\r\n\r\n",
            "\"count\"\n",
            escape,
            &format!("{hello}\n{huge}\n"),
            &format!("{hello}\n{hello}\n"),
        ] {
            // The one before may not be gone yet.
            let refused =
                || Ok(Some(send(nonsense.as_bytes())).filter(|it| it.contains("refused") && !it.contains("busy")));
            wait_until(PATIENCE, "it is refused", refused).expect(nonsense);
        }
        let free = || Ok(served.connect().ok().map(drop));
        wait_until(PATIENCE, "others are served", free).expect("it still serves");
        assert!(served.told().iter().all(|line| !line.contains(char::is_control)), "{:?}", served.told());
    });
}

#[test]
fn a_client_has_no_more_than_it_may() {
    let slow = Limits { rate: Some(1_000), ..Limits::default() };
    while_served(slow, |served| {
        let work = Work { metric: Metric::TcpStreamOut, duration: PATIENCE, ..WORK };
        let error = served.connect().expect("it serves").run(&work).expect_err("that is more than 1 kbit/s");
        assert!(error.why.contains("--max-rate is 0.001 Mbit/s"), "{error}");
        assert!(error.remedy.as_deref().is_some_and(|remedy| remedy.contains("--max-rate")), "{error}");
    });
    let short = Limits { time: Duration::from_secs(2), ..Limits::default() };
    while_served(short, |served| {
        let mut remote = served.connect().expect("it serves");
        let error = remote.run(&Work { duration: PATIENCE, ..WORK }).expect_err("that is longer than it may");
        assert!(error.why.contains("for 2s"), "{error}");
        // Nor does it stay by saying that it waits.
        let free = || Ok(served.connect().ok());
        let mut remote = wait_until(PATIENCE, "it is free", free).expect("the one before was sent away");
        let sent_away = || {
            let error = remote.run(&Work { duration: Duration::from_millis(10), ..WORK }).err();
            Ok(error.filter(|error| error.why.contains("2s")))
        };
        wait_until(PATIENCE, "its time is over", sent_away).expect("it is sent away");
    });
}

/// The server's end of a load for 127.0.0.1.
fn load(ns: &Namespace, metric: Metric) -> Job {
    let guest = Guest::from_afar(Ipv4Addr::LOCALHOST.into()).expect("random numbers");
    let request = LoadRequest::new(&Work { metric, ..WORK }).expect("it is possible");
    ns.run(|| Job::start(&request, LOCAL.into(), guest, LoadCpus::of_one_end()?)).expect("loopback")
}

/// A UDP socket of an address of loopback that talks to a load.
fn talker(ns: &Namespace, address: [u8; 4], job: &Job) -> UdpSocket {
    let socket = ns.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::from(address), 0)).doing("bind", "loopback")?;
        socket.connect(job.address()).doing("connect", "loopback")?;
        Ok(socket)
    });
    let socket = socket.expect("loopback");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket
}

fn says(socket: &UdpSocket, bytes: &[u8]) {
    socket.send(bytes).expect("loopback");
}

fn hears(socket: &UdpSocket, length: usize) {
    assert_eq!(socket.recv(&mut [0; 100]).expect("an answer"), length);
}

/// One server answers one datagram after the other: what it has not answered before a later one, it never does.
#[track_caller]
fn has_heard_nothing(socket: &UdpSocket) {
    socket.set_nonblocking(true).expect("a socket");
    assert_eq!(socket.recv(&mut [0; 100]).expect_err("nothing").kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_load_over_udp_answers_nobody_but_its_client() {
    let ns = namespace();
    let job = load(&ns, Metric::UdpRr);
    let [client, elsewhere, beside] = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 1]].map(|at| talker(&ns, at, &job));
    let key = job.key().0;
    says(&elsewhere, &key);
    says(&beside, &[0; 64]);
    says(&beside, &key[1..]);
    says(&client, &key);
    hears(&client, key.len());
    // Also who learned the key is not where it was first.
    says(&beside, &key);
    says(&beside, &[0; 64]);
    says(&client, &[0; 64]);
    hears(&client, 64);
    has_heard_nothing(&elsewhere);
    has_heard_nothing(&beside);
    job.stop().expect("nothing failed");
}

#[test]
fn a_flood_counts_what_its_client_sends() {
    let ns = namespace();
    let job = load(&ns, Metric::Udp64);
    let [client, stranger] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(|at| talker(&ns, at, &job));
    says(&stranger, &[0; 64]);
    says(&client, &job.key().0);
    hears(&client, job.key().0.len());
    for _ in 0..10 {
        // Refused from the second one on: its socket hears that nobody is there for it.
        drop(stranger.send(&[0; 64]));
    }
    says(&client, &[0; 64]);
    let arrived = || Ok((job.bytes() >= 64).then_some(()));
    wait_until(PATIENCE, "the client's datagram is counted", arrived).expect("it arrives");
    assert_eq!((job.bytes(), job.count().expect("it runs").amount), (64, 1));
    job.stop().expect("nothing failed");
}

#[test]
fn a_load_over_tcp_serves_nobody_but_its_client() {
    for metric in [Metric::TcpRr, Metric::TcpCrr, Metric::TcpStreamIn] {
        let ns = namespace();
        let job = load(&ns, metric);
        let connect = || ns.run(|| socket::connect(job.address())).expect("it listens");
        let ends = |mut stream: TcpStream, said: &[u8]| {
            drop(stream.write_all(said));
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
            // Closed or reset: without a byte of an answer.
            assert!(!matches!(stream.read(&mut [0; 1]), Ok(1..)), "{metric}");
        };
        ends(connect(), &[0; 100]);
        let mut client = connect();
        client.write_all(&[&job.key().0[..], &[7; 64]].concat()).expect("loopback");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket");
        assert_eq!(client.read(&mut [0; 1]).expect("an answer"), 1, "{metric}");
        drop(client);
        drop(job.stop());
    }
}

#[test]
fn a_client_that_waits_for_its_turn_says_so() {
    let ns = namespace();
    let listener = ns.run(|| TcpListener::bind(LOCAL).doing("bind", "loopback")).expect("loopback");
    let Ok(SocketAddr::V4(address)) = listener.local_addr() else { panic!("it is bound") };
    let turn = Turn::take();
    let server = thread::spawn(move || {
        let mut channel = Channel::new(listener.accept().expect("a client").0).expect("a socket");
        let mut turn = Some(turn);
        let mut waits = 0;
        loop {
            let request = channel.receive(PATIENCE).expect("a line").expect("it stays");
            let reply = match request {
                Request::Hello(_) => Reply::Hello(Hello::ours(None)),
                Request::Wait => Reply::Waiting,
                _ => Reply::Refused(Refusal::new(Reason::Limit, "\u{1b}[31menough")),
            };
            channel.send(&reply).expect("loopback");
            waits += u32::from(request == Request::Wait);
            if waits == 2 {
                turn = None;
            }
            if matches!(reply, Reply::Refused(_)) {
                return (waits, turn.is_none());
            }
        }
    });
    let mut remote = Remote::connect(&ns, address, None).expect("it says hello");
    let error = remote.run(&WORK).expect_err("it refuses");
    assert_eq!(error.why, "\u{fffd}[31menough");
    let (waits, free) = server.join().expect("no panic");
    assert!(waits >= 2 && free, "{waits}");
}

#[test]
fn what_is_no_server_is_told_with_a_remedy() {
    let ns = namespace();
    let echo = ns.run(|| TcpListener::bind(LOCAL).doing("bind", "loopback")).expect("loopback");
    let Ok(SocketAddr::V4(address)) = echo.local_addr() else { panic!("it is bound") };
    let speaks = |line: &'static str| {
        let listener = echo.try_clone().expect("a socket");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.write_all(line.as_bytes()).expect("loopback");
            // Until the client has closed.
            drop(stream.read(&mut [0; 512]).and_then(|_| stream.read(&mut [0; 512])));
        });
        Remote::connect(&ns, address, None).expect_err("that is no server of ours")
    };
    let error = speaks("220 smtp.example\r\n");
    assert!(error.why.contains("no fwd bench --serve") && error.remedy.is_some(), "{error}");
    let error = speaks("{\"hello\":{\"protocol\":99,\"fwd\":\"\\u001b[1m\"}}\n");
    assert_eq!(error.kind, Kind::Unsupported, "{error}");
    assert!(error.why.contains("version 99") && !error.why.contains(char::is_control), "{error}");
    assert!(error.remedy.is_some(), "{error}");
    drop(echo);
    let error = Remote::connect(&ns, address, None).expect_err("nobody listens");
    assert!(error.remedy.as_deref().is_some_and(|remedy| remedy.contains("fwd bench --serve")), "{error}");
}

#[test]
fn another_version_is_told_without_a_token() {
    while_served(Limits::default(), |served| {
        let mut channel = Channel::new(served.silent()).expect("a socket");
        let old = Hello { protocol: PROTOCOL - 1, fwd: "0".into(), token: None };
        channel.send(&Request::Hello(old)).expect("loopback");
        let reply = channel.receive(PATIENCE).expect("a line");
        assert!(matches!(reply, Some(Reply::Hello(Hello { protocol: PROTOCOL, .. }))), "{reply:?}");
        let began = Instant::now();
        assert!(channel.receive::<Reply>(PATIENCE).is_ok_and(|end| end.is_none()), "{:?}", began.elapsed());
    });
}

#[test]
fn a_listening_address_may_lack_either_part() {
    let address = |text| listening_address(text).expect("an address").to_string();
    assert_eq!(address("192.0.2.1:7"), "192.0.2.1:7");
    assert_eq!(address("192.0.2.1"), "192.0.2.1:5210");
    assert_eq!(address("7"), "0.0.0.0:7");
    for nonsense in ["", "host", "192.0.2.1:", "::1", "70000"] {
        assert_eq!(listening_address(nonsense).expect_err("nonsense").kind, Kind::Usage);
    }
}

#[test]
fn a_data_port_that_is_taken_is_told_before_anybody_comes() {
    let ns = namespace();
    let listener =
        ns.run(|| Listener::bind(SocketAddrV4::new(*LOCAL.ip(), PORT), Limits::default())).expect("loopback");
    let address = SocketAddrV4::new(*LOCAL.ip(), PORT + 1);
    assert_eq!(listener.data_port(), address.port());
    assert!(ns.run(|| listener.check_data_port()).is_ok());
    let taken = ns.run(|| UdpSocket::bind(address).doing("bind", "loopback"));
    let error = ns.run(|| listener.check_data_port()).expect_err("it is taken");
    assert!(error.remedy.is_some() && error.object.contains(&address.to_string()), "{error}");
    drop(taken);
}
