//! The client's side of one load, and what becomes of the figures.

use std::{
    net::SocketAddrV4,
    thread,
    time::{Duration, Instant},
};

use super::{
    Sample, Server, Work,
    ask::{Ask, Window},
    crew::{Count, Crew, Place},
    job::{last, not_yet},
    ping,
};
use crate::{Result, bench::Metric, netns::Netns};

/// How often it looks whether the load still runs.
const INTERVAL: Duration = Duration::from_millis(50);

/// Runs the client in `ns` against a server that is ready at `address`.
pub(super) fn run(
    ns: &Netns,
    ask: &Ask,
    work: &Work,
    address: SocketAddrV4,
    server: &mut dyn Server,
) -> Result<Sample> {
    let (crew, window) = ns.run(|| start(ask, work, address))?;
    await_until(window.begin, &crew)?;
    let begin = [crew.count()?, server.count()?];
    await_until(window.end, &crew)?;
    let end = [crew.count()?, server.count()?];
    let latency = crew.stop()?;
    let [here, there] = [(begin[0], end[0]), (begin[1], end[1])].map(|(begin, end)| Progress::of(&begin, &end));
    let per_second = match ask.metric {
        _ => here.amount,
    };
    let cpu_ns = (per_second > 0.0).then(|| (here.cpu + there.cpu) / per_second);
    Ok(Sample { per_second, latency, cpu_ns, lost: 0.0 })
}

/// Starts it in the network namespace of the calling thread.
fn start(ask: &Ask, work: &Work, address: SocketAddrV4) -> Result<(Crew, Window)> {
    let mut crew = Crew::default();
    let (ask, window) = (*ask, Window::of(work));
    let last = Place { cpu: last()?, realtime: true };
    match ask.metric {
        Metric::TcpRr => crew.spawn(last, move |tally| ping::ask_tcp(&ask, address, &window, tally))?,
        Metric::UdpRr => crew.spawn(last, move |tally| ping::ask_udp(&ask, address, &window, tally))?,
        other => return Err(not_yet(other)),
    }
    Ok((crew, window))
}

/// Waits until then, unless the client fails before.
fn await_until(then: Instant, crew: &Crew) -> Result<()> {
    loop {
        if let Some(error) = crew.failure() {
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
