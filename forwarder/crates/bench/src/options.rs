//! What to compare and how.

use std::time::Duration;

use super::{Comparison, Metric, Path, load::Tool};

/// What is set up anew in each round.
const FEW_NAMESPACES: usize = 10;
const FEW_FLOWS: usize = 10_000;

/// What to compare and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Which way packets go.
    pub way: Comparison,
    /// Which paths, of those that go this way.
    pub paths: Vec<Path>,
    /// What is measured over each.
    pub metrics: Vec<Metric>,
    /// How often.
    pub rounds: usize,
    /// How long each measurement takes.
    pub duration: Duration,
    /// How long the load runs before.
    pub warm_up: Duration,
    /// Bytes of a request and of its reply.
    pub size: usize,
    /// TCP connections at once in a stream.
    pub streams: usize,
    /// Requests per second at fixed times, for round trips; else the next when the last is answered.
    pub rate: Option<u32>,
    /// Namespaces that are up; more than one is also compared with fewer.
    pub namespaces: usize,
    /// Flows in the table beside the measured one; more than none is also compared with fewer.
    pub flows: usize,
    /// Who makes the load.
    pub with: Tool,
}

impl Options {
    /// Whether each round has sandboxes of its own. With so many namespaces or flows, setting them up takes longer than the rounds.
    #[must_use]
    pub fn sets_up_anew(&self) -> bool {
        self.namespaces <= FEW_NAMESPACES && self.flows <= FEW_FLOWS
    }
}
