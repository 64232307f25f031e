use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener},
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use super::*;
use crate::{
    Context as _, Kind,
    lab::{Namespace, unique_prefix, wait_until},
};

const WORK: Work = Work {
    metric: Metric::TcpRr,
    size: 64,
    streams: 1,
    warm_up: Duration::from_millis(20),
    duration: Duration::from_millis(200),
};

fn namespace() -> Namespace {
    Namespace::create(&format!("{}-alone", unique_prefix())).expect("a namespace")
}

fn on_loopback(work: &Work) -> Result<Sample> {
    let ns = namespace();
    run(&Site { client: &ns, server: &ns, address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0) }, work)
}

#[track_caller]
fn has_round_trips(metric: Metric) {
    let sample = on_loopback(&Work { metric, ..WORK }).expect("loopback loses nothing");
    let latency = sample.latency.expect("round trips have a distribution");
    assert!(sample.per_second > 100.0, "{}", sample.per_second);
    assert_eq!(sample.lost, 0.0);
    // The client does nothing but wait for the reply: its rate and its mean are the same figure.
    let by_rate = 1e9 / sample.per_second;
    assert!((0.5..2.0).contains(&(latency.mean() / by_rate)), "{} against {by_rate}", latency.mean());
    let cpu = sample.cpu_ns.expect("the kernel accounts for threads");
    assert!(cpu > 500.0 && cpu < 2.5 * by_rate, "{cpu} of {by_rate}");
}

#[test]
fn tcp_round_trips_are_measured() {
    has_round_trips(Metric::TcpRr);
}

#[test]
fn udp_round_trips_are_measured() {
    has_round_trips(Metric::UdpRr);
}

#[test]
fn large_messages_come_back_whole() {
    for metric in [Metric::TcpRr, Metric::UdpRr] {
        let sample = on_loopback(&Work { metric, size: 65_507, ..WORK }).expect("loopback loses nothing");
        assert!(sample.per_second > 10.0, "{}", sample.per_second);
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_named() {
    let (near, far) = (namespace(), namespace());
    for metric in [Metric::TcpRr, Metric::UdpRr] {
        let site = Site { client: &near, server: &far, address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0) };
        let before = Instant::now();
        let error = run(&site, &Work { metric, ..WORK }).expect_err("they are not connected");
        assert_eq!(error.kind, Kind::Failed);
        assert!(error.object.contains("127.0.0.1:"), "{error}");
        assert!(before.elapsed() < Duration::from_secs(10), "{error}");
    }
}

#[test]
fn connections_are_made_and_reset() {
    has_round_trips(Metric::TcpCrr);
}

#[test]
fn streams_are_counted_where_they_arrive() {
    for (metric, streams) in [(Metric::TcpStreamOut, 1), (Metric::TcpStreamIn, 1), (Metric::TcpStreamOut, 4)] {
        let sample = on_loopback(&Work { metric, streams, ..WORK }).expect("loopback loses nothing");
        assert!(sample.per_second > 1e8, "{metric}: {}", sample.per_second);
        assert!(sample.latency.is_none() && sample.lost == 0.0, "{metric}: {}", sample.lost);
        assert!(sample.cpu_ns.expect("the kernel accounts for threads") > 1.0, "{metric}");
    }
}

#[test]
fn floods_are_counted_where_they_arrive() {
    for metric in [Metric::Udp64, Metric::UdpMtu] {
        let sample = on_loopback(&Work { metric, ..WORK }).expect("loopback loses nothing");
        assert!(sample.per_second > 1_000.0, "{metric}: {}", sample.per_second);
        assert!(sample.latency.is_none() && sample.lost < 0.5, "{metric}: {}", sample.lost);
        assert!(sample.cpu_ns.expect("the kernel accounts for threads") > 50.0, "{metric}");
    }
}

/// Serves on loopback of a namespace until `act` is done.
fn while_served<T: Send>(act: impl FnOnce(&Namespace, SocketAddrV4) -> T + Send) -> T {
    let ns = namespace();
    let over = AtomicBool::new(false);
    let listener = ns.run(|| Listener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))).expect("loopback");
    thread::scope(|scope| {
        let server = scope
            .spawn(|| ns.enter().and_then(|()| listener.serve(false, &|| over.load(Ordering::Relaxed), &mut |_| {})));
        let acted = panic::catch_unwind(AssertUnwindSafe(|| act(&ns, listener.address())));
        over.store(true, Ordering::Relaxed);
        server.join().expect("no panic").expect("it serves to the end");
        acted.unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}

#[test]
fn a_server_takes_part_in_all_loads_of_one_client() {
    while_served(|ns, address| {
        let mut remote = Remote::connect(ns, address).expect("it serves");
        for metric in Metric::ALL {
            let sample = remote.run(&Work { metric, ..WORK }).unwrap_or_else(|error| panic!("{metric}: {error}"));
            assert!(sample.per_second > 100.0, "{metric}: {}", sample.per_second);
            assert!(sample.cpu_ns.is_some_and(|cpu| cpu > 0.0), "{metric}");
        }
    });
}

#[test]
fn a_second_client_is_sent_away_until_the_first_is_gone() {
    while_served(|ns, address| {
        let first = Remote::connect(ns, address).expect("it serves");
        let error = Remote::connect(ns, address).expect_err("there is a client");
        assert!(error.why.contains("busy") && error.remedy.is_some(), "{error}");
        drop(first);
        let free = || Ok(Remote::connect(ns, address).ok().map(drop));
        wait_until(Duration::from_secs(5), "the server is free again", free).expect("the first is gone");
    });
}

#[test]
fn nonsense_is_answered_with_a_refusal_and_harms_nobody() {
    while_served(|ns, address| {
        let send = |lines: &[u8]| {
            let mut stream = ns.run(|| socket::connect(address)).expect("it listens");
            stream.write_all(lines).expect("loopback");
            stream.shutdown(Shutdown::Write).expect("loopback");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer).unwrap_or_default()
        };
        let hello = r#"{"hello":{"protocol":1,"fwd":"0.1.0"}}"#;
        let huge = r#"{"start":{"metric":"tcp-rr","size":9999999999,"streams":1,"lasts_ms":1}}"#;
        for nonsense in
            ["GET / HTTP/1.1\r\n\r\n", "\"count\"\n", &format!("{hello}\n{huge}\n"), &format!("{hello}\n{hello}\n")]
        {
            let refused = || Ok(Some(send(nonsense.as_bytes())).filter(|answer| answer.contains("refused")));
            let answer = wait_until(Duration::from_secs(5), "it is refused", refused).expect(nonsense);
            assert!(!answer.contains("busy"), "{nonsense}: {answer}");
        }
        let served = || Ok(Remote::connect(ns, address).ok().map(drop));
        wait_until(Duration::from_secs(5), "others are served", served).expect("it still serves");
    });
}

#[test]
fn what_is_no_server_is_told_with_a_remedy() {
    let ns = namespace();
    let local = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let echo = ns.run(|| TcpListener::bind(local).doing("bind", "loopback")).expect("loopback");
    let Ok(SocketAddr::V4(address)) = echo.local_addr() else { panic!("it is bound") };
    let speaks = |line: &'static str| {
        let listener = echo.try_clone().expect("a socket");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.write_all(line.as_bytes()).expect("loopback");
            // Until the client has closed.
            drop(stream.read(&mut [0; 512]).and_then(|_| stream.read(&mut [0; 512])));
        });
        Remote::connect(&ns, address).expect_err("that is no server of ours")
    };
    let error = speaks("220 smtp.example\r\n");
    assert!(error.why.contains("no fwd bench --serve") && error.remedy.is_some(), "{error}");
    let error = speaks("{\"hello\":{\"protocol\":99,\"fwd\":\"9.9\"}}\n");
    assert_eq!(error.kind, Kind::Unsupported, "{error}");
    assert!(error.why.contains("version 99") && error.remedy.is_some(), "{error}");
    drop(echo);
    let error = Remote::connect(&ns, address).expect_err("nobody listens");
    assert!(error.remedy.as_deref().is_some_and(|remedy| remedy.contains("fwd bench --serve")), "{error}");
}
