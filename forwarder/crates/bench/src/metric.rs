//! What is measured over a path.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A load, and the figure that it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Request and reply over one TCP connection; half the round trip, microseconds.
    TcpRr,
    /// The same over UDP.
    UdpRr,
    /// Connect, request, reply, reset; per second.
    TcpCrr,
    /// One-way TCP from the client, bits per second.
    TcpStreamOut,
    /// One-way TCP to the client, bits per second.
    TcpStreamIn,
    /// UDP datagrams of 64 bytes from the client that arrive, per second.
    #[serde(rename = "udp-64")]
    Udp64,
    /// UDP datagrams as long as the MTU allows that arrive, per second.
    UdpMtu,
    /// The highest rate of UDP datagrams of the size asked for at which every one arrives, per second: throughput as RFC 1242, section
    /// 3.17, has it, found as in RFC 2544, section 26.1, and RFC 8219, section 7.1.
    UdpThroughput,
    /// UDP flows that are new, asked and answered once, per second (establishment rate, RFC 9693, section 4.5).
    UdpEstablish,
    /// TCP connections that are set up until both ends have them, per second.
    TcpEstablish,
    /// TCP connections that are taken down by both ends, per second.
    TcpTeardown,
}

impl Metric {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::TcpRr,
        Self::UdpRr,
        Self::TcpCrr,
        Self::TcpStreamOut,
        Self::TcpStreamIn,
        Self::Udp64,
        Self::UdpMtu,
        Self::UdpThroughput,
        Self::UdpEstablish,
        Self::TcpEstablish,
        Self::TcpTeardown,
    ];

    /// Those that are measured unless others are named: a comparison of everything would take twice as long.
    pub const USUAL: [Self; 7] =
        [Self::TcpRr, Self::UdpRr, Self::TcpCrr, Self::TcpStreamOut, Self::TcpStreamIn, Self::Udp64, Self::UdpMtu];

    /// What it is, for the help.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::TcpRr => "half a round trip over one TCP connection, median",
            Self::UdpRr => "half a round trip over UDP, median",
            Self::TcpCrr => "connections per second: connect, request, reply, reset",
            Self::TcpStreamOut => "bulk TCP from the client",
            Self::TcpStreamIn => "bulk TCP to the client",
            Self::Udp64 => "datagrams of 64 bytes from the client that arrive",
            Self::UdpMtu => "datagrams as long as the MTU that arrive",
            Self::UdpThroughput => "the highest rate of datagrams of --size at which none is lost",
            Self::UdpEstablish => "new UDP flows per second, asked and answered once",
            Self::TcpEstablish => "TCP connections set up per second",
            Self::TcpTeardown => "TCP connections taken down per second",
        }
    }

    /// As typed after `--metrics` and as in JSON: `tcp-rr`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::TcpRr => "tcp-rr",
            Self::UdpRr => "udp-rr",
            Self::TcpCrr => "tcp-crr",
            Self::TcpStreamOut => "tcp-stream-out",
            Self::TcpStreamIn => "tcp-stream-in",
            Self::Udp64 => "udp-64",
            Self::UdpMtu => "udp-mtu",
            Self::UdpThroughput => "udp-throughput",
            Self::UdpEstablish => "udp-establish",
            Self::TcpEstablish => "tcp-establish",
            Self::TcpTeardown => "tcp-teardown",
        }
    }

    /// For the reader of a table, by the name that people know it by: `TCP_RR`.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::TcpRr => "TCP_RR",
            Self::UdpRr => "UDP_RR",
            Self::TcpCrr => "TCP_CRR",
            Self::TcpStreamOut => "TCP_STREAM out",
            Self::TcpStreamIn => "TCP_STREAM in",
            Self::Udp64 => "UDP 64 B",
            Self::UdpMtu => "UDP MTU",
            Self::UdpThroughput => "UDP throughput",
            Self::UdpEstablish => "UDP establishment",
            Self::TcpEstablish => "TCP establishment",
            Self::TcpTeardown => "TCP tear-down",
        }
    }

    /// Whether less is better: it is a time.
    #[must_use]
    pub const fn is_latency(self) -> bool {
        matches!(self, Self::TcpRr | Self::UdpRr)
    }

    /// Whether sender and receiver work at the same time, on a CPU each; else both ends take turns on one.
    pub(crate) const fn is_one_way(self) -> bool {
        matches!(self, Self::TcpStreamOut | Self::TcpStreamIn | Self::UdpThroughput)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::Metric;

    #[test]
    fn names_are_those_of_the_json() {
        for metric in Metric::ALL {
            assert_eq!(serde_json::to_value(metric).expect("a name"), metric.id());
        }
    }

    #[test]
    fn usual_ones_come_first() {
        assert!(Metric::ALL.starts_with(&Metric::USUAL));
    }
}
