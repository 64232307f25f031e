use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use fwd_base::{Error, Kind};
use fwd_testbed::{Namespace, unique_prefix};

pub(super) const WORK: Work = Work {
    metric: Metric::TcpRr,
    size: 64,
    streams: 1,
    rate: None,
    warm_up: Duration::from_millis(20),
    duration: Duration::from_millis(200),
};

pub(super) fn namespace() -> Namespace {
    Namespace::create(&format!("{}-alone", unique_prefix())).expect("a namespace")
}

fn on_loopback(work: &Work) -> Result<Sample> {
    let ns = namespace();
    run(&Peers::direct(&ns, &ns, (Ipv4Addr::LOCALHOST, 0)), work)
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
fn a_load_whose_ends_had_no_cpu_is_run_for_longer() {
    let measured = on_loopback(&WORK).expect("loopback loses nothing");
    let mut took = Vec::new();
    let sample = client::patiently(&WORK, |work| {
        took.push(work.duration);
        let nothing = Outcome::Nothing(Error::new(Kind::Failed, "measure", "a path", "nothing was exchanged"));
        Ok(if took.len() < 3 { nothing } else { Outcome::Measured(measured.clone()) })
    });
    assert_eq!(sample.expect("the third time").per_second, measured.per_second);
    assert_eq!(took, [200, 800, 2_000].map(Duration::from_millis));
}

#[test]
fn a_path_that_takes_everything_ends_a_load_all_the_same() {
    let mut times = 0;
    let nothing = || Outcome::Nothing(Error::new(Kind::Failed, "measure", "a path", "nothing was exchanged"));
    let error = client::patiently(&WORK, |_| {
        times += 1;
        Ok(nothing())
    });
    assert_eq!((error.expect_err("nothing came").why.as_str(), times), ("nothing was exchanged", 3));
}

#[test]
fn a_server_that_cannot_be_reached_is_named() {
    let (near, far) = (namespace(), namespace());
    for metric in [Metric::TcpRr, Metric::UdpRr] {
        let peers = Peers::direct(&near, &far, (Ipv4Addr::LOCALHOST, 0));
        let error = run(&peers, &Work { metric, ..WORK }).expect_err("they are not connected");
        assert_eq!(error.kind, Kind::Failed);
        assert!(error.object.contains("127.0.0.1:"), "{error}");
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
fn rates_of_setting_up_and_taking_down_are_those_of_their_own_time() {
    for metric in [Metric::UdpThroughput, Metric::UdpEstablish, Metric::TcpEstablish, Metric::TcpTeardown] {
        let sample = on_loopback(&Work { metric, ..WORK }).unwrap_or_else(|error| panic!("{metric}: {error}"));
        assert!(sample.per_second > 100.0 && sample.lost == 0.0, "{metric}: {} {}", sample.per_second, sample.lost);
        assert!(sample.latency.is_none() && sample.cpu_ns.is_none(), "{metric}");
    }
}

#[test]
fn requests_at_a_fixed_rate_are_as_many_as_are_due() {
    let work = Work { metric: Metric::UdpRr, rate: Some(500), ..WORK };
    let times = on_loopback(&work).expect("loopback loses nothing").latency.expect("round trips have a distribution");
    // Those of 200 ms, also if the machine has no time for some.
    assert!((99..=101).contains(&times.len()), "{}", times.len());
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

#[test]
fn every_load_runs_over_ipv6_too() {
    let ns = namespace();
    for metric in Metric::ALL {
        let peers = Peers::direct(&ns, &ns, (Ipv6Addr::LOCALHOST, 0));
        let sample = run(&peers, &Work { metric, ..WORK }).unwrap_or_else(|error| panic!("{metric}: {error}"));
        assert!(sample.per_second > 100.0 && sample.lost < 0.5, "{metric}: {} {}", sample.per_second, sample.lost);
    }
}
