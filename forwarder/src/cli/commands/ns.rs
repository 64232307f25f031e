//! `fwd ns`.

use clap::{Args, Subcommand};

use crate::{
    Result,
    cli::session::Session,
    execute,
    netns::{self, Membership, Name, Netns},
    query::namespace::{process as process_view, view},
    render::{NamespaceChange, WhereView},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd ns add mynet       as `ip netns add mynet`
  fwd ns ls --all        also those without a name, such as containers
  fwd ns of 4711 4712    where these processes are, and who is there with them";

/// `fwd ns`.
#[derive(Args, Debug)]
pub(crate) struct NsArgs {
    #[command(subcommand)]
    pub(crate) command: NsCommand,
}

/// The commands of `fwd ns`.
#[derive(Debug, Subcommand)]
#[command(arg_required_else_help = true, subcommand_required = true, after_help = HELP)]
pub(crate) enum NsCommand {
    /// Make an empty namespace, as `ip netns add` does
    Add {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Delete a namespace that is in no network of fwd
    #[command(alias = "del")]
    Rm {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the namespaces that have a name
    #[command(alias = "list")]
    Ls {
        /// Also those without a name: every network namespace of the machine
        #[arg(long)]
        all: bool,
    },
    /// Tell in which namespace processes are, and who shares it
    Of {
        /// Processes
        #[arg(value_name = "PID", required = true)]
        pids: Vec<u32>,
    },
}

/// Makes, deletes, lists and finds namespaces.
pub(super) fn run(session: &mut Session<'_, '_>, args: &NsArgs) -> Result<()> {
    match &args.command {
        NsCommand::Add { name } => add(session, name),
        NsCommand::Rm { name } => rm(session, name),
        NsCommand::Ls { all } => ls(session, *all),
        NsCommand::Of { pids } => of(session, pids),
    }
}

fn add(session: &mut Session<'_, '_>, name: &str) -> Result<()> {
    let name = Name::try_from(name)?;
    let made = Netns::create_named(&name, |_| Ok(()))?;
    let netns_inode = Some(made.inode()?);
    session.emit(&NamespaceChange { ns: name.as_str().into(), netns_inode, changed: true })
}

fn rm(session: &mut Session<'_, '_>, name: &str) -> Result<()> {
    let name = Name::try_from(name)?;
    let changed = execute::remove_namespace(&session.context(), &name)?;
    session.emit(&NamespaceChange { ns: name.as_str().into(), netns_inode: None, changed })
}

fn ls(session: &mut Session<'_, '_>, all: bool) -> Result<()> {
    let (host, caller) = (&session.at.host, &session.at.caller);
    let listed = if all { netns::list_all(host, caller)? } else { netns::list_named(host, caller)? };
    session.emit(&listed.into_iter().map(view).collect::<Vec<_>>())
}

fn of(session: &mut Session<'_, '_>, pids: &[u32]) -> Result<()> {
    let caller = session.at.caller.inode()?;
    let place = |pid: &u32| {
        let Membership { process, inode, names, is_host, shared_with, complete } =
            netns::of_pid(*pid, &session.at.host)?;
        let names = names.into_iter().map(Into::into).collect();
        let shared_with = shared_with.iter().map(process_view).collect();
        let process = process_view(&process);
        Ok(WhereView { process, inode, names, host: is_host, caller: inode == caller, shared_with, complete })
    };
    let views = pids.iter().map(place).collect::<Result<Vec<_>>>()?;
    session.emit(&views)
}
