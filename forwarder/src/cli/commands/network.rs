//! `fwd network`.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};

use super::up::{self, TableArgs};
use crate::{
    Error, Kind, Result,
    cli::{
        args::{NetworkArgs, sources},
        session::Session,
    },
    execute::{self, Applied, DownResult, Observer},
    netns::Name,
    query::State,
    reconcile::{DownRequest, Network, NetworkRequest, NetworkScope, TableRequest},
    render::{NetworkChange, NetworkRemoval},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd network add web --subnet 10.0.0.0/24   then `fwd up --ns NAME --network web`
  fwd network add vault --internal           nothing leaves it
  fwd network add web --allow-network db     they reach each other once db allows web, too
  fwd network ls
  fwd network rm web --force                 with the namespaces that are in it";

/// `fwd network`.
#[derive(Args, Debug)]
pub(crate) struct NetworkCommandArgs {
    #[command(subcommand)]
    pub(crate) command: NetworkCommand,
}

/// The commands of `fwd network`.
#[derive(Debug, Subcommand)]
#[command(arg_required_else_help = true, subcommand_required = true, after_help = HELP)]
pub(crate) enum NetworkCommand {
    /// Make a network, which stays when its last namespace goes
    Add(Box<AddArgs>),
    /// Withdraw what a network has allowed others: they reach it no more
    Forbid(ForbidArgs),
    /// Remove a network that no namespace is in
    #[command(alias = "del")]
    Rm(RmArgs),
    /// List the networks
    #[command(alias = "list")]
    Ls,
}

/// `fwd network add`.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// Its name, which its bridge has too where an interface may be called so
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Network that may reach this one, once it has allowed this one too; several times for
    /// several; given for a network that is there, it holds from then on
    #[arg(long = "allow-network", value_name = "NAME")]
    pub(crate) allow_networks: Vec<String>,
    /// Address of the host, or a range, behind which namespaces appear that come from now on
    /// and ask for none [default: the one that the host would take]
    #[arg(long, value_name = "ADDR[-ADDR]")]
    pub(crate) source: Option<String>,
    /// The same of IPv6
    #[arg(long, value_name = "ADDR[-ADDR]")]
    pub(crate) source6: Option<String>,
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    // Last: their headings go on to the end.
    #[command(flatten)]
    pub(crate) options: NetworkArgs,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

/// `fwd network forbid`.
#[derive(Args, Debug)]
pub(crate) struct ForbidArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Networks that may not reach it any more
    #[arg(value_name = "OTHER", required = true)]
    pub(crate) others: Vec<String>,
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `fwd network rm`.
#[derive(Args, Debug)]
pub(crate) struct RmArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Take down the namespaces that are in it, too
    #[arg(long)]
    pub(crate) force: bool,
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Makes, removes or lists networks.
pub(super) fn run(session: &mut Session<'_, '_>, args: &NetworkCommandArgs, observer: &mut dyn Observer) -> Result<()> {
    match &args.command {
        NetworkCommand::Add(args) => add(session, args, observer),
        NetworkCommand::Forbid(args) => forbid(session, args, observer),
        NetworkCommand::Rm(args) => rm(session, args, observer),
        NetworkCommand::Ls => ls(session),
    }
}

fn add(session: &mut Session<'_, '_>, args: &AddArgs, observer: &mut dyn Observer) -> Result<()> {
    let AddArgs { name, options, table, allow_networks, source, source6, dry_run } = args;
    let source = sources(source.as_deref(), source6.as_deref())?;
    let network = Network { allow_networks: names(allow_networks)?, kept: true, source, ..options.asked()? };
    let name = Name::of("a network", name)?;
    change(
        session,
        NetworkRequest { name, network, forbid: BTreeSet::new(), table: up::table::request(table)? },
        *dry_run,
        observer,
    )
}

fn forbid(session: &mut Session<'_, '_>, args: &ForbidArgs, observer: &mut dyn Observer) -> Result<()> {
    let ForbidArgs { name, others, dry_run } = args;
    let (network, table) = (Network::default(), TableRequest::default());
    let request = NetworkRequest { name: Name::of("a network", name)?, network, forbid: names(others)?, table };
    change(session, request, *dry_run, observer)
}

/// Names of other networks.
fn names(words: &[String]) -> Result<BTreeSet<String>> {
    words.iter().map(|name| Name::of("a network", name).map(|name| name.to_string())).collect()
}

fn change(
    session: &mut Session<'_, '_>,
    request: NetworkRequest,
    dry_run: bool,
    observer: &mut dyn Observer,
) -> Result<()> {
    if dry_run {
        let planned = execute::dry_network(&session.context(), &request)?;
        return session.emit_plan(planned);
    }
    let Applied { changed, warnings } = execute::add_network(&session.context(), &request, observer)?;
    session.warn(&warnings)?;
    let name = &request.name;
    let views = State::read(&session.at)?.map(|state| state.network_views()).transpose()?.unwrap_or_default();
    let found = views.into_iter().find(|it| it.network.exact() == name.as_str());
    let network = found.ok_or_else(|| {
        Error::new(Kind::Failed, "find", format!("network {name}"), "it was removed at the same moment")
    })?;
    session.emit(&NetworkChange { network, changed })
}

fn rm(session: &mut Session<'_, '_>, args: &RmArgs, observer: &mut dyn Observer) -> Result<()> {
    let RmArgs { name, force, dry_run } = args;
    let scope = NetworkScope { name: Name::of("a network", name)?.to_string(), force: *force };
    let request = DownRequest { network: Some(scope), ..DownRequest::default() };
    if *dry_run {
        let planned = execute::dry_down(&session.context(), &request)?;
        return session.emit_plan(planned);
    }
    let DownResult { changed, removed, warnings, .. } = execute::down(&session.context(), &request, observer)?;
    session.warn(&warnings)?;
    let removed = removed.into_iter().map(Into::into).collect();
    session.emit(&NetworkRemoval { network: name.as_str().into(), changed, removed })
}

fn ls(session: &mut Session<'_, '_>) -> Result<()> {
    let state = State::read(&session.at)?;
    session.emit(&state.map(|state| state.network_views()).transpose()?.unwrap_or_default())
}
