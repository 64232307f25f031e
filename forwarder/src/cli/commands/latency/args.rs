//! What `fwd latency` takes.

use std::{str::FromStr, time::Duration};

use clap::{ArgGroup, Args};

use crate::cli::args::{TARGETS, TargetArgs};

/// Examples below the help.
pub(in crate::cli::commands) const HELP: &str = "\
Each packet is timed in the kernel where it leaves the namespace and where it
leaves the uplink, and on its way back in; whatever forwards it. TCP, UDP and
ICMP echo over IPv4 and IPv6.

A round trip is the time from a segment that leaves the namespace to the one that
brings its timestamp back (RFC 7323): the way outside, and what the other end waits
before it answers. Each conversation is told apart.

Examples:
  fwd latency                     every endpoint, until Ctrl-C
  fwd latency mynet --duration 10s --json | jq '.paths[0].out.p99_ns'
  fwd latency mynet --round-trips --duration 10s
  fwd latency --container web --uplink eth0     a container of docker
  fwd latency --host-if veth3a1b --uplink eth0  the same by its host-side veth";

/// `fwd latency`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("one path").multiple(false).args(TARGETS).arg("host_if"))]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Host-side veth of the veth pair of a namespace that fwd did not connect
    #[arg(long, value_name = "IFNAME", requires = "uplink")]
    pub(crate) host_if: Option<String>,
    /// Interface to the outside, of a namespace that fwd did not connect
    #[arg(long, value_name = "IFNAME", requires = "one path")]
    pub(crate) uplink: Option<String>,
    /// How long, such as 10s; without it, until Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) duration: Option<Duration>,
    /// How often to show what came
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s")]
    pub(crate) interval: Duration,
    /// Measure round trips of TCP conversations, too, by their timestamps
    #[arg(long)]
    pub(crate) round_trips: bool,
    /// Measure one packet of N; auto: all of few, fewer of many
    #[arg(long, value_name = "N", default_value = "auto")]
    pub(crate) sample: SampleArg,
}

/// `--sample`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SampleArg {
    /// By the rate of packets.
    Auto,
    /// One packet of so many.
    One(u32),
}

impl FromStr for SampleArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(sample) if sample > 0 => Ok(Self::One(sample)),
            _ => Err("it is a number from 1 on, or auto".into()),
        }
    }
}

/// A span of time of at least 100 ms.
fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; for example 10s or 500ms"))?;
    if time < Duration::from_millis(100) { Err("it is at least 100ms".into()) } else { Ok(time) }
}
