//! `fwd` as docker's network driver (libnetwork, docs/remote.md): dockerd asks over a socket for networks and endpoints, and what it asks for
//! becomes requests of the engine.
//!
//! A container's namespace is made after its endpoint: until then the interface inside waits in the host's namespace, from where dockerd moves
//! it. What docker says once and asks about later, also after a reboot, is in a file for each network.

mod api;
mod arrivals;
mod calls;
mod driver;
mod options;
mod refusal;
mod server;
mod store;

use std::{path::PathBuf, time::Duration};

use fwd_base::Result;
use fwd_engine::{execute::HostContext, query::HostNetns};

use self::{driver::Driver, store::Store};

/// Where dockerd looks for the driver `fwd` (moby's pkg/plugins/discovery.go).
pub const SOCKET: &str = "/run/docker/plugins/fwd.sock";
/// Where networks are noted.
pub const STATE: &str = "/var/lib/fwd/docker";

/// How long another command is waited for: less than docker waits for an answer, which then says who has held the host.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the driver is started with.
#[derive(Debug)]
pub struct Settings {
    /// Where it listens, unless it is handed a socket (sd_listen_fds(3)).
    pub socket: PathBuf,
    /// The directory of the networks' files.
    pub state: PathBuf,
    /// The host.
    pub at: HostNetns,
    /// Where its commands act.
    pub context: HostContext,
}

/// Is docker's network driver until it is told to end (SIGTERM, SIGINT). The calling thread is in the host's namespace.
///
/// # Errors
/// It cannot listen, or its files cannot be read.
pub fn serve(settings: Settings) -> Result<()> {
    let Settings { socket, state, at, context } = settings;
    let context = HostContext { patience: PATIENCE, ..context };
    let driver = Driver::new(at, context, Store::open(state)?);
    server::run(driver, &socket)
}
