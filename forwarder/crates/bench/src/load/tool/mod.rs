//! The same loads by programs that people know, to check ours against: `--with iperf3` and `--with sockperf`.
//!
//! Both ends run inside the namespaces, on the CPUs and at the priority of ours. What a program measures as ours do was compared
//! (docs/benchmarks.md); what it measures otherwise is refused.

mod iperf3;
mod sockperf;

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use super::{
    Peers, Sample, Turn, Work,
    load_request::LoadRequest,
    workers::{Affinity, LoadCpus},
};
use crate::Metric;
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_kernel::netns::Netns;
use fwd_testbed::{Output, Process, command_in, run as run_command, wait_until};

/// How long a server may take to listen, a client longer than its load, and a program to say its version.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where a program's server listens, unless told otherwise.
const PORT: u16 = 5201;

/// Who makes the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tool {
    /// This program.
    #[default]
    Fwd,
    /// iperf3: streams. Its packet rates are not taken: for each datagram its sender makes a system call and a timestamp of its own,
    /// so they say more about that than about the path.
    Iperf3,
    /// sockperf: round trips.
    Sockperf,
}

impl Tool {
    /// Other programs.
    pub const OTHERS: [Self; 2] = [Self::Iperf3, Self::Sockperf];

    /// As typed after `--with`; of other programs, the command.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Fwd => "fwd",
            Self::Iperf3 => "iperf3",
            Self::Sockperf => "sockperf",
        }
    }

    /// Whether it can measure that.
    #[must_use]
    pub const fn measures(self, metric: Metric) -> bool {
        match self {
            Self::Fwd => true,
            Self::Iperf3 => matches!(metric, Metric::TcpStreamOut | Metric::TcpStreamIn),
            Self::Sockperf => metric.is_latency(),
        }
    }

    /// Whether it measures over IPv6, too.
    #[must_use]
    pub const fn knows_ipv6(self) -> bool {
        match self {
            Self::Fwd | Self::Iperf3 => true,
            // Not before its version 3.8.
            Self::Sockperf => false,
        }
    }

    /// Bytes of its smallest message.
    #[must_use]
    pub const fn least_size(self) -> usize {
        match self {
            Self::Fwd | Self::Iperf3 => 1,
            Self::Sockperf => sockperf::SMALLEST,
        }
    }

    /// The time that it measures, and the time before, if it shall measure for at least `duration`: other programs take whole
    /// seconds. None where it is free.
    ///
    /// # Errors
    /// [`Kind::Usage`]: it cannot measure for so long.
    pub fn times(self, duration: Duration) -> Result<Option<[Duration; 2]>> {
        match self {
            Self::Fwd => Ok(None),
            Self::Iperf3 => Ok(Some([whole_seconds(duration), Duration::ZERO])),
            Self::Sockperf => sockperf::times(duration).map(Some),
        }
    }

    /// Its version as it says it itself; none of this program.
    ///
    /// # Errors
    /// [`Kind::Unsupported`]: it is not installed.
    pub fn version(self) -> Result<Option<String>> {
        if self == Self::Fwd {
            return Ok(None);
        }
        let paths = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&paths).any(|path| path.join(self.id()).is_file()) {
            let error = Error::new(Kind::Unsupported, "measure with", self.id(), "it is not installed");
            return Err(error.remedy(format!("install it (Debian: apt install {}), or leave --with out", self.id())));
        }
        let mut command = Command::new(self.id());
        command.arg("--version");
        let said = run_command(command, PATIENCE)?;
        Ok(version_in(&said.stdout).or_else(|| version_in(&said.stderr)))
    }

    /// Runs `work` between the two namespaces of `peers`, as [`run`](super::run()) does, for as long as [`times`](Self::times) says.
    ///
    /// # Errors
    /// As [`run`](super::run()); it does not measure that, or is not installed; what it says itself.
    pub fn run(self, peers: &Peers<'_>, work: &Work) -> Result<Sample> {
        if !self.measures(work.metric) {
            return Err(Error::new(Kind::Usage, "measure", work.metric.id(), format!("{} does not", self.id())));
        }
        let run = match self {
            Self::Fwd => return super::run(peers, work),
            Self::Iperf3 => iperf3::run,
            Self::Sockperf => sockperf::run,
        };
        LoadRequest::new(work)?;
        let mut peers = *peers;
        if peers.listen.port() == 0 {
            peers.listen.set_port(PORT);
        }
        peers.target = peers.target_at(peers.listen.port());
        let _turn = Turn::take();
        // Whoever waits, and the threads that read what a program says, stay off its CPU.
        let cpus = LoadCpus::here()?;
        cpus.beside(|| run(&peers, work, cpus))
    }
}

/// The version in what a program says of itself: `iperf 3.12 (cJSON 1.7.15)` or `sockperf, version 3.7-no.git`, before other lines.
fn version_in(said: &str) -> Option<String> {
    let line = said.lines().map(str::trim).find(|line| !line.is_empty())?;
    let line = line.split_once('(').map_or(line, |(before, _)| before.trim());
    Some(line.replace(", version", ""))
}

/// A program that runs inside a namespace, on the CPU that it is given.
fn start(ns: &Netns, argv: &[String], affinity: Affinity) -> Result<Process> {
    let mut command = command_in(ns, argv);
    affinity.keep(&mut command)?;
    Process::spawn(command)
}

/// Starts a server, and waits until it listens.
fn serve(peers: &Peers<'_>, argv: &[String], affinity: Affinity, protocol: &str) -> Result<Process> {
    let server = start(peers.server, argv, affinity)?;
    await_listening(peers.server, peers.listen, protocol, &server)?;
    Ok(server)
}

/// Waits until a program listens at a port of `address` in `ns`, over `tcp` or `udp`.
pub(crate) fn await_listening(ns: &Netns, address: SocketAddr, protocol: &str, server: &Process) -> Result<()> {
    let port = format!(":{:04X}", address.port());
    let table = if address.is_ipv6() { format!("{protocol}6") } else { protocol.to_owned() };
    let listens = || {
        let sockets = ns.run(|| {
            let path = Path::new("/proc/thread-self/net").join(&table);
            std::fs::read_to_string(&path).doing("read", path.display().to_string())
        })?;
        Ok(sockets.lines().any(|line| is_listening(line, &port)).then_some(()))
    };
    wait_until(PATIENCE, "the server listens", listens).map_err(|error| {
        let why = format!("{}\n{}{}", error.why, server.stdout(), server.stderr());
        Error::new(error.kind, "start", format!("`{}`", server.command()), why.trim_end())
    })
}

/// Whether a line of /proc/net/tcp or udp, or of tcp6 or udp6, is a socket that waits at `port`, written as `:1451`. The second column is the local address;
/// in the fourth, 0A listens over TCP, and 07 is what a socket of UDP is that has no peer (include/net/tcp_states.h).
fn is_listening(line: &str, port: &str) -> bool {
    let columns: Vec<&str> = line.split_whitespace().take(4).collect();
    matches!(columns.as_slice(), [_, local, _, "0A" | "07"] if local.ends_with(port))
}

/// Runs a client to its end, which comes within its load's time and some patience.
fn client(peers: &Peers<'_>, argv: &[String], affinity: Affinity, lasts: Duration) -> Result<Output> {
    start(peers.client, argv, affinity)?.wait(lasts + PATIENCE)
}

/// Whole seconds, at least one, not less than `time`.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs((time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1))
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// What it said makes no sense.
fn unreadable(tool: Tool, said: &str) -> Error {
    let last: Vec<_> = said.trim().lines().rev().take(5).collect();
    let last: Vec<_> = last.into_iter().rev().collect();
    let why = if last.is_empty() { "it said nothing".into() } else { format!("it said:\n{}", last.join("\n")) };
    Error::new(Kind::Failed, "measure with", tool.id(), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_that_waits_at_the_port_listens() {
        let line =
            |local: &str, state: &str| format!("   0: {local} 00000000:0000 {state} 00000000:00000000 00:0000 0");
        assert!(is_listening(&line("0209090A:1451", "0A"), ":1451"));
        assert!(is_listening(&line("0209090A:1451", "07"), ":1451"));
        assert!(!is_listening(&line("0209090A:1451", "01"), ":1451"), "a connection");
        assert!(!is_listening(&line("0209090A:1452", "0A"), ":1451"), "another port");
        assert!(!is_listening("  sl  local_address rem_address   st", ":1451"));
    }

    #[test]
    fn times_are_what_the_programs_can_do() {
        let times = |tool: Tool, millis| {
            tool.times(Duration::from_millis(millis)).expect("it can").map(|times| times.map(|t| t.as_millis()))
        };
        assert_eq!(times(Tool::Fwd, 120), None);
        assert_eq!(times(Tool::Iperf3, 120), Some([1_000, 0]));
        assert_eq!(times(Tool::Iperf3, 2_001), Some([3_000, 0]));
        assert_eq!(times(Tool::Sockperf, 120), Some([500, 400]));
        assert_eq!(times(Tool::Sockperf, 501), Some([1_500, 400]));
        let error = Tool::Sockperf.times(Duration::from_secs(60)).expect_err("its log is in memory");
        assert!(error.kind == Kind::Usage && error.remedy.is_some(), "{error}");
    }

    #[test]
    fn versions_are_what_the_programs_say() {
        assert_eq!(version_in("iperf 3.12 (cJSON 1.7.15)\nLinux vm 6.18\n").as_deref(), Some("iperf 3.12"));
        assert_eq!(version_in("\nsockperf, version 3.7-no.git\n   compiled\n").as_deref(), Some("sockperf 3.7-no.git"));
        assert_eq!(version_in("\n"), None);
    }
}
