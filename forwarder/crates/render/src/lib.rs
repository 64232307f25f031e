//! How results and errors look: JSON documents with stable keys (docs/json.md), and text for people.
//!
//! Every result is a view: a struct that serialises to its JSON document and knows its text. Views hold no kernel types, so
//! that they can be made by hand in tests.

mod change;
mod doctor;
mod endpoint;
mod error;
pub mod facts;
mod features;
mod flow;
mod graph;
mod heat;
mod host;
mod inspect;
mod latency;
mod list;
mod names;
mod namespace;
mod nat;
mod network;
mod place;
mod plan;
mod policy;
mod pool;
mod publish;
mod reload;
mod round_trips;
mod stat;
pub mod table;
mod trace;
pub mod units;
mod up;
mod uplink;

use std::io::{self, Write};

use serde::Serialize;

pub use change::{AppliedView, ChangeView, ChangesView, ValidView};
pub use doctor::{CheckView, DoctorView, FindingView};
pub use endpoint::{EndpointView, FlowCounts, UPLINK_STATES, XdpView};
pub use error::{write_error, write_usage_error, write_warning};
pub use features::FeatureView;
pub use flow::FlowView;
pub use graph::{BRIDGE_OWNERS, GraphBridge, GraphPort, GraphUplink, GraphView, write_dot, write_svg};
pub use host::{CollectedView, GcView, HostView};
pub use inspect::{InspectView, InterfaceView, PeerView, PortView};
pub use latency::{
    LatencyCost, LatencyFigures, LatencyHead, LatencyInterval, LatencyPathView, LatencyView, LatencyWay,
};
pub use list::write_json_list;
pub use names::NamesView;
pub use namespace::{NamespaceChange, NamespaceView, ProcessView, WhereView};
pub use nat::{LsView, NatView, PortsView, RetriesView, TableView};
pub use network::{NetworkChange, NetworkRemoval, NetworkView};
pub use place::PlaceView;
pub use plan::{DownView, PlanView, StepView};
pub use policy::{PolicyView, RateView, RuleView};
pub use pool::{PoolChange, PoolRemoval, PooledView};
pub use publish::{PortsChange, PublishedView};
pub use reload::{ProgramsView, ReloadView};
pub use round_trips::{RoundTripInterval, RoundTripView};
pub use stat::{StatView, StatsView};
pub use table::terminal_width;
pub use trace::{TraceHead, TraceLine, TraceView, write_trace_reasons};
pub use up::UpView;
pub use uplink::{UPLINK_REASONS, UplinkView, UplinksChange};

/// How text is written: what the terminal can show, and what hints start with.
#[derive(Clone, Debug)]
pub struct Look {
    /// Whether to colour.
    pub color: bool,
    /// Columns of the terminal; `None` when the output is not one, and lines may be as long as they like.
    pub width: Option<u16>,
    /// What a hint starts with: `fwd` and the global options that the user gave.
    pub fwd: String,
}

/// A result that can be shown.
pub trait View: Serialize {
    /// Writes the text for people.
    ///
    /// # Errors
    /// Those of `out`.
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()>;
}

/// A list of results is a top-level array in JSON and one text.
pub trait Listing: Serialize + Sized {
    /// Writes the text of all `items`.
    ///
    /// # Errors
    /// Those of `out`.
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()>;
}

impl<T: Listing> View for Vec<T> {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        T::text(self, look, out)
    }
}

/// Writes the JSON document of `view`, indented, with a newline at its end.
///
/// # Errors
/// Those of `out`.
pub fn write_json(view: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, view)?;
    writeln!(out)
}

/// Writes the JSON document of `view` on a line.
///
/// # Errors
/// Those of `out`.
pub fn write_json_line(view: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, view)?;
    writeln!(out)
}

/// What a piece of text means; decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As everything else.
    Plain,
    /// Titles.
    Strong,
    /// What matters less.
    Dim,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Failed.
    Bad,
    /// What one may type.
    Hint,
}

impl Tone {
    /// The SGR parameters (ECMA-48 §8.3.117).
    const fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "1;31",
            Self::Hint => "36",
        }
    }
}

impl Look {
    /// `text` in the colour of `tone`, where colours are shown.
    #[must_use]
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.color || tone == Tone::Plain || text.is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{}m{text}\x1b[0m", tone.sgr())
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
