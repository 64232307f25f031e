//! `fwd port`.

use clap::{Args, Subcommand};

use crate::{
    Result,
    cli::{
        args::{TargetArgs, parsed_ports},
        session::Session,
        target,
    },
    dataplane::PublishedPorts,
    execute::{self, Applied, Observer},
    query::{State, not_up},
    reconcile::{PortRequest, TargetRef},
    render::PortsChange,
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd port add web -p 8080:80                       from outside, the host's port 8080 leads to port 80 of web
  fwd port add web -p 192.0.2.7:53:53/udp           at one address of the host
  fwd port add web -p '[2001:db8::7]:443:443'       at one of IPv6, where the network has that; without an address: over both
  fwd port add web -p 22:22 --publish-from 10.0.0.0/8
  fwd port add web -p 30000-39999:30000-39999/udp   a range
  fwd port rm web -p 8080:80
  fwd port ls";

/// `fwd port`.
#[derive(Args, Debug)]
pub(crate) struct PortArgs {
    #[command(subcommand)]
    pub(crate) command: PortCommand,
}

/// The commands of `fwd port`.
#[derive(Debug, Subcommand)]
#[command(arg_required_else_help = true, subcommand_required = true, after_help = HELP)]
pub(crate) enum PortCommand {
    /// Publish ports of the host for a namespace that is up
    Add(AddArgs),
    /// Withdraw published ports; conversations that began by them end
    #[command(alias = "del")]
    Rm(ChangeArgs),
    /// List the published ports
    #[command(alias = "list")]
    Ls(LsArgs),
}

/// `fwd port add`.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Who may use them: prefixes of addresses, such as 192.0.2.0/24,2001:db8::/32; without it, all
    #[arg(long, value_name = "CIDRS")]
    pub(crate) publish_from: Option<String>,
}

/// `fwd port add` and `fwd port rm`.
#[derive(Args, Debug)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Interface inside, where the namespace has several [default: eth0, or the only one]
    #[arg(long, value_name = "IFACE")]
    pub(crate) ifname: Option<String>,
    /// Ports: [HOSTIP:]PORT[-END]:PORT[-END][/tcp|udp], such as 8080:80; several times for several
    #[arg(short = 'p', long, value_name = "PORTS", required = true)]
    pub(crate) publish: Vec<String>,
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `fwd port ls`.
#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Publishes, withdraws or lists ports.
pub(super) fn run(session: &mut Session<'_, '_>, args: &PortArgs, observer: &mut dyn Observer) -> Result<()> {
    match &args.command {
        PortCommand::Add(AddArgs { change: args, publish_from }) => {
            let add = parsed_ports(&args.publish, publish_from.as_deref())?;
            change(session, args, add, Vec::new(), observer)
        }
        PortCommand::Rm(args) => change(session, args, Vec::new(), parsed_ports(&args.publish, None)?, observer),
        PortCommand::Ls(args) => ls(session, args),
    }
}

fn change(
    session: &mut Session<'_, '_>,
    args: &ChangeArgs,
    add: Vec<PublishedPorts>,
    remove: Vec<PublishedPorts>,
    observer: &mut dyn Observer,
) -> Result<()> {
    let ChangeArgs { target, ifname, publish: _, dry_run } = args;
    let target = target::required(target)?;
    let request = PortRequest { target: target.clone(), ifname: ifname.clone(), add, remove };
    if *dry_run {
        let planned = execute::dry_ports(&session.context(), &request)?;
        return session.emit_plan(planned);
    }
    let Applied { changed, warnings } = execute::change_ports(&session.context(), &request, observer)?;
    session.warn(&warnings)?;
    let published = state(session, Some(&target))?.map(|state| state.published_ports()).transpose()?;
    let published = published.unwrap_or_default().into_iter().map(|it| it.published).collect();
    session.emit(&PortsChange { ns: target.label().into(), changed, published })
}

fn ls(session: &mut Session<'_, '_>, args: &LsArgs) -> Result<()> {
    let target = target::given(&args.target)?;
    let state = state(session, target.as_ref())?;
    session.emit(&state.map(|state| state.published_ports()).transpose()?.unwrap_or_default())
}

/// What is up, or the namespace that is meant.
fn state(session: &Session<'_, '_>, target: Option<&TargetRef>) -> Result<Option<State>> {
    let mut state = State::read(&session.at)?;
    match (&mut state, target) {
        (Some(state), Some(target)) => state.endpoints = state.of(target)?,
        (None, Some(target)) => return Err(not_up(target, None)),
        (_, None) => {}
    }
    Ok(state)
}
