//! The load that runs over a path: clients and servers of our own.
//!
//! Each side has workers, threads with one tally. What is done before the measured window and after it counts for nothing: the
//! tallies are read where it begins and where it ends, each with the moment at which it was read.

mod client;
mod guest;
mod job;
mod kind;
mod load_request;
mod remote;
mod search;
mod secret;
mod socket;
mod sys;
mod time;
mod tool;
mod turn;
mod workers;

use std::{net::SocketAddr, time::Duration};

use hdrhistogram::Histogram;

pub(crate) use self::tool::await_listening;
use self::{
    client::Outcome,
    guest::Guest,
    job::Job,
    load_request::{LoadRequest, Ready},
    turn::Turn,
    workers::{Count, LoadCpus},
};
pub use self::{
    remote::{Limits, Listener, PORT, Remote, give_up_privileges, listening_address},
    secret::Token,
    tool::Tool,
};
use super::Metric;
use fwd_base::Result;
use fwd_kernel::netns::Netns;

/// Nanoseconds of a whole round trip in a microsecond of half of it.
pub(super) const HALF_ROUND_TRIP: f64 = 2_000.0;

/// Where client and server are.
#[derive(Clone, Copy, Debug)]
pub struct Peers<'a> {
    /// The client's namespace.
    pub client: &'a Netns,
    /// The server's.
    pub server: &'a Netns,
    /// Where the server listens; port 0 for any.
    pub listen: SocketAddr,
    /// Where the client turns to, which something in between leads to the server; port 0 for that of the server.
    pub target: SocketAddr,
}

impl<'a> Peers<'a> {
    /// A server at an address of its own.
    #[must_use]
    pub fn direct(client: &'a Netns, server: &'a Netns, address: impl Into<SocketAddr>) -> Self {
        let address = address.into();
        Self { client, server, listen: address, target: address }
    }

    /// Where the client turns to, if the server listens at `port`.
    const fn target_at(&self, port: u16) -> SocketAddr {
        let mut target = self.target;
        if target.port() == 0 {
            target.set_port(port);
        }
        target
    }
}

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Which load.
    pub metric: Metric,
    /// Bytes of a request and of its reply.
    pub size: usize,
    /// TCP connections at once, for streams.
    pub streams: usize,
    /// Requests per second at fixed times, for round trips; else the next when the last is answered.
    pub rate: Option<u32>,
    /// How long it runs before anything counts.
    pub warm_up: Duration,
    /// How long it is measured.
    pub duration: Duration,
}

/// What one run gave.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Round trips, connections, datagrams received, or bits received, per second.
    pub per_second: f64,
    /// Whole round trips (connections from connect to reset), nanoseconds; none for streams and floods.
    pub latency: Option<Histogram<u64>>,
    /// How far each of them lies from the one before (RFC 3393), nanoseconds of whole round trips; none where `latency` is.
    pub changes: Option<Histogram<u64>>,
    /// CPU time of all CPUs that were busy with it, by the kernel's accounting, nanoseconds for a round trip, connection, datagram,
    /// or kilobyte.
    pub cpu_ns: Option<f64>,
    /// Share of the datagrams sent that did not arrive, 0 to 1.
    pub lost: f64,
}

impl Sample {
    /// The figure of a metric: half the round trip at the median in microseconds, or the rate per second.
    #[must_use]
    pub fn figure(&self, metric: Metric) -> f64 {
        match (&self.latency, metric.is_latency()) {
            (Some(latency), true) => latency.value_at_quantile(0.5) as f64 / HALF_ROUND_TRIP,
            // A request at a time: the rate tells the mean.
            (None, true) => 1e9 / self.per_second / HALF_ROUND_TRIP,
            (_, false) => self.per_second,
        }
    }
}

/// Runs `work` between the two namespaces of `peers`, and takes as long as its warm-up and its duration; longer where nothing was
/// exchanged in so short a time.
///
/// # Errors
/// [`Kind::Usage`](fwd_base::Kind::Usage) if `work` makes no sense; who did not answer whom, if the path loses what should not be
/// lost. It never waits for longer than some seconds.
pub fn run(peers: &Peers<'_>, work: &Work) -> Result<Sample> {
    let _turn = Turn::take();
    client::patiently(work, |work| once(peers, work))
}

fn once(peers: &Peers<'_>, work: &Work) -> Result<Outcome> {
    let request = LoadRequest::new(work)?;
    let cpus = LoadCpus::here()?;
    let guest = Guest::in_sandbox()?;
    let job = peers.server.run(|| Job::start(&request, peers.listen, guest, cpus))?;
    let ready = Ready { address: peers.target_at(job.address().port()), key: job.key() };
    let mut server = Here(job);
    let outcome = client::run(peers.client, &request, work, ready, cpus, &mut server)?;
    server.0.stop()?;
    Ok(outcome)
}

/// The other side of a load, as the client sees it.
trait Server {
    /// What it has done until now.
    fn count(&mut self) -> Result<Count>;
}

/// A server in this process.
struct Here(Job);

impl Server for Here {
    fn count(&mut self) -> Result<Count> {
        self.0.count()
    }
}

#[cfg(test)]
mod tests;
