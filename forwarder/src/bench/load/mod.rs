//! The load that runs over a path: clients and servers of our own.
//!
//! Each side has a crew of threads with one tally. What is done before the measured window and after it counts for nothing: the
//! tallies are read where it begins and where it ends, each with the moment at which it was read.

mod ask;
mod client;
mod connect;
mod control;
mod crew;
mod flood;
mod job;
mod ping;
mod remote;
mod serve;
mod socket;
mod stream;
mod sys;
mod tool;

use std::{fs::File, net::SocketAddrV4, time::Duration};

use hdrhistogram::Histogram;

use self::{
    ask::Ask,
    crew::{Count, Places},
    job::Job,
};
pub use self::{
    remote::Remote,
    serve::{Listener, PORT, listening_address},
    tool::Tool,
};
use super::Metric;
use crate::{Result, netns::Netns};

/// The file that a load locks while it is measured.
const TURN: &str = "/run/fwd-bench.lock";

/// Where client and server are.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The client's namespace.
    pub client: &'a Netns,
    /// The server's.
    pub server: &'a Netns,
    /// Where the server listens; port 0 for any.
    pub address: SocketAddrV4,
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
    /// CPU time of all CPUs that were busy with it, by the kernel's accounting, nanoseconds for a round trip, connection, datagram,
    /// or kilobyte.
    pub cpu_ns: Option<f64>,
    /// Share of the datagrams sent that did not arrive, 0 to 1.
    pub lost: f64,
}

/// Runs `work` between the two namespaces of `site`, and takes as long as its warm-up and its duration.
///
/// # Errors
/// [`Kind::Usage`](crate::Kind::Usage) if `work` makes no sense; who did not answer whom, if the path loses what should not be
/// lost. It never waits for longer than some seconds.
pub fn run(site: &Site<'_>, work: &Work) -> Result<Sample> {
    let ask = Ask::new(work)?;
    let _turn = turn();
    let places = Places::here()?;
    let job = site.server.run(|| Job::start(&ask, site.address, places))?;
    let address = job.address();
    let mut server = Here(job);
    let sample = client::run(site.client, &ask, work, address, places, &mut server)?;
    server.0.stop()?;
    Ok(sample)
}

/// Waits until no other load of this machine is measured, and holds until it is dropped: two at once would measure each other.
/// A load in real time leaves nothing of its CPU to any other.
fn turn() -> Option<File> {
    let file = File::options().create(true).append(true).open(TURN).and_then(|file| file.lock().map(|()| file));
    // Where there is no such directory, whoever starts two at once sees it in the figures.
    file.map_err(|error| tracing::debug!("{TURN}: {error}")).ok()
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
