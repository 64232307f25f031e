//! `fwd bench`.

use clap::Args;

use super::ExportArgs;

/// `fwd bench`.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Paths to compare, separated by commas [default: all that this machine has]
    #[arg(long, value_name = "PATH,...", value_delimiter = ',')]
    pub(crate) paths: Vec<String>,
    /// What to measure, separated by commas [default: everything]
    #[arg(long, value_name = "METRIC,...", value_delimiter = ',')]
    pub(crate) metrics: Vec<String>,
    /// How often each path is measured, in turn [default: 7]
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<String>,
    /// How long each measurement takes [default: 250ms]
    #[arg(long, value_name = "TIME")]
    pub(crate) duration: Option<String>,
    /// 3 rounds of 100ms: enough for a look
    #[arg(long, conflicts_with_all = ["rounds", "duration"])]
    pub(crate) quick: bool,
    /// Bytes of a request, and of its reply
    #[arg(long, value_name = "BYTES", default_value = "64")]
    pub(crate) size: String,
    /// TCP connections at once, for streams
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) streams: String,
    /// Namespaces that are up, of which one is measured; also shows the growth from 1 to N
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) namespaces: String,
    /// Flows beside the measured one; also shows the growth from 0 to N
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) flows: String,
    #[command(flatten)]
    pub(crate) export: ExportArgs,
}
