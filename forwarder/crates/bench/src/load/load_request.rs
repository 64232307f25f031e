//! What a client asks of a server, and what the two sides agree on.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Work, secret::Key};
use crate::Metric;
use fwd_base::{Error, Kind, Result};

/// Bytes of the largest message: what fits into one datagram.
const LARGEST: usize = 65_507;
/// Most TCP connections of a stream.
const MOST_STREAMS: usize = 1_000;
/// Longest run with its warm-up.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A load that a server shall take part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadRequest {
    /// Which.
    pub(super) metric: Metric,
    /// Bytes of a request and of its reply.
    pub(super) size: usize,
    /// TCP connections at once, for streams.
    pub(super) streams: usize,
    /// How long it takes with its warm-up, milliseconds.
    pub(super) lasts_ms: u64,
}

impl LoadRequest {
    /// That `work` is possible.
    ///
    /// # Errors
    /// [`Kind::Usage`] if it is not.
    pub(super) fn new(work: &Work) -> Result<Self> {
        let lasts = work.warm_up.saturating_add(work.duration);
        if work.duration.is_zero() {
            return Err(refused(work.metric, "it has to be measured for some time"));
        }
        let lasts_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let request = Self { metric: work.metric, size: work.size, streams: work.streams, lasts_ms };
        request.check().map(|()| request)
    }

    /// Whether a server can do it: also what came over the network.
    ///
    /// # Errors
    /// [`Kind::Usage`] if it cannot.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(refused(self.metric, &why));
        if !(1..=LARGEST).contains(&self.size) {
            return refuse(format!("a message has 1 to {LARGEST} bytes, not {}", self.size));
        }
        if !(1..=MOST_STREAMS).contains(&self.streams) {
            return refuse(format!("there are 1 to {MOST_STREAMS} streams, not {}", self.streams));
        }
        if self.lasts() > LONGEST {
            return refuse(format!("it takes at most {LONGEST:?}, not {:?}", self.lasts()));
        }
        Ok(())
    }

    /// How long it takes with its warm-up.
    pub(super) fn lasts(&self) -> Duration {
        Duration::from_millis(self.lasts_ms)
    }
}

fn refused(metric: Metric, why: &str) -> Error {
    Error::new(Kind::Usage, "measure", metric.id(), why)
}

/// A server that is ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// Where.
    pub(super) address: SocketAddr,
    /// With which its load begins.
    pub(super) key: Key,
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        metric: Metric::TcpRr,
        size: 64,
        streams: 1,
        rate: None,
        warm_up: Duration::from_millis(100),
        duration: Duration::from_secs(1),
    };

    #[track_caller]
    fn refuses(work: Work) {
        assert_eq!(LoadRequest::new(&work).expect_err("that makes no sense").kind, Kind::Usage);
    }

    #[test]
    fn nonsense_is_refused_before_anything_is_sent() {
        assert_eq!(LoadRequest::new(&WORK).expect("that is possible").lasts(), Duration::from_millis(1_100));
        refuses(Work { size: 0, ..WORK });
        refuses(Work { size: 65_508, ..WORK });
        refuses(Work { streams: 0, ..WORK });
        refuses(Work { streams: 1_001, ..WORK });
        refuses(Work { duration: Duration::ZERO, ..WORK });
        refuses(Work { duration: Duration::MAX, ..WORK });
    }
}
