//! The load that runs over a path: clients and servers of our own.

use std::{net::SocketAddrV4, time::Duration};

use hdrhistogram::Histogram;

use super::Metric;
use crate::netns::Netns;

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
