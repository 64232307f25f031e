//! What `fwd bench` takes.

use clap::{Args, Subcommand};

use crate::{
    bench::{Family, Metric, Path},
    cli::args::{ExportArgs, choice, defaults},
    dataplane::Backend,
};

/// Paths, metrics and examples below the help.
pub(in crate::cli::commands) fn help() -> String {
    let paths: String = Path::every().map(|path| format!("  {:<17}  {}\n", path.id(), path.what())).collect();
    let (usual, named): (Vec<Metric>, Vec<Metric>) = Metric::ALL.into_iter().partition(|it| Metric::USUAL.contains(it));
    let [usual, named] = [usual, named].map(|metrics| {
        metrics.into_iter().map(|metric| format!("  {:<17}  {}\n", metric.id(), metric.what())).collect::<String>()
    });
    format!(
        "Everything happens in network namespaces of its own, which go with it.\n\nPaths:\n{paths}\nMetrics:\n{usual}\nMetrics that are measured when they are named:\n{named}\n{EXAMPLES}"
    )
    .replace('`', "")
}

const EXAMPLES: &str = "\
Examples:
  fwd bench                                  all of it, in two minutes
  fwd bench --quick                          the same roughly, in a quarter
  fwd bench --paths host,fwd-tc --metrics tcp-rr --rounds 31
  fwd bench --metrics tcp-rr --namespaces 100   how latency grows with them
  fwd bench --metrics udp-throughput,udp-establish,tcp-establish,tcp-teardown
                                             what a NAT is measured by (RFC 9693)
  fwd bench --rate 20000 --duration 2s       latency of a load that does not wait
  fwd bench --family 6                       the same over IPv6
  fwd bench --published                      the way in to a published port
  fwd bench --with sockperf --paths host,fwd-tc  what another program says
  fwd bench --export-html bench.html         tables, and a page with plots
  fwd bench --json > bench.json
  fwd bench --serve                          on another machine, and then here:
  fwd bench --ns mynet --target 192.0.2.7:5210 --token k7qf-2m3x-9dwa-p5bt
                                             what is really between them

--serve lets in who knows its token, but encrypts nothing: it is for networks
whose traffic no stranger can read.";

/// `fwd bench`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    /// Paths to compare, separated by commas [default: all that this machine has]
    #[arg(long, value_name = "PATH,...", value_delimiter = ',')]
    pub(crate) paths: Vec<String>,
    /// Protocol of the addresses
    #[arg(long, value_name = "4|6", value_parser = choice(&Family::ALL, Family::id), default_value = Family::V4.id())]
    pub(crate) family: Family,
    /// Measure from outside to a published port, instead of from a namespace to the outside
    #[arg(long)]
    pub(crate) published: bool,
    /// What to measure, separated by commas [default: the first seven below]
    #[arg(long, value_name = "METRIC,...", value_delimiter = ',')]
    pub(crate) metrics: Vec<String>,
    #[arg(long, value_name = "N")]
    #[arg(help = defaults::told("How often each path is measured, in turn", defaults::ROUNDS[0]))]
    pub(crate) rounds: Option<String>,
    #[arg(long, value_name = "TIME")]
    #[arg(help = defaults::told("How long each measurement takes", defaults::bench_duration()) + "; with --serve, when to end")]
    pub(crate) duration: Option<String>,
    #[arg(long, conflicts_with_all = ["rounds", "duration"])]
    #[arg(help = format!("{} rounds of {}: enough for a look", defaults::ROUNDS[1], defaults::quick_duration()))]
    pub(crate) quick: bool,
    /// Bytes of a request, and of its reply
    #[arg(long, value_name = "BYTES", default_value = "64")]
    pub(crate) size: String,
    /// TCP connections at once, for streams
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) streams: String,
    /// Requests per second at fixed times, for round trips (tcp-rr, udp-rr): a late one counts from when it was due [default: the next when the last is answered]
    #[arg(long, value_name = "N", conflicts_with = "with")]
    pub(crate) rate: Option<String>,
    /// Namespaces that are up, of which one is measured; also shows the growth from 1 to N
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) namespaces: String,
    /// Flows beside the measured one; also shows the growth from 0 to N
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) flows: String,
    /// Who makes the load, as a cross-check [default: fwd itself; iperf3: TCP streams, sockperf: round trips]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) with: Option<String>,
    /// Measure from a namespace to `fwd bench --serve` elsewhere, over what is really there
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = SANDBOXED)]
    pub(crate) target: Option<String>,
    /// Measure from this namespace [default: the host itself]
    #[arg(long, value_name = "NAME", requires = "target")]
    pub(crate) ns: Option<String>,
    /// Measure from the namespace of this process
    #[arg(long, value_name = "PID", requires = "target", conflicts_with = "ns")]
    pub(crate) pid: Option<u32>,
    /// Measure from this container
    #[arg(long, value_name = "NAME|ID", requires = "target", conflicts_with_all = ["ns", "pid"])]
    pub(crate) container: Option<String>,
    /// The token that `fwd bench --serve` printed there
    #[arg(long, value_name = "TOKEN", requires = "target", env = "FWD_BENCH_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, conflicts_with_all = MEASURING, conflicts_with_all = SANDBOXED)]
    #[arg(help = defaults::told("Serve `fwd bench --target` of others who know the token that it prints, one at a time, until \
        Ctrl-C or for --duration. Gives up root's rights first", defaults::serve()))]
    pub(crate) serve: Option<Option<String>>,
    /// End when the first client is served
    #[arg(long, requires = "serve")]
    pub(crate) once: bool,
    #[arg(long, value_name = "TIME", requires = "serve")]
    #[arg(help = defaults::told("How long --serve serves one client at most", defaults::max_time()))]
    pub(crate) max_time: Option<String>,
    /// Bits per second that a client of --serve may have, such as 500M [default: as it goes]
    #[arg(long, value_name = "RATE", requires = "serve")]
    pub(crate) max_rate: Option<String>,
    #[command(flatten)]
    pub(crate) export: ExportArgs,
}

/// `fwd bench …`.
#[derive(Subcommand, Debug)]
pub(crate) enum BenchCommand {
    /// Measure what up, down and flows take, with few and with many namespaces
    Control(ControlArgs),
}

/// `fwd bench control`.
#[derive(Args, Debug)]
pub(crate) struct ControlArgs {
    /// Numbers of namespaces, separated by commas
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,10,100,1000")]
    pub(crate) sizes: Vec<String>,
    /// Networks that they are spread over; a bridge takes 1023 ports
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) networks: String,
    /// How programs are attached to host-side veths, as for `fwd up` [default: as it does]
    #[arg(long, value_name = "KIND", value_parser = choice(&Backend::CHOICES, Backend::name))]
    pub(crate) attach: Option<Backend>,
    /// Hosts of each size up to 300 namespaces; of larger ones, one
    #[arg(long, value_name = "N", default_value = "3")]
    pub(crate) rounds: String,
    /// Flows in the table that `flows --json` reads; 0: leave that out
    #[arg(long, value_name = "N", default_value = "1000000")]
    pub(crate) flows: String,
}

/// What only a comparison in sandboxes has.
const SANDBOXED: [&str; 6] = ["paths", "family", "published", "namespaces", "flows", "with"];
/// What a server is told by its clients.
const MEASURING: [&str; 7] = ["metrics", "rounds", "quick", "size", "streams", "rate", "target"];
