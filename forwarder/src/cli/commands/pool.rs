//! `fwd pool`.

use clap::{Args, Subcommand};

use super::up::{self, TableArgs};
use crate::{
    Result,
    cli::{
        args::{NetworkArgs, choice, defaults},
        session::Session,
    },
    dataplane::Backend,
    execute::{self, DownResult, Observer, Pool, PoolRequest, Pooled},
    netns::Name,
    reconcile::{TargetRef, UpRequest},
    render::{PoolChange, PoolRemoval, PooledView},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd pool 8                     the next eight `fwd up --ns NAME` take a few milliseconds each
  fwd pool 8 --refill            make what was taken since: for a timer (contrib/fwd-pool.timer)
  fwd pool 4 --network web       of another network, made if missing
  fwd pool ls
  fwd pool rm                    take all of them down";

/// `fwd pool`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, arg_required_else_help = true)]
pub(crate) struct PoolArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PoolCommand>,
    /// How many there are to be in the pool of the network
    #[arg(value_name = "N", required = true, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) size: Option<u16>,
    /// Only make what is missing, or not as it was left, and only where the network is up
    #[arg(long)]
    pub(crate) refill: bool,
    #[arg(long, value_name = "NAME")]
    #[arg(help = defaults::told("Network that they are to join, made if missing", defaults::NETWORK))]
    pub(crate) network: Option<String>,
    #[arg(long, value_name = "KIND", value_parser = choice(&Backend::ALL, Backend::name))]
    #[arg(help = defaults::told("How the program is attached to the host-side veths: an `up` takes one \
        that is attached as it asks", defaults::attach()))]
    pub(crate) attach: Option<Backend>,
    // Last: their headings go on to the end.
    #[command(flatten)]
    pub(crate) options: NetworkArgs,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

/// The commands of `fwd pool`.
#[derive(Debug, Subcommand)]
pub(crate) enum PoolCommand {
    /// List what is in the pools, and whether it is as it was left
    #[command(alias = "list")]
    Ls,
    /// Take down all that is in the pools
    #[command(alias = "del")]
    Rm,
}

/// Prepares, lists or removes.
pub(super) fn run(session: &mut Session<'_, '_>, args: &PoolArgs, observer: &mut dyn Observer) -> Result<()> {
    match args.command {
        Some(PoolCommand::Ls) => ls(session),
        Some(PoolCommand::Rm) => rm(session, observer),
        None => fill(session, args, observer),
    }
}

fn fill(session: &mut Session<'_, '_>, args: &PoolArgs, observer: &mut dyn Observer) -> Result<()> {
    let PoolArgs { command: _, size, refill, network, attach, options, table } = args;
    let up = UpRequest {
        network: network.as_deref().map(|name| Name::of("a network", name)).transpose()?,
        table: up::table::request(table)?,
        // Each has a name of its own.
        options: options.asked()?,
        ..UpRequest::new(TargetRef::Named(Name::try_from("pool")?))
    };
    let up = up.with_endpoint(|it| it.attach = *attach);
    let request = PoolRequest { up, size: size.unwrap_or_default().into(), refill: *refill };
    let filled = execute::fill(&session.context(), &request, observer)?;
    let Pool { network, size, made, removed, is_up, warnings } = filled;
    session.warn(&warnings)?;
    session.emit(&PoolChange { network: network.into(), size, made, removed, up: is_up })
}

fn ls(session: &mut Session<'_, '_>) -> Result<()> {
    let view = |Pooled { record, changed }| PooledView {
        network: record.network.clone().into(),
        ns: record.ns.clone().unwrap_or_default().into(),
        addresses: record.addresses().collect(),
        host_if: record.host_if.clone().into(),
        attach: record.attach.name().into(),
        changed: changed.map(Into::into),
    };
    let views: Vec<PooledView> = execute::pool(&session.context())?.into_iter().map(view).collect();
    session.emit(&views)
}

fn rm(session: &mut Session<'_, '_>, observer: &mut dyn Observer) -> Result<()> {
    let DownResult { changed, removed, warnings, .. } = execute::remove_pool(&session.context(), observer)?;
    session.warn(&warnings)?;
    session.emit(&PoolRemoval { changed, removed: removed.into_iter().map(Into::into).collect() })
}
