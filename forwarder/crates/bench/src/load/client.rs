//! The client's side of one load, and what becomes of the figures.

use std::{
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::{
    Sample, Server, Work,
    kind::{connect, cycle, flood, flows, ping, stream},
    load_request::{LoadRequest, Ready},
    search, socket,
    time::{times::Times, window::Window},
    workers::{Count, LoadCpus, Workers},
};
use crate::Metric;
use fwd_base::{Error, Kind, Result};
use fwd_kernel::netns::Netns;

/// Bytes.
const KILOBYTE: f64 = 1_000.0;
/// Of a byte.
const BITS: f64 = 8.0;
/// How often it looks whether the load still runs.
const INTERVAL: Duration = Duration::from_millis(50);

/// In so long a time each end had a CPU, however busy the machine is.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// What came of a load.
pub(super) enum Outcome {
    /// Figures.
    Measured(Sample),
    /// Not one exchange within the measured time, or no rate without loss; and what to say of it.
    Nothing(Error),
}

/// Runs `work` by `once`, and where nothing was exchanged again for longer, up to [`LONG_ENOUGH`]: on a busy machine the ends of a
/// short load may have had no CPU.
pub(super) fn patiently(work: &Work, mut once: impl FnMut(&Work) -> Result<Outcome>) -> Result<Sample> {
    let mut work = *work;
    loop {
        match once(&work)? {
            Outcome::Measured(sample) => return Ok(sample),
            Outcome::Nothing(error) if work.duration >= LONG_ENOUGH => return Err(error),
            Outcome::Nothing(_) => work.duration = LONG_ENOUGH.min(work.duration.saturating_mul(4)),
        }
    }
}

/// Runs the client in `ns` against a server.
pub(super) fn run(
    ns: &Netns,
    request: &LoadRequest,
    work: &Work,
    ready: Ready,
    cpus: LoadCpus,
    server: &mut dyn Server,
) -> Result<Outcome> {
    if request.metric == Metric::UdpThroughput {
        let found = search::run(ns, request, work, ready, cpus, server)?;
        return Ok(found.map_or_else(Outcome::Nothing, Outcome::Measured));
    }
    let (workers, window) = ns.run(|| start(request, work, ready, cpus))?;
    let (begin, end) = cpus.beside(|| {
        await_until(window.begin, &workers)?;
        let begin = [workers.count()?, server.count()?];
        // A server elsewhere may have taken a while to answer: between its counts lies the whole duration all the same.
        await_until(window.end.max(Instant::now() + work.duration), &workers)?;
        Ok((begin, [workers.count()?, server.count()?]))
    })?;
    let timed = workers.tally().timed_rate();
    let times = workers.stop()?;
    let [here, there] = [(begin[0], end[0]), (begin[1], end[1])].map(|(begin, end)| Progress::of(&begin, &end));
    let mut sample = sample(request.metric, &here, &there, times);
    if is_timed(request.metric) {
        // Both ends did something else besides.
        (sample.per_second, sample.cpu_ns) = (timed.unwrap_or(0.0), None);
    }
    // A round trip that had begun before counts, but was not timed.
    let is_timed = sample.latency.as_ref().is_none_or(|times| !times.is_empty());
    Ok(if sample.per_second > 0.0 && is_timed {
        Outcome::Measured(sample)
    } else {
        Outcome::Nothing(nothing(request.metric, ready.address, &here))
    })
}

/// Whether the client times what it is about by itself.
const fn is_timed(metric: Metric) -> bool {
    matches!(metric, Metric::UdpEstablish | Metric::TcpEstablish | Metric::TcpTeardown)
}

/// The way there takes everything and gives nothing back.
fn nothing(metric: Metric, address: SocketAddr, here: &Progress) -> Error {
    let (object, what) = match metric {
        Metric::Udp64 | Metric::UdpMtu => {
            (socket::udp(address), format!("none of {:.0} datagrams a second arrived", here.amount))
        }
        Metric::UdpEstablish => (socket::udp(address), "no row of flows was answered while it was measured".to_owned()),
        _ => (socket::tcp(address), "nothing was exchanged while it was measured".to_owned()),
    };
    Error::new(Kind::Failed, "measure the path to", object, what)
}

/// What both sides' progress comes to.
fn sample(metric: Metric, here: &Progress, there: &Progress, times: Option<Times>) -> Sample {
    // Counted where it arrives, and per how many of it the CPU time is.
    let (arrived, sent, per) = match metric {
        Metric::TcpRr
        | Metric::UdpRr
        | Metric::TcpCrr
        | Metric::UdpEstablish
        | Metric::TcpEstablish
        | Metric::TcpTeardown => (here.amount, here.amount, 1.0),
        Metric::Udp64 | Metric::UdpMtu | Metric::UdpThroughput => (there.amount, here.amount, 1.0),
        Metric::TcpStreamOut => (there.amount, there.amount, KILOBYTE),
        Metric::TcpStreamIn => (here.amount, here.amount, KILOBYTE),
    };
    let is_stream = matches!(metric, Metric::TcpStreamOut | Metric::TcpStreamIn);
    let (latency, changes) = times.map(|times| (times.took, times.changes)).unzip();
    Sample {
        per_second: if is_stream { arrived * BITS } else { arrived },
        latency,
        changes,
        cpu_ns: (arrived > 0.0).then(|| (here.cpu + there.cpu) / arrived * per),
        lost: if sent > 0.0 { (1.0 - arrived / sent).max(0.0) } else { 0.0 },
    }
}

/// Starts it in the network namespace of the calling thread.
fn start(request: &LoadRequest, work: &Work, ready: Ready, cpus: LoadCpus) -> Result<(Workers, Window)> {
    let Ready { address, key } = ready;
    let mut workers = Workers::default();
    let (request, window) = (*request, Window::of(work));
    let (metric, in_turn) = (request.metric, cpus.in_turn());
    match metric {
        Metric::TcpRr => workers.spawn(in_turn, move |tally| ping::tcp(&request, address, key, &window, tally))?,
        Metric::UdpRr => workers.spawn(in_turn, move |tally| ping::udp(&request, address, key, &window, tally))?,
        Metric::TcpCrr => workers.spawn(in_turn, move |tally| connect::run(&request, address, key, &window, tally))?,
        Metric::UdpEstablish => workers.spawn(in_turn, move |tally| flows::run(address, key, &window, tally))?,
        Metric::TcpEstablish | Metric::TcpTeardown => {
            workers.spawn(in_turn, move |tally| cycle::run(metric, address, key, &window, tally))?
        }
        Metric::Udp64 | Metric::UdpMtu | Metric::UdpThroughput => {
            workers.spawn(in_turn, move |tally| flood::send(metric, address, key, tally))?
        }
        Metric::TcpStreamOut | Metric::TcpStreamIn => {
            for _ in 0..request.streams {
                start_stream(&mut workers, metric, socket::join(address, key)?, cpus)?;
            }
        }
    }
    Ok((workers, window))
}

/// Sends over a connection, or receives.
fn start_stream(workers: &mut Workers, metric: Metric, stream: TcpStream, cpus: LoadCpus) -> Result<()> {
    stream::prepare(&stream, cpus)?;
    let affinity = if metric == Metric::TcpStreamIn { cpus.receiver() } else { cpus.sender() };
    workers.spawn(affinity, move |tally| match metric {
        Metric::TcpStreamIn => stream::receive(&stream, tally),
        _ => stream::send(&stream, tally),
    })
}

/// Waits until then, unless the client fails before.
fn await_until(then: Instant, workers: &Workers) -> Result<()> {
    loop {
        if let Some(error) = workers.failure() {
            return Err(error);
        }
        match then.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return Ok(()),
            left => thread::sleep(left.min(INTERVAL)),
        }
    }
}

/// Between two counts, per second.
struct Progress {
    amount: f64,
    /// Nanoseconds of CPU time.
    cpu: f64,
}

impl Progress {
    fn of(begin: &Count, end: &Count) -> Self {
        let seconds = (end.at - begin.at).as_secs_f64();
        let rate = |begin: u64, end: u64| if seconds > 0.0 { end.saturating_sub(begin) as f64 / seconds } else { 0.0 };
        Self { amount: rate(begin.amount, end.amount), cpu: rate(begin.cpu, end.cpu) }
    }
}
