//! The commands, a file each: its arguments, its examples, a request to the library and a view out. A command is a file here, a
//! variant of [`Command`] and how it runs.

mod apply;
pub(super) mod bench;
mod docker;
mod doctor;
mod down;
pub(super) mod exec;
mod export;
mod features;
mod flows;
mod gc;
mod graph;
mod inspect;
mod latency;
mod ls;
mod netavark;
mod network;
pub(super) mod ns;
mod plan;
mod pool;
mod port;
mod reload;
mod restore;
mod shell;
mod stats;
mod trace;
mod up;
mod uplink;
mod validate;

use clap::Subcommand;

pub(super) use self::{down::DownArgs, pool::PoolArgs, up::UpArgs};
use super::{args::GlobalArgs, io::Io, session::Session};
use crate::{Result, execute::Observer, netns::Failure};

/// Every command, with what it does in a line.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect a namespace to the outside, making whatever is missing
    #[command(after_help = up::HELP)]
    Up(Box<up::UpArgs>),
    /// Undo `up`: for one namespace, or for all
    #[command(after_help = down::HELP)]
    Down(down::DownArgs),
    /// Make what files say: networks, endpoints, ports, limits
    #[command(after_help = apply::HELP)]
    Apply(apply::ApplyArgs),
    /// Show what `apply` would make, change and remove
    #[command(after_help = plan::HELP)]
    Plan(plan::PlanArgs),
    /// Write what is up as a file for `apply`
    #[command(after_help = export::HELP)]
    Export(export::ExportArgs),
    /// Check files for `apply`, without root
    #[command(after_help = validate::HELP)]
    Validate(validate::ValidateArgs),
    /// Make what the files in /etc/fwd say, when the machine starts
    #[command(after_help = restore::HELP)]
    Restore(restore::RestoreArgs),
    /// Be docker's network driver: `docker network create -d fwd`
    #[command(after_help = docker::HELP)]
    Docker(docker::DockerArgs),
    /// Be netavark, podman's network stack; also where the program is called so
    #[command(after_help = netavark::HELP)]
    Netavark(netavark::NetavarkArgs),
    /// Be the name server of a host
    #[command(hide = true)]
    Dns(up::DnsArgs),
    /// Replace the programs by those of this build, under traffic
    #[command(after_help = reload::HELP)]
    Reload(reload::ReloadArgs),
    /// Remove what is left of hosts whose namespace is gone
    #[command(after_help = gc::HELP)]
    Gc(gc::GcArgs),
    /// Run a command inside a namespace
    #[command(after_help = exec::help())]
    Exec(exec::ExecArgs),
    /// Make, delete and find network namespaces
    #[command(after_help = ns::HELP)]
    Ns(ns::NsArgs),
    /// Make, remove and list networks
    Network(network::NetworkCommandArgs),
    /// Prepare namespaces, so that the next `up` takes one
    #[command(after_help = pool::HELP)]
    Pool(Box<pool::PoolArgs>),
    /// Publish ports of the host for namespaces that are up
    Port(port::PortArgs),
    /// List and change what networks leave by
    Uplink(uplink::UplinkArgs),
    /// List the networks and their endpoints
    #[command(alias = "list", after_help = ls::HELP)]
    Ls(ls::LsArgs),
    /// Show all about one endpoint, or what is at the other end of an interface
    #[command(after_help = inspect::HELP)]
    Inspect(inspect::InspectArgs),
    /// List the flows that are translated now
    #[command(after_help = flows::HELP)]
    Flows(flows::FlowsArgs),
    /// Count packets by hook, interface and verdict
    #[command(after_help = stats::HELP)]
    Stats(stats::StatsArgs),
    /// Compare the data paths of this machine in a sandbox
    #[command(after_help = bench::help())]
    Bench(Box<bench::BenchArgs>),
    /// Measure how long packets take between namespace and uplink
    #[command(after_help = latency::HELP)]
    Latency(latency::LatencyArgs),
    /// Show what is decided about each packet, hook by hook, and why
    #[command(after_help = trace::HELP)]
    Trace(trace::TraceArgs),
    /// Draw what is connected to what: namespaces, bridges, uplinks
    #[command(after_help = graph::HELP)]
    Graph(graph::GraphArgs),
    /// Find what is wrong with this host, and mend what is fwd's own
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::DoctorArgs),
    /// Ask the kernel for all that fwd needs of it
    #[command(after_help = features::HELP)]
    Features(features::FeaturesArgs),
    /// Write completions for a shell
    #[command(after_help = shell::COMPLETIONS_HELP)]
    Completions(shell::CompletionsArgs),
    /// Write manual pages
    #[command(after_help = shell::MAN_HELP)]
    Man(shell::ManArgs),
}

/// What a command does in the namespace of a host.
type AtHost<'a> = dyn FnOnce(&mut Session<'_, '_>, &mut dyn Observer) -> Result<()> + 'a;
/// What it does anywhere.
type Anywhere<'a> = dyn FnOnce(&GlobalArgs, &mut Io<'_>) -> Result<()> + 'a;

/// What it answers a runtime with, whose exit status is its own.
type Answers<'a> = dyn FnOnce(&mut Io<'_>, &mut dyn Observer) -> Result<u8> + 'a;

/// How a command runs, and what it needs for that.
pub(super) enum Run<'a> {
    /// As root, in the namespace of a host.
    AtHost(Box<AtHost<'a>>),
    /// As anybody, anywhere.
    Anywhere(Box<Anywhere<'a>>),
    /// In the namespace where it was called; a failure is a document, too.
    Answers(Box<Answers<'a>>),
    /// As root; the process becomes another program, or tells why not.
    Becomes(Box<dyn FnOnce() -> Failure + 'a>),
}

impl Command {
    /// How it runs.
    pub(super) fn run(&self) -> Run<'_> {
        match self {
            Self::Up(args) => at_host(|session, observer| up::run(session, args, observer)),
            Self::Down(args) => at_host(|session, observer| down::run(session, args, observer)),
            Self::Apply(args) => at_host(|session, observer| apply::run(session, args, observer)),
            Self::Plan(args) => at_host(|session, _| plan::run(session, args)),
            Self::Export(args) => at_host(|session, _| export::run(session, args)),
            Self::Validate(args) => Run::Anywhere(Box::new(|global, io| validate::run(args, global, io))),
            Self::Restore(args) => at_host(|session, observer| restore::run(session, args, observer)),
            Self::Docker(args) => at_host(|session, _| docker::run(session, args)),
            Self::Netavark(args) => Run::Answers(Box::new(|io, observer| netavark::run(args, observer, io))),
            Self::Dns(args) => Run::Anywhere(Box::new(|_, _| up::serve(args))),
            Self::Reload(args) => at_host(|session, _| reload::run(session, args)),
            Self::Gc(args) => at_host(|session, _| gc::run(session, args)),
            Self::Exec(args) => Run::Becomes(Box::new(|| exec::run(args))),
            Self::Ns(args) => at_host(|session, _| ns::run(session, args)),
            Self::Network(args) => at_host(|session, observer| network::run(session, args, observer)),
            Self::Pool(args) => at_host(|session, observer| pool::run(session, args, observer)),
            Self::Port(args) => at_host(|session, observer| port::run(session, args, observer)),
            Self::Uplink(args) => at_host(|session, observer| uplink::run(session, args, observer)),
            Self::Ls(args) => at_host(|session, _| ls::run(session, args)),
            Self::Inspect(args) => at_host(|session, _| inspect::run(session, args)),
            Self::Flows(args) => at_host(|session, _| flows::run(session, args)),
            Self::Stats(args) => at_host(|session, _| stats::run(session, args)),
            Self::Bench(args) => at_host(|session, _| bench::run(session, args)),
            Self::Latency(args) => at_host(|session, _| latency::run(session, args)),
            Self::Trace(args) => at_host(|session, _| trace::run(session, args)),
            Self::Graph(args) => at_host(|session, _| graph::run(session, args)),
            Self::Doctor(args) => at_host(|session, _| doctor::run(session, args)),
            Self::Features(args) => at_host(|session, _| features::run(session, args)),
            Self::Completions(args) => Run::Anywhere(Box::new(|_, io| shell::completions(args, io))),
            Self::Man(args) => Run::Anywhere(Box::new(|_, io| shell::man(args, io))),
        }
    }
}

fn at_host<'a>(run: impl FnOnce(&mut Session<'_, '_>, &mut dyn Observer) -> Result<()> + 'a) -> Run<'a> {
    Run::AtHost(Box::new(run))
}
