//! Round-trip latency by ping-pong: one message there, one back, client and server on one CPU.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use forwarder::{Context as _, Error, Kind, Result, netns::Netns};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// Bytes of a message.
const MESSAGE: usize = 64;
/// Round trips before measuring: neighbours are found, the flow is established, caches are warm.
const WARM_UP: usize = 100;
/// Round trips that are measured in one round.
const SAMPLES: usize = 400;
/// How long one message may be under way.
const PATIENCE: Duration = Duration::from_secs(3);

/// From where to where.
pub(crate) struct Path<'a> {
    /// What it is, for the reader.
    pub(crate) title: &'static str,
    /// Where the client is.
    pub(crate) client: &'a Netns,
    /// Where the server is.
    pub(crate) server: &'a Netns,
    /// The address of the server.
    pub(crate) address: Ipv4Addr,
}

/// Round trips of one protocol on one path.
pub(crate) struct RoundTrip {
    /// Median of the rounds' medians, microseconds.
    pub(crate) micros: f64,
    /// Median over the rounds of what it took more than the first path in the same round, microseconds.
    pub(crate) added: f64,
    /// Median over the rounds of its ratio to the first path in the same round.
    pub(crate) ratio: f64,
}

/// Measures every path in each of `rounds` short rounds, so that all have the same share of what else the machine does, over
/// TCP and UDP. Within a round they are compared with the first.
pub(crate) fn compare(paths: &[Path<'_>], rounds: usize) -> Result<Vec<[RoundTrip; 2]>> {
    let cpu = one_cpu()?;
    let mut seen: Vec<[Vec<f64>; 2]> = paths.iter().map(|_| Default::default()).collect();
    for _ in 0..rounds {
        for (path, [tcp, udp]) in paths.iter().zip(&mut seen) {
            tcp.push(over_tcp(path, &cpu).map_err(|error| about(path, error))?);
            udp.push(over_udp(path, &cpu).map_err(|error| about(path, error))?);
        }
    }
    let Some([first_tcp, first_udp]) = seen.first() else { return Ok(Vec::new()) };
    Ok(seen.iter().map(|[tcp, udp]| [against(tcp, first_tcp), against(udp, first_udp)]).collect())
}

/// Summarises the rounds of one path, each beside the first path's.
fn against(path: &[f64], first: &[f64]) -> RoundTrip {
    let pairs = || path.iter().zip(first);
    RoundTrip {
        micros: median(path.to_vec()),
        added: median(pairs().map(|(path, first)| path - first).collect()),
        ratio: median(pairs().map(|(path, first)| path / first).collect()),
    }
}

fn about(path: &Path<'_>, mut error: Error) -> Error {
    error.object = format!("{} ({})", error.object, path.title);
    error
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The last CPU that this process may use.
fn one_cpu() -> Result<CpuSet> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).doing("look at", "the CPUs of this process")?;
    let mut one = CpuSet::new();
    let last = (0..CpuSet::count()).rev().find(|&cpu| allowed.is_set(cpu).unwrap_or(false)).unwrap_or(0);
    one.set(last).doing("choose", format!("CPU {last}"))?;
    Ok(one)
}

fn over_tcp(path: &Path<'_>, cpu: &CpuSet) -> Result<f64> {
    let address = SocketAddrV4::new(path.address, 0);
    let listener = path.server.run(|| TcpListener::bind(address).doing("listen on", address.to_string()))?;
    let address = listener.local_addr().doing("listen on", address.to_string())?;
    let connect = || TcpStream::connect_timeout(&address, PATIENCE).doing("connect to", address.to_string());
    let mut client = path.client.run(connect)?;
    let (mut server, _) = listener.accept().doing("accept", "the connection")?;
    for stream in [&client, &server] {
        stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE))).doing("set up", "a socket")?;
    }
    let echo = move || {
        let mut message = [0; MESSAGE];
        while server.read_exact(&mut message).and_then(|()| server.write_all(&message)).is_ok() {}
    };
    let mut message = [0; MESSAGE];
    // The client's end, which closes the connection, ends the server.
    ping_pong(cpu, echo, || client.write_all(&message).and_then(|()| client.read_exact(&mut message)))
}

fn over_udp(path: &Path<'_>, cpu: &CpuSet) -> Result<f64> {
    let bind = |address: Ipv4Addr| move || UdpSocket::bind((address, 0)).doing("bind", address.to_string());
    let server = path.server.run(bind(path.address))?;
    let client = path.client.run(bind(Ipv4Addr::UNSPECIFIED))?;
    let address: SocketAddr = server.local_addr().doing("bind", path.address.to_string())?;
    client.connect(address).doing("connect to", address.to_string())?;
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(PATIENCE)).doing("set up", "a socket")?;
    }
    let echo = move || {
        let mut message = [0; MESSAGE];
        // An empty datagram is the end.
        while let Ok((length @ 1.., peer)) = server.recv_from(&mut message) {
            if server.send_to(&message[..length], peer).is_err() {
                return;
            }
        }
    };
    let mut message = [0; MESSAGE];
    let measured = ping_pong(cpu, echo, || {
        client.send(&message)?;
        client.recv(&mut message).map(drop)
    });
    client.send(&[]).doing("send to", address.to_string())?;
    measured
}

/// Runs `echo` on a thread of its own and measures `exchange`, both on `cpu`. The median, microseconds.
fn ping_pong(
    cpu: &CpuSet,
    echo: impl FnOnce() + Send + 'static,
    mut exchange: impl FnMut() -> std::io::Result<()> + Send,
) -> Result<f64> {
    let pin = |cpu: &CpuSet| sched_setaffinity(Pid::from_raw(0), cpu);
    let of_server = *cpu;
    // Not joined: it ends with its client, or when it has heard nothing for long.
    thread::spawn(move || {
        if pin(&of_server).is_ok() {
            echo();
        }
    });
    thread::scope(|scope| {
        let client = scope.spawn(move || {
            pin(cpu).doing("choose", "a CPU")?;
            let mut took = Vec::with_capacity(SAMPLES);
            for round_trip in 0..WARM_UP + SAMPLES {
                let start = Instant::now();
                exchange().doing("exchange", "a message")?;
                if round_trip >= WARM_UP {
                    took.push(start.elapsed().as_secs_f64() * 1e6);
                }
            }
            Ok(median(took))
        });
        client.join()
    })
    .unwrap_or_else(|_| Err(Error::new(Kind::Failed, "measure", "round trips", "the client panicked")))
}
