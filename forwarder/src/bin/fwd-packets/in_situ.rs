//! `fwd-packets --in-situ`: what the programs take for packets of real sockets, by the kernel's own count.
//!
//! A namespace exchanges small requests and answers with a server of the internet, and sends datagrams of which each begins a flow. Between two runs of a program the processor does all
//! that a packet means to it, so that a run finds less in its caches than one that `BPF_PROG_TEST_RUN` repeats, and each packet is what
//! the kernel makes of it: those of TCP are clones, whose headers a program may write only after it has asked. Client and server are one
//! thread on one processor. An empty program beside the others at the uplink tells what the counting takes by itself.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use forwarder::{
    Context as _, Result,
    bench::{report::Estimate, statistics},
    cpu,
    dataplane::{Hook, RunStatistics, RunTime},
    measuring::Arguments,
    netns::{Name, Netns},
    testbed::{Testbed, unique_prefix},
};
use serde::Serialize;

use crate::bench::Bench;

const USAGE: &str = "fwd-packets --in-situ [--json] [ROUNDS]";
const DEFAULT_ROUNDS: usize = 25;
/// Requests of a round, each of which is answered (or is the first of a flow, and is not), and before that to establish the flow and fill the
/// caches.
const REQUESTS: u32 = 2_000;
const WARM_UP: u32 = 200;
/// Bytes of a message.
const MESSAGE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);
const SERVER: u16 = 7;
/// Where those go that nobody answers: as many ports as there are, one after the other.
const FIRST_PORT: u16 = 10_000;
const HOOKS: [Hook; 3] = [Hook::FromNs, Hook::FromUplink, Hook::ToUplink];

/// What a run of a program took.
#[derive(Serialize)]
struct Figure {
    program: &'static str,
    /// Nanoseconds.
    tcp: Estimate,
    udp: Estimate,
    /// Each packet the first of a flow. What comes in then are ICMP errors about some of them.
    first_udp: Estimate,
}

/// What was counted, of the programs of [`HOOKS`] and the empty one behind them.
type Counted = [RunTime; HOOKS.len() + 1];

/// Measures and prints.
pub(crate) fn run() -> Result<()> {
    let Arguments { json, rounds, .. } = Arguments::read(USAGE, DEFAULT_ROUNDS, std::env::args().skip(1))?;
    let testbed = Testbed::new(&unique_prefix())?;
    let figures = testbed.host().run(|| cpu::on_one(|| measure(&testbed, rounds)))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&figures).doing("write", "JSON")?);
        return Ok(());
    }
    println!("{:<12} {:>16} {:>16} {:>20}", "PROGRAM", "TCP", "UDP", "UDP, FIRST PACKETS");
    let words = |Estimate { median, low, high, .. }: &Estimate| format!("{median:.0} ({low:.0}–{high:.0})");
    for Figure { program, tcp, udp, first_udp } in &figures {
        println!("{program:<12} {:>16} {:>16} {:>20}", words(tcp), words(udp), words(first_udp));
    }
    println!("\nns a run, median of {rounds} rounds (95 % interval); an empty program costs what counting costs");
    Ok(())
}

fn measure(testbed: &Testbed, rounds: usize) -> Result<Vec<Figure>> {
    let mut bench = Bench::new(testbed)?;
    bench.empty_program.attach(bench.uplink)?;
    let inside = Netns::open_named(&Name::try_from(testbed.name("c1").as_str())?)?;
    let mut tcp = tcp(testbed, &inside)?;
    let udp = udp(testbed, &inside)?;
    let mut flows = Flows::new(testbed, &inside)?;
    let mut exchanges: [&mut dyn FnMut() -> io::Result<()>; 3] =
        [&mut || exchange(&mut tcp), &mut || query(&udp), &mut || flows.begin()];
    let mut times = [(); 3].map(|()| vec![Vec::new(); HOOKS.len() + 1]);
    let _statistics = RunStatistics::enable()?;
    for _ in 0..rounds {
        for (exchange, times) in exchanges.iter_mut().zip(&mut times) {
            repeat(WARM_UP, *exchange)?;
            let before = counted(&mut bench)?;
            repeat(REQUESTS, *exchange)?;
            for ((after, before), times) in counted(&mut bench)?.into_iter().zip(before).zip(times) {
                times.extend(after.ns_since(before));
            }
        }
    }
    let programs = HOOKS.map(Hook::program).into_iter().chain(["empty"]);
    let figure = |(place, program): (usize, &'static str)| {
        let [tcp, udp, first_udp] =
            times.each_ref().map(|of_programs| statistics::estimate(&of_programs[place]).unwrap_or_default());
        Figure { program, tcp, udp, first_udp }
    };
    Ok(programs.enumerate().map(figure).collect())
}

fn counted(bench: &mut Bench) -> Result<Counted> {
    let [from_ns, from_uplink, to_uplink] = HOOKS.map(|hook| bench.dataplane.run_time(hook));
    Ok([from_ns?, from_uplink?, to_uplink?, bench.empty_program.run_time()?])
}

fn repeat(times: u32, exchange: &mut dyn FnMut() -> io::Result<()>) -> Result<()> {
    (0..times).try_for_each(|_| exchange()).doing("exchange", "messages")
}

/// A client inside and a server of the internet, connected to each other.
fn tcp(testbed: &Testbed, inside: &Netns) -> Result<(TcpStream, TcpStream)> {
    let server = SocketAddr::from((testbed.uplink(0).outside[0], SERVER));
    let listener = testbed.internet(0).run(|| TcpListener::bind(server).doing("listen on", server.to_string()))?;
    let client = inside.run(|| TcpStream::connect(server).doing("connect to", server.to_string()))?;
    let (accepted, _) = listener.accept().doing("accept", "the connection")?;
    for stream in [&client, &accepted] {
        stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE))).doing("set up", "a socket")?;
    }
    Ok((client, accepted))
}

/// The same of UDP; the server answers whom it hears, whose address is that of the host.
fn udp(testbed: &Testbed, inside: &Netns) -> Result<(UdpSocket, UdpSocket)> {
    let server = SocketAddr::from((testbed.uplink(0).outside[0], SERVER));
    let bind = |address: SocketAddr| move || UdpSocket::bind(address).doing("bind", address.to_string());
    let (client, server_socket) = (inside.run(bind(([0, 0, 0, 0], 0).into()))?, testbed.internet(0).run(bind(server))?);
    client.connect(server).doing("connect to", server.to_string())?;
    for socket in [&client, &server_socket] {
        socket.set_read_timeout(Some(PATIENCE)).doing("set up", "a socket")?;
    }
    Ok((client, server_socket))
}

fn exchange((client, server): &mut (TcpStream, TcpStream)) -> io::Result<()> {
    let mut message = [0; MESSAGE];
    client.write_all(&message)?;
    server.read_exact(&mut message)?;
    server.write_all(&message)?;
    client.read_exact(&mut message)
}

fn query((client, server): &(UdpSocket, UdpSocket)) -> io::Result<()> {
    let mut message = [0; MESSAGE];
    client.send(&message)?;
    let (_, from) = server.recv_from(&mut message)?;
    server.send_to(&message, from)?;
    client.recv(&mut message).map(drop)
}

/// Datagrams of which each begins a flow: to one port after the other, and when there are no more, from another socket.
struct Flows<'a> {
    inside: &'a Netns,
    socket: UdpSocket,
    to: SocketAddr,
}

impl<'a> Flows<'a> {
    fn new(testbed: &Testbed, inside: &'a Netns) -> Result<Self> {
        let to = SocketAddr::from((testbed.uplink(0).outside[0], FIRST_PORT));
        Ok(Self { inside, socket: Self::socket(inside)?, to })
    }

    /// A socket whose port is its own.
    fn socket(inside: &Netns) -> Result<UdpSocket> {
        inside.run(|| UdpSocket::bind(("0.0.0.0", 0)).doing("bind", "a socket"))
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.to.port() == u16::MAX {
            self.socket = Self::socket(self.inside).map_err(io::Error::other)?;
            self.to.set_port(FIRST_PORT);
        }
        self.to.set_port(self.to.port() + 1);
        self.socket.send_to(&[0; MESSAGE], self.to).map(drop)
    }
}
