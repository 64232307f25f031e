//! Real programs in a namespace reach the outside behind the uplink's address, and nothing leaves behind another.

use std::{
    fs::File,
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
};

use forwarder::{
    Context,
    netns::Netns,
    testbed::{Process, command_in, http, wait_until},
};
use serde_json::Value;

use super::fwd::{Fwd, LIMIT, Pod, inside, number, pings};
use crate::{
    capture::Capture,
    peers::{ANY, PATIENCE, any, asked, at, connect_here, echo_tcp, echo_udp, echoed, listen, raise_file_limit, udp},
};

/// Connections one after another: as many as there are ports, inside and outside.
const SEQUENTIAL: usize = 2_000;

/// All of them have the uplink's address.
#[track_caller]
fn assert_behind_uplink(fwd: &Fwd, clients: &[SocketAddr]) {
    let foreign = clients.iter().find(|client| client.ip() != IpAddr::from(fwd.uplink(0).address));
    assert_eq!(foreign, None, "a peer saw another address than the uplink's");
    assert!(!clients.is_empty(), "nobody came");
}

#[test]
fn gateway_and_outside_answer_pings() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--uplink", "eth0"]);
    let capture = Capture::start(&fwd);
    assert!(pings(&pod, pod.gateway), "the network's gateway");
    assert!(pings(&pod, fwd.uplink(0).gateway), "the router");
    assert!(pings(&pod, fwd.uplink(0).address), "the host's address on the uplink");
    for outside in &fwd.uplink(0).outside {
        assert!(pings(&pod, *outside), "{outside}");
    }
    inside(&pod, &["ping", "-n", "-q", "-c", "50", "-i", "0.01", &fwd.uplink(0).outside[0].to_string()]);
    capture.assert_empty();
}

#[test]
fn large_download_arrives_whole() {
    const LENGTH: u64 = 200_000_000;
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = fwd.uplink(0).outside[0];
    let server = http::Server::start(fwd.internet(0), at(outside, 80)).expect("a server");
    let capture = Capture::start(&fwd);
    let file = fwd.run_dir().join("download");
    let url = format!("http://{outside}/{LENGTH}");
    inside(&pod, &["curl", "-sSf", "-o", file.to_str().expect("UTF-8"), &url]);
    http::Body::new(LENGTH).verify(File::open(&file).expect("it is there")).expect("it is what was served");
    assert_behind_uplink(&fwd, &server.clients());
    capture.assert_empty();
}

/// Runs iperf3 from inside against a server outside; its report.
#[track_caller]
pub(crate) fn iperf3(fwd: &Fwd, pod: &Pod, options: &[&str]) -> Value {
    let outside = fwd.uplink(0).outside[0].to_string();
    let server = command_in(fwd.internet(0), &["iperf3", "-s", "-1", "--forceflush", "-B", &outside]);
    let server = Process::spawn(server).expect("the server starts");
    let listening = || Ok(server.stdout().contains("listening on").then_some(()));
    wait_until(PATIENCE, "the server listens", listening)
        .unwrap_or_else(|error| panic!("{error}: {}", server.stderr()));
    let report = inside(pod, &[&["iperf3", "-J", "-t", "2", "-c", &outside], options].concat());
    server.wait(LIMIT).expect("the server ends with its client").success().expect("the server is content");
    serde_json::from_str(&report).expect("a report")
}

#[test]
fn iperf3_runs_both_ways_over_tcp_and_udp() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let capture = Capture::start(&fwd);
    for options in [&[][..], &["-R"]] {
        let report = iperf3(&fwd, &pod, options);
        let (sent, received) = (&report["end"]["sum_sent"]["bytes"], &report["end"]["sum_received"]["bytes"]);
        assert!(number(received) > 10_000_000 && number(sent) >= number(received), "{options:?}: {sent} {received}");
    }
    // So slow that a queue of 256 frames holds what comes while a busy machine lets the receiver wait.
    for options in [&["-u", "-b", "2M"][..], &["-u", "-b", "2M", "-R"]] {
        let report = iperf3(&fwd, &pod, options);
        let (packets, lost) = (&report["end"]["sum"]["packets"], &report["end"]["sum"]["lost_packets"]);
        assert!(number(packets) > 100 && number(lost) * 10 < number(packets), "{options:?}: {lost} lost of {packets}");
    }
    capture.assert_empty();
}

#[test]
fn requests_from_many_sockets_get_their_replies() {
    const REQUESTS: usize = 3000;
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = at(fwd.uplink(0).outside[0], 53);
    assert!(pings(&pod, *server.ip()));
    let capture = Capture::start(&fwd);
    let replies = echo_udp(udp(fwd.internet(0), server), REQUESTS);
    for number in 0..REQUESTS {
        let socket = udp(&pod, ANY);
        let request = format!("request {number}");
        socket.send_to(request.as_bytes(), server).expect("it leaves");
        let mut answer = [0; 64];
        let (length, from) = socket.recv_from(&mut answer).unwrap_or_else(|error| panic!("{request}: {error}"));
        assert_eq!((&answer[..length], from), (request.as_bytes(), SocketAddr::V4(server)));
    }
    assert_behind_uplink(&fwd, &replies.join().expect("the server"));
    capture.assert_empty();
}

#[test]
fn connections_by_the_hundred_live_side_by_side() {
    const CONNECTIONS: usize = 500;
    raise_file_limit();
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = at(fwd.uplink(0).outside[0], 9000);
    let listener = listen(fwd.internet(0), server);
    let capture = Capture::start(&fwd);
    let accepting = thread::spawn(move || -> Vec<(TcpStream, SocketAddr)> {
        (0..CONNECTIONS).map(|_| listener.accept().expect("a client comes")).collect()
    });
    let connect = || (0..CONNECTIONS).map(|_| connect_here(ANY, server).doing("connect to", "the server")).collect();
    let clients: Vec<TcpStream> = pod.run(connect).expect("all connect");
    let accepted = accepting.join().expect("all are accepted");
    assert_behind_uplink(&fwd, &accepted.iter().map(|(_, from)| *from).collect::<Vec<_>>());
    let echoing: Vec<_> = accepted.into_iter().map(|(stream, _)| stream).collect();
    // Each in turn while all are open, twice, so that every flow is used after every other.
    for round in 0..2 {
        for (number, client) in clients.iter().enumerate() {
            use std::io::Write as _;
            (&mut &*client).write_all(&message(round, number)).expect("it leaves");
        }
        let mut numbers: Vec<_> = echoing.iter().map(|stream| received(stream, round)).collect();
        for (stream, number) in echoing.iter().zip(&numbers) {
            use std::io::Write as _;
            (&mut &*stream).write_all(&message(round, *number)).expect("the answer leaves");
        }
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(received(client, round), number, "somebody else's answer");
        }
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..CONNECTIONS), "each message arrived once");
    }
    capture.assert_empty();
}

fn message(round: u32, number: usize) -> [u8; 8] {
    let number = u32::try_from(number).expect("few connections");
    let mut message = [0; 8];
    message[..4].copy_from_slice(&round.to_be_bytes());
    message[4..].copy_from_slice(&number.to_be_bytes());
    message
}

/// The number in the next message, which must be of this round.
#[track_caller]
fn received(mut stream: &TcpStream, round: u32) -> usize {
    use std::io::Read as _;
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut message = [0; 8];
    stream.read_exact(&mut message).expect("a message");
    let [r0, r1, r2, r3, n0, n1, n2, n3] = message;
    assert_eq!(u32::from_be_bytes([r0, r1, r2, r3]), round);
    u32::from_be_bytes([n0, n1, n2, n3]) as usize
}

#[test]
fn sequential_connections_use_up_the_ports_of_a_namespace() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--nat-ports", "2000-3999"]);
    inside(&pod, &["sysctl", "-qw", "net.ipv4.ip_local_port_range=32768 34767"]);
    let server = at(fwd.uplink(0).outside[0], 9000);
    let clients = echo_tcp(listen(fwd.internet(0), server), SEQUENTIAL);
    let capture = Capture::start(&fwd);
    let one_after_another = |ns: &Netns| {
        ns.run(|| {
            for number in 0..SEQUENTIAL {
                let stream = connect_here(ANY, server).doing("make", format!("connection {number}"))?;
                echoed(&stream, &message(0, number));
            }
            Ok(())
        })
    };
    one_after_another(&pod).expect("every connection is made");
    assert_behind_uplink(&fwd, &clients.join().expect("the server"));
    capture.assert_empty();
}

#[test]
fn namespaces_of_one_network_reach_each_other() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    assert!(pings(&one, two.address) && pings(&two, one.address));
    let server = at(two.address, 9000);
    let clients = echo_tcp(listen(&two, any(9000)), 1);
    let stream = crate::peers::connect(&one, ANY, server).expect("it connects");
    echoed(&stream, &[7; 100_000][..2000]);
    drop(stream);
    let seen: Vec<_> = clients.join().expect("the server").iter().map(SocketAddr::ip).collect();
    assert_eq!(seen, [IpAddr::from(one.address)], "neighbours see each other's own addresses");
    let replies = echo_udp(udp(&two, any(53)), 1);
    asked(&udp(&one, ANY), at(two.address, 53), b"neighbour");
    replies.join().expect("the server");
}
