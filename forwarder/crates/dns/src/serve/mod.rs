//! The process: one thread, no privilege, and nothing on disk.

mod control;
mod home;
mod limits;
mod networks;
mod privileges;
mod tcp;
mod udp;

use std::{
    cell::{Cell, RefCell},
    io,
    net::IpAddr,
    os::{fd::AsFd as _, unix::net::UnixStream},
    path::PathBuf,
    rc::Rc,
    time::Instant,
};

use fwd_base::{Context as _, Error, Kind, Result};
use tokio::{runtime, sync::Notify, task::LocalSet};

use self::{home::Home, limits::Limits, networks::Networks};
use crate::{
    answer::{Step, decide},
    control::{protocol::Reply, send},
    message::Transport,
    table::Names,
    upstream::{Servers, ask},
};

/// What the process was started for.
#[derive(Clone, Debug)]
pub struct Serve {
    /// Where commands find it.
    pub socket: PathBuf,
    /// Whom the host asks says the first of them that exists.
    pub resolv_conf: Vec<PathBuf>,
}

/// Becomes the name server of the calling thread's namespace, until it serves nobody. Standard input is the first command's connection.
///
/// # Errors
/// It was not started by a command, or lacks what it needs; whoever is at the other end is told, too.
pub fn serve(serve: &Serve) -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().doing("use", "standard input")?;
    let first = UnixStream::from(stdin);
    if first.local_addr().is_err() {
        let why = "it is started by a command of fwd, to which standard input leads";
        return Err(Error::new(Kind::Usage, "run", "the name server", why).remedy("fwd up --dns"));
    }
    let prepared = privileges::session().and_then(|()| {
        let home = Home::of_socket(&serve.socket)?;
        let listener = control::bind(&serve.socket)?;
        privileges::drop_all().map(|()| (home, listener))
    });
    let (home, listener) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let told = send(&first, &Reply::Err(error.to_string()), &[]);
            told.doing("tell", "whoever started it")?;
            return Err(Error::new(Kind::Failed, "start", "the name server", error.to_string()));
        }
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build().doing("start", "the name server")?;
    let state = Rc::new(State {
        names: RefCell::default(),
        servers: Servers::of(serve.resolv_conf.clone()),
        limits: Rc::default(),
        networks: Networks::default(),
        commands: Cell::new(0),
        end: Notify::new(),
    });
    LocalSet::new()
        .block_on(&runtime, async {
            control::serve(&state, listener, first)?;
            tokio::task::spawn_local(home::watch(Rc::clone(&state), home));
            state.end.notified().await;
            Ok(())
        })
        .map_err(|error: io::Error| Error::new(Kind::Failed, "start", "the name server", error.to_string()))
}

/// What all tasks share.
#[derive(Debug)]
struct State {
    names: RefCell<Names>,
    servers: Servers,
    limits: Rc<Limits>,
    networks: Networks,
    /// Commands that are talking.
    commands: Cell<usize>,
    /// Told when it is to end.
    end: Notify,
}

impl State {
    /// What becomes of a query that came in at the gateway of a network: the answer, if there is one at once, or one that others are asked for.
    fn step(&self, network: &str, asker: IpAddr, query: &[u8], transport: Transport) -> Step {
        let names = self.names.borrow();
        let Some(seen) = names.seen_by(network, asker) else { return Step::Drop };
        if !self.limits.admits(asker, Instant::now()) {
            return Step::Drop;
        }
        decide(query, &seen, transport)
    }

    /// Whether somebody may ask at the gateway of a network.
    fn is_asker(&self, network: &str, asker: IpAddr) -> bool {
        self.names.borrow().seen_by(network, asker).is_some()
    }

    /// What others answer to a query. Neither this server itself is asked, nor whoever asks it: that could go on for ever.
    async fn ask(&self, asker: IpAddr, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let _taken = self.limits.take(limits::Kind::Pending, asker)?;
        let mut servers = self.servers.now();
        servers.retain(|server| server.ip() != asker && !self.networks.are_at(server.ip()));
        let (answer, server) = ask(&servers, query, transport).await?;
        self.servers.prefer(server);
        Some(answer)
    }
}
