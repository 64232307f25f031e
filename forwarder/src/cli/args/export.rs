//! Files that a result is written to besides.

use std::path::PathBuf;

use clap::Args;

/// Where else the result of `fwd bench` is written.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ExportArgs {
    /// Also write the result to FILE as JSON (docs/json.md)
    #[arg(long, value_name = "FILE", help_heading = "Exports")]
    pub(crate) export_json: Option<PathBuf>,
    /// Also write the tables to FILE as Markdown
    #[arg(long, value_name = "FILE", help_heading = "Exports")]
    pub(crate) export_markdown: Option<PathBuf>,
    /// Also write a page with plots to FILE, which needs nothing else
    #[arg(long, value_name = "FILE", help_heading = "Exports")]
    pub(crate) export_html: Option<PathBuf>,
    /// Also write the distributions to FILE as an HdrHistogram log, tagged by path and metric
    #[arg(long, value_name = "FILE", help_heading = "Exports")]
    pub(crate) export_hdr: Option<PathBuf>,
}
