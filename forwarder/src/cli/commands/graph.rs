//! `fwd graph`.

use clap::Args;

use crate::{
    Result,
    cli::{args::choice, session::Session},
    query::{State, graph},
    render::{GraphView, write_dot, write_svg},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Bridges of others are shown, too: docker0 with its containers.

Examples:
  fwd graph
  fwd graph svg > networks.svg       for a browser, light or dark
  fwd graph dot | dot -Tpdf > networks.pdf
  fwd graph json";

/// How it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Svg,
    Dot,
    Json,
}

impl Format {
    const ALL: [Self; 4] = [Self::Text, Self::Svg, Self::Dot, Self::Json];

    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Svg => "svg",
            Self::Dot => "dot",
            Self::Json => "json",
        }
    }
}

/// `fwd graph`.
#[derive(Args, Debug)]
pub(crate) struct GraphArgs {
    /// How it is drawn
    #[arg(value_name = "FORMAT", value_parser = choice(&Format::ALL, Format::name), default_value = Format::Text.name())]
    pub(crate) format: Format,
}

/// Shows what is connected to what.
pub(super) fn run(session: &mut Session<'_, '_>, args: &GraphArgs) -> Result<()> {
    let state = State::read(&session.at)?;
    let view: GraphView = graph(&session.at, state.as_ref())?;
    match args.format {
        Format::Json => session.emit_json(&view),
        _ if session.is_json() => session.emit_json(&view),
        Format::Text => session.emit(&view),
        Format::Svg => session.emit_part(|_, out| write_svg(&view, out)),
        Format::Dot => session.emit_part(|_, out| write_dot(&view, out)),
    }
}
