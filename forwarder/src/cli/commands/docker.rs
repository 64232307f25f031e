//! `fwd docker`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    Result,
    cli::{caller, session::Session},
    docker::{self, Settings},
    query::HostNetns,
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd docker &                                     or contrib/docker/fwd-docker.socket of systemd
  docker network create -d fwd -o fwd.uplink=eth0 --subnet 10.80.0.0/24 web
  docker run -d --network web -p 8080:80 nginx";

/// `fwd docker`.
#[derive(Args, Debug)]
pub(crate) struct DockerArgs {
    /// Where dockerd asks, unless systemd hands a socket over
    #[arg(long, value_name = "PATH", default_value = docker::SOCKET)]
    pub(crate) socket: PathBuf,
    /// Where networks and endpoints are noted that docker takes for granted after a reboot
    #[arg(long, value_name = "DIR", default_value = docker::STATE)]
    pub(crate) state_dir: PathBuf,
}

/// Is docker's driver until it is told to end.
pub(super) fn run(session: &mut Session<'_, '_>, args: &DockerArgs) -> Result<()> {
    let DockerArgs { socket, state_dir } = args;
    // Who opens the socket, or hands one over by the environment, is dockerd to it.
    caller::check_command("docker")?;
    let at = HostNetns::open(None, session.at.run_dir.path())?;
    docker::serve(Settings { socket: socket.clone(), state: state_dir.clone(), at, context: session.context() })
}
