//! `fwd uplink`.

use clap::{Args, Subcommand};

use crate::{
    Result,
    cli::{args::choice, session::Session},
    dataplane::TcxOrder,
    execute::{self, Applied, Observer},
    query::State,
    reconcile::UplinkRequest,
    render::UplinksChange,
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd uplink ls              what networks leave by, who asked for it, and whether it is guarded
  fwd uplink add wg0         an interface that came after the last `fwd up`, or that replies come in by
  fwd uplink add eth0 --tcx-order last   let programs of others see packets first
  fwd uplink rm wg0";

/// `fwd uplink`.
#[derive(Args, Debug)]
pub(crate) struct UplinkArgs {
    #[command(subcommand)]
    pub(crate) command: UplinkCommand,
}

/// The commands of `fwd uplink`.
#[derive(Debug, Subcommand)]
#[command(arg_required_else_help = true, subcommand_required = true, after_help = HELP)]
pub(crate) enum UplinkCommand {
    /// Make interfaces of the host uplinks, by which networks may leave and replies come in
    Add(AddArgs),
    /// Make interfaces of the host no uplinks any more
    #[command(alias = "del")]
    Rm(ChangeArgs),
    /// List the uplinks, and what routes lead by without being one
    #[command(alias = "list")]
    Ls(LsArgs),
}

/// `fwd uplink add`.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Where its programs stand among those of others at TCX: before all, or behind all that are there, which have to hand packets on.
    /// Without it, where they stood: before, unless it was asked for
    #[arg(long, value_name = "ORDER", value_parser = choice(&TcxOrder::ALL, TcxOrder::name))]
    tcx_order: Option<TcxOrder>,
}

/// `fwd uplink rm`, and what `fwd uplink add` has of it.
#[derive(Args, Debug)]
pub(crate) struct ChangeArgs {
    /// Interfaces of the host
    #[arg(required = true, value_name = "INTERFACE")]
    pub(crate) interfaces: Vec<String>,
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `fwd uplink ls`.
#[derive(Args, Debug)]
pub(crate) struct LsArgs {}

/// Adds, removes or lists uplinks.
pub(super) fn run(session: &mut Session<'_, '_>, args: &UplinkArgs, observer: &mut dyn Observer) -> Result<()> {
    match &args.command {
        UplinkCommand::Add(AddArgs { change: ChangeArgs { interfaces, dry_run }, tcx_order }) => {
            let request = UplinkRequest { add: interfaces.clone(), remove: Vec::new(), order: *tcx_order };
            change(session, &request, *dry_run, observer)
        }
        UplinkCommand::Rm(ChangeArgs { interfaces, dry_run }) => {
            let request = UplinkRequest { add: Vec::new(), remove: interfaces.clone(), order: None };
            change(session, &request, *dry_run, observer)
        }
        UplinkCommand::Ls(LsArgs {}) => {
            let state = State::read(&session.at)?;
            session.emit(&state.map(|state| state.uplinks()).transpose()?.unwrap_or_default())
        }
    }
}

fn change(
    session: &mut Session<'_, '_>,
    request: &UplinkRequest,
    dry_run: bool,
    observer: &mut dyn Observer,
) -> Result<()> {
    if dry_run {
        let planned = execute::dry_uplinks(&session.context(), request)?;
        return session.emit_plan(planned);
    }
    let Applied { changed, warnings } = execute::change_uplinks(&session.context(), request, observer)?;
    session.warn(&warnings)?;
    let state = State::read(&session.at)?;
    let uplinks = state.map(|state| state.uplinks()).transpose()?.unwrap_or_default();
    let guarded = uplinks.into_iter().filter(|uplink| uplink.guarded).map(|uplink| uplink.uplink);
    session.emit(&UplinksChange { changed, uplinks: guarded.collect() })
}
