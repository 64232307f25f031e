//! `flows`, `ls` and `stats` agree with what was sent.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};

use forwarder::testbed::http;
use serde_json::{Value, json};

use super::fwd::{Fwd, Pod, inside, number, pings};
use crate::peers::{ANY, at, udp};

/// Header of IPv4 and of UDP or ICMP, bytes.
pub(crate) const HEADERS: u64 = 28;

/// The only flow of this protocol that is shown for a namespace.
#[track_caller]
pub(crate) fn flow(fwd: &Fwd, pod: &Pod, proto: &str) -> Value {
    let flows = fwd.list(&["flows", "--ns", &pod.name]);
    let mut found: Vec<_> = flows.iter().filter(|flow| flow["proto"] == proto).collect();
    assert_eq!(found.len(), 1, "{flows:#?}");
    found.remove(0).clone()
}

/// What is sent and received, in packets and IP bytes.
#[track_caller]
pub(crate) fn traffic(shown: &Value) -> [u64; 4] {
    ["tx_packets", "tx_bytes", "rx_packets", "rx_bytes"].map(|key| number(&shown[key]))
}

/// Sends `count` datagrams of `length` bytes, each of which must arrive; returns from where.
#[track_caller]
fn send(from: &UdpSocket, to: SocketAddr, at: &UdpSocket, count: usize, length: usize) -> SocketAddr {
    let mut buffer = [0; 2048];
    let mut sender = to;
    for number in 0..count {
        from.send_to(&vec![7; length], to).expect("it leaves");
        let received = at.recv_from(&mut buffer).unwrap_or_else(|error| panic!("datagram {number} is lost: {error}"));
        assert_eq!(received.0, length);
        sender = received.1;
    }
    sender
}

#[test]
fn udp_is_counted_to_the_byte() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = at(fwd.uplink(0).outside[0], 7000);
    let (client, server) = (udp(&pod, ANY), udp(fwd.internet(0), outside));
    let seen = send(&client, outside.into(), &server, 10, 100);
    let sender = send(&server, seen, &client, 7, 900);
    assert_eq!(sender, SocketAddr::V4(outside), "replies come from where the requests went");

    let flow = flow(&fwd, &pod, "udp");
    let expected = [10, 10 * (100 + HEADERS), 7, 7 * (900 + HEADERS)];
    assert_eq!(traffic(&flow), expected, "{flow:#}");
    let local = client.local_addr().expect("a socket").port();
    for (key, value) in [
        ("network", json!("fwd0")),
        ("ns", json!(pod.name)),
        ("src_addr", json!(pod.address)),
        ("src_port", json!(local)),
        ("dst_addr", json!(outside.ip())),
        ("dst_port", json!(outside.port())),
        ("nat_addr", json!(fwd.uplink(0).address)),
        ("nat_port", json!(seen.port())),
        ("icmp_id", Value::Null),
        ("state", json!("established")),
    ] {
        assert_eq!(flow[key], value, "{key} in {flow:#}");
    }
    assert!(number(&flow["age_ms"]) >= number(&flow["idle_ms"]), "{flow:#}");
    assert_eq!(traffic(&fwd.list(&["ls"])[0]), expected, "the endpoint's counters are the sum of its flows");
    assert_stats(&fwd, &pod, expected);
}

/// Each hook has counted what it passed on.
#[track_caller]
fn assert_stats(fwd: &Fwd, pod: &Pod, [tx_packets, tx_bytes, rx_packets, rx_bytes]: [u64; 4]) {
    let stats = fwd.list(&["stats"]);
    for (ifname, hook, packets, bytes) in [
        (pod.host_if.as_str(), "from_ns", tx_packets, tx_bytes),
        (&pod.host_if, "to_ns", rx_packets, rx_bytes),
        ("eth0", "from_uplink", rx_packets, rx_bytes),
    ] {
        let row =
            stats.iter().find(|row| row["ifname"] == ifname && row["hook"] == hook && row["verdict"] == "forwarded");
        let row = row.unwrap_or_else(|| panic!("no row of {hook} at {ifname}: {stats:#?}"));
        assert_eq!((number(&row["packets"]), number(&row["bytes"])), (packets, bytes), "{hook} at {ifname}");
        assert_eq!(row["reason"], Value::Null);
    }
}

#[test]
fn pings_are_counted_and_have_an_identifier_instead_of_ports() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    inside(&pod, &["ping", "-n", "-q", "-c", "3", "-i", "0.1", "-s", "100", &fwd.uplink(0).outside[0].to_string()]);
    let flow = flow(&fwd, &pod, "icmp");
    assert_eq!(traffic(&flow), [3, 3 * (100 + HEADERS), 3, 3 * (100 + HEADERS)], "{flow:#}");
    assert!(flow["icmp_id"].is_u64() && flow["src_port"].is_null() && flow["dst_port"].is_null(), "{flow:#}");
}

#[test]
fn tcp_is_counted_as_on_the_wire() {
    const LENGTH: u64 = 20_000_000;
    /// Headers of IPv4 and TCP with timestamps, and with the options of the longest segment, bytes.
    const SEGMENT: [u64; 2] = [52, 80];
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = fwd.uplink(0).outside[0];
    let server = http::Server::start(fwd.internet(0), at(outside, 80)).expect("a server");
    assert!(pings(&pod, outside));
    inside(&pod, &["curl", "-sSf", "-o", "/dev/null", &format!("http://{outside}/{LENGTH}")]);
    let flow = flow(&fwd, &pod, "tcp");
    let [tx_packets, tx_bytes, rx_packets, rx_bytes] = traffic(&flow);
    let payload = 1500 - SEGMENT[0];
    // Segments may be resent, or be smaller than they could be, but not by much.
    let segments = LENGTH.div_ceil(payload);
    assert!((segments..segments + segments / 10).contains(&rx_packets), "{segments} segments in {flow:#}");
    let wire = LENGTH + segments * SEGMENT[0];
    assert!((wire..wire + wire / 20).contains(&rx_bytes), "{wire} bytes in {flow:#}");
    // A request and acknowledgements.
    assert!(tx_bytes >= tx_packets * 40 && tx_bytes <= tx_packets * SEGMENT[1] + 1000, "{flow:#}");
    assert!(tx_packets >= 5, "{flow:#}");
    let client: Vec<SocketAddr> = server.clients();
    let nat = SocketAddrV4::new(fwd.uplink(0).address, u16::try_from(number(&flow["nat_port"])).expect("a port"));
    assert_eq!(client, [SocketAddr::V4(nat)], "the peer saw the port that `flows` shows");
}

#[test]
fn upload_is_counted_as_on_the_wire() {
    const LENGTH: u64 = 20_000_000;
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = at(fwd.uplink(0).outside[0], 9000);
    let listener = crate::peers::listen(fwd.internet(0), server);
    let receiving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client comes");
        http::Body::new(LENGTH).verify(stream)
    });
    let mut client = crate::peers::connect(&pod, ANY, server).expect("it connects");
    std::io::copy(&mut http::Body::new(LENGTH), &mut client).expect("the server reads");
    drop(client);
    receiving.join().expect("the server").expect("it is what was sent");
    let flow = flow(&fwd, &pod, "tcp");
    let segments = LENGTH.div_ceil(1448);
    let wire = LENGTH + segments * 52;
    assert!((segments..segments + segments / 10).contains(&number(&flow["tx_packets"])), "{segments} in {flow:#}");
    assert!((wire..wire + wire / 20).contains(&number(&flow["tx_bytes"])), "{wire} bytes in {flow:#}");
}

#[test]
fn flows_of_one_namespace_are_shown_alone() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    for pod in [&one, &two] {
        assert!(pings(pod, fwd.uplink(0).outside[0]));
    }
    for pod in [&one, &two] {
        let flow = flow(&fwd, pod, "icmp");
        assert_eq!(flow["ns"], json!(pod.name));
    }
    assert_eq!(fwd.list(&["flows"]).len(), 2);
}
