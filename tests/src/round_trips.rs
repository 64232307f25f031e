//! `fwd latency --round-trips`.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use forwarder::testbed::Delay;
use serde_json::{Value, json};

use crate::{
    fwd::{Fwd, number},
    ipv6,
    latency::{Run, exchange},
    peers::{ANY, at, connect, echo_tcp, echoed, listen},
};

/// Of each conversation by itself, and only of TCP: no shorter than the way there and back, and no longer than the client has waited.
#[test]
fn round_trips_of_conversations_are_told_over_time() {
    const ONE_WAY: Duration = Duration::from_millis(40);
    const REQUESTS: u64 = 5;
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let delay = Delay::start(&fwd, ONE_WAY).expect("a far host");
    let (near, far) = (at(fwd.uplink(0).outside[0], 9000), at(delay.address, 9000));
    let servers = (echo_tcp(listen(fwd.internet(0), near), 1), echo_tcp(listen(&delay.host, far), 1));
    let streams = [near, far].map(|server| connect(&pod, ANY, server).expect("it connects"));
    let run = Run::start(&fwd, &[&pod.name, "--round-trips", "--interval", "200ms"], &pod, "eth0");
    exchange(&pod, (fwd.internet(0), *near.ip()), 1);
    let waited = streams.each_ref().map(|stream| {
        let each = (0..REQUESTS).map(|_| {
            let began = Instant::now();
            echoed(stream, b"question");
            began.elapsed()
        });
        u64::try_from(each.max().expect("some").as_nanos()).expect("a short time")
    });
    let found = run.end();
    let told = found["round_trips"].as_array().expect("a list");
    assert_eq!(told.len(), 2, "{found:#}");
    let of = |to: &Ipv4Addr| told.iter().find(|it| it["dst_addr"] == to.to_string()).expect("it is told");
    for (server, stream, waited, least) in
        [(near, &streams[0], waited[0], 1), (far, &streams[1], waited[1], 2 * ONE_WAY.as_nanos() as u64)]
    {
        let it = of(server.ip());
        let ends = (&it["ns"], &it["src_addr"], number(&it["src_port"]), number(&it["dst_port"]));
        let port = stream.local_addr().expect("a socket").port();
        assert_eq!(ends, (&json!(pod.name), &json!(pod.address.to_string()), port.into(), server.port().into()));
        let [min, mean, max, last] = ["min_ns", "mean_ns", "max_ns", "last_ns"].map(|key| number(&it[key]));
        assert!(least <= min && min <= mean && mean <= max && max <= waited, "{it:#}, {waited} ns waited");
        assert!((min..=max).contains(&last), "{it:#}");
        // Requests within a millisecond carry one time.
        assert!((1..=REQUESTS).contains(&number(&it["count"])), "{it:#}");
        let intervals = it["intervals"].as_array().expect("a list");
        assert_eq!(intervals.iter().map(|it| number(&it["count"])).sum::<u64>(), number(&it["count"]), "{it:#}");
    }
    assert_eq!(number(&of(far.ip())["count"]), REQUESTS);
    drop(streams);
    servers.0.join().expect("a server");
    servers.1.join().expect("a server");
    // Nobody pays for what was not asked for.
    let run = Run::start(&fwd, &[&pod.name], &pod, "eth0");
    assert_eq!(run.end()["round_trips"], Value::Null);
}

#[test]
fn round_trips_of_ipv6_are_told_too() {
    let fwd = ipv6::host_with(1);
    let pod = fwd.up("c1", &[]);
    let server = ipv6::at(ipv6::link(&fwd, 0).outside, 9000);
    let echo = echo_tcp(listen(fwd.internet(0), server), 1);
    let stream = connect(&pod, ipv6::at(Ipv6Addr::UNSPECIFIED, 0), server).expect("it connects");
    let run = Run::start(&fwd, &[&pod.name, "--round-trips"], &pod, "eth0");
    echoed(&stream, b"question");
    let found = run.end();
    let told = &found["round_trips"][0];
    assert_eq!((&told["dst_addr"], number(&told["count"])), (&json!(server.ip().to_string()), 1), "{found:#}");
    drop(stream);
    echo.join().expect("a server");
}
