//! `fwd-host-cost [--json] [ROUNDS]`: what the uplink's hooks cost the host's own traffic (`./x host-cost`). Needs root.
//!
//! One sandboxed host talks to its internet over the same sockets: without anything, with an empty program at both hooks of
//! the uplink, and with `fwd` up (a namespace attached, idle). A round is without, empty, up, up, empty, without. Client and
//! server are one thread on one CPU, so that no wake-up is in the figures: the hooks weigh more than between processes.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::ExitCode,
    time::{Duration, Instant},
};

use forwarder::{
    Context as _, Result, cpu,
    dataplane::{EmptyProgram, RunDir},
    execute::{self, HostContext, Unobserved},
    measuring::Arguments,
    netlink::Netlink,
    netns::Name,
    reconcile::{DownRequest, TargetRef, UpRequest},
    testbed::{Testbed, unique_prefix},
};
use serde::Serialize;

/// Bytes of a message.
const MESSAGE: usize = 64;
/// A measurement is the fastest of so many short ones: what another process or the hypervisor interrupts does not count.
const PARTS: usize = 20;
/// Round trips of one part, and packets of a flood.
const ROUND_TRIPS: u32 = 200;
const FLOOD: u32 = 768;
/// Packets of a flood that the receiver takes at once.
const BATCH: u32 = 64;
const DEFAULT_ROUNDS: usize = 25;
const PATIENCE: Duration = Duration::from_secs(5);
/// A port in the NAT range, and where the server listens.
const IN_RANGE: u16 = 8_080;
const SERVER: u16 = 7;

/// What is measured, as transactions or packets per second.
const KINDS: [&str; 5] = ["TCP_RR", "UDP_RR", "UDP_RR, port in the NAT range", "UDP out, 64 B", "UDP in, 64 B"];

/// What became of a kind.
#[derive(Serialize)]
struct Figure {
    kind: &'static str,
    /// Transactions or packets per second without anything, median of the rounds.
    without: f64,
    /// Ratio with an empty program at each hook.
    empty: Estimate,
    /// Ratio with `fwd` up.
    up: Estimate,
    /// The same without anything, twice in the same round: what the machine's other work does to a ratio.
    itself: f64,
}

/// The median of the rounds and its 95 % interval.
#[derive(Serialize)]
struct Estimate {
    median: f64,
    low: f64,
    high: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fwd-host-cost: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run() -> Result<()> {
    let Arguments { json, rounds, only: _ } =
        Arguments::read("fwd-host-cost [--json] [ROUNDS]", DEFAULT_ROUNDS, std::env::args().skip(1))?;
    let rounds = measure(rounds)?;
    let figures: Vec<Figure> = KINDS.into_iter().enumerate().map(|(kind, name)| figure(&rounds, kind, name)).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&figures).doing("write", "JSON")?);
    } else {
        show(&figures, rounds.len());
    }
    Ok(())
}

/// Rates of each kind: without, empty, up, up, empty, without.
type Round = [[f64; KINDS.len()]; 6];

fn measure(rounds: usize) -> Result<Vec<Round>> {
    let testbed = Testbed::new(&unique_prefix())?;
    let context = HostContext::new(RunDir::new(testbed.run_dir().join("run")));
    let up = UpRequest::new(TargetRef::Named(Name::try_from(testbed.name("c1").as_str())?));
    let down = DownRequest { target: None, delete_ns: false, ..DownRequest::default() };
    let all_rounds = || {
        let mut sockets = Sockets::new(&testbed)?;
        sockets.rates()?;
        let mut round = || {
            let before = sockets.rates()?;
            let empty = sockets.beside_nothing()?;
            execute::up(&context, &up, &mut Unobserved)?;
            let with = [sockets.rates()?, sockets.rates()?];
            execute::down(&context, &down, &mut Unobserved)?;
            Ok([before, empty, with[0], with[1], sockets.beside_nothing()?, sockets.rates()?])
        };
        (0..rounds.max(1)).map(|_| round()).collect()
    };
    testbed.host().run(|| cpu::on_one(all_rounds))
}

/// Both ends of everything.
struct Sockets {
    /// The interface that they use.
    uplink: u32,
    tcp: (TcpStream, TcpStream),
    udp: (UdpSocket, UdpSocket),
    in_range: (UdpSocket, UdpSocket),
}

impl Sockets {
    fn new(testbed: &Testbed) -> Result<Self> {
        let outside = testbed.uplink(0).outside[0];
        let listen = || TcpListener::bind((outside, SERVER)).doing("listen on", outside.to_string());
        let listener = testbed.internet(0).run(listen)?;
        let client = TcpStream::connect((outside, SERVER)).doing("connect to", outside.to_string())?;
        let (server, _) = listener.accept().doing("accept", "the connection")?;
        for stream in [&client, &server] {
            stream
                .set_nodelay(true)
                .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
                .doing("set up", "a socket")?;
        }
        let link = Netlink::here()?.link(&testbed.uplink(0).name)?;
        Ok(Self {
            uplink: link.map_or(0, |link| link.index),
            tcp: (client, server),
            udp: udp(testbed, outside, 0, SERVER)?,
            in_range: udp(testbed, outside, IN_RANGE, SERVER + 1)?,
        })
    }

    /// The rates with an empty program at both hooks of the uplink.
    fn beside_nothing(&mut self) -> Result<[f64; KINDS.len()]> {
        let mut nothing = EmptyProgram::load()?;
        nothing.attach(self.uplink)?;
        self.rates()
    }

    /// One measurement of each kind, in the order of [`KINDS`].
    fn rates(&mut self) -> Result<[f64; KINDS.len()]> {
        let (client, server) = (&mut self.tcp.0, &mut self.tcp.1);
        let mut message = [0; MESSAGE];
        let tcp = rate(ROUND_TRIPS, || {
            client.write_all(&message)?;
            server.read_exact(&mut message)?;
            server.write_all(&message)?;
            client.read_exact(&mut message)
        })?;
        let (client, server) = &self.udp;
        let out = flood(client, server)?;
        let back = flood(server, client)?;
        Ok([tcp, query(&self.udp)?, query(&self.in_range)?, out, back])
    }
}

/// A client of the host and a server of the internet, connected to each other.
fn udp(testbed: &Testbed, outside: Ipv4Addr, from: u16, to: u16) -> Result<(UdpSocket, UdpSocket)> {
    let bind = |address: (Ipv4Addr, u16)| move || UdpSocket::bind(address).doing("bind", format!("{address:?}"));
    let client = bind((testbed.uplink(0).address, from))()?;
    let server = testbed.internet(0).run(bind((outside, to)))?;
    let connect = |socket: &UdpSocket, peer: &UdpSocket| {
        let peer: SocketAddr = peer.local_addr()?;
        socket.connect(peer)?;
        socket.set_read_timeout(Some(PATIENCE))
    };
    connect(&client, &server).and_then(|()| connect(&server, &client)).doing("connect", "two sockets")?;
    Ok((client, server))
}

/// Round trips per second.
fn query((client, server): &(UdpSocket, UdpSocket)) -> Result<f64> {
    let mut message = [0; MESSAGE];
    rate(ROUND_TRIPS, || {
        client.send(&message)?;
        server.recv(&mut message)?;
        server.send(&message)?;
        client.recv(&mut message).map(drop)
    })
}

/// Packets per second one way. The receiver takes them from its socket, which holds a batch.
fn flood(from: &UdpSocket, to: &UdpSocket) -> Result<f64> {
    let mut message = [0; MESSAGE];
    let batches = rate(FLOOD / BATCH, || {
        (0..BATCH).try_for_each(|_| from.send(&message).map(drop))?;
        (0..BATCH).try_for_each(|_| to.recv(&mut message).map(drop))
    })?;
    Ok(batches * f64::from(BATCH))
}

/// How often per second `exchange` happens in the fastest of [`PARTS`] parts of so many `times`.
fn rate(times: u32, mut exchange: impl FnMut() -> std::io::Result<()>) -> Result<f64> {
    let mut fastest: f64 = 0.0;
    for _ in 0..PARTS {
        let start = Instant::now();
        (0..times).try_for_each(|_| exchange()).doing("exchange", "messages")?;
        fastest = fastest.max(f64::from(times) / start.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

/// What became of the kind of this number.
fn figure(rounds: &[Round], kind: usize, name: &'static str) -> Figure {
    let of = |phases: [usize; 2]| move |round: &Round| f64::midpoint(round[phases[0]][kind], round[phases[1]][kind]);
    let all = |value: &dyn Fn(&Round) -> f64| -> Vec<f64> { rounds.iter().map(value).collect() };
    let without = of([0, 5]);
    let ratio = |phases: [usize; 2]| {
        let ratios = all(&|round| of(phases)(round) / without(round));
        let (low, high) = interval(&ratios);
        Estimate { median: median(&ratios), low, high }
    };
    Figure {
        kind: name,
        without: median(&all(&without)),
        empty: ratio([1, 4]),
        up: ratio([2, 3]),
        itself: median(&all(&|round| round[5][kind] / round[0][kind])),
    }
}

fn show(figures: &[Figure], rounds: usize) {
    println!(
        "{:<32} {:>11} {:>21} {:>21}  AGAINST ITSELF",
        "HOST'S OWN TRAFFIC", "WITHOUT, /S", "EMPTY PROGRAMS", "FWD UP"
    );
    let ratio = |Estimate { median, low, high }: &Estimate| format!("{median:.3} ({low:.3}–{high:.3})");
    for Figure { kind, without, empty, up, itself } in figures {
        println!("{kind:<32} {without:>11.0} {:>21} {:>21}  {itself:.3}", ratio(empty), ratio(up));
    }
    println!("\nratios to without, median of {rounds} rounds (95 % interval)");
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: &[f64]) -> f64 {
    sorted(values).get(values.len() / 2).copied().unwrap_or_default()
}

/// The 95 % interval of the median by order statistics: ranks n/2 ± 0.98 √n.
fn interval(values: &[f64]) -> (f64, f64) {
    let values = sorted(values);
    let (middle, spread) = (values.len() as f64 / 2.0, 0.98 * (values.len() as f64).sqrt());
    let at = |rank: f64| values.get((rank.max(0.0) as usize).min(values.len() - 1)).copied().unwrap_or_default();
    (at((middle - spread).floor()), at((middle + spread).ceil()))
}
