//! What commands say.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener as StdListener, UnixStream as StdStream},
    },
    path::Path,
    process,
    rc::Rc,
    time::Duration,
};

use fwd_base::{Context as _, Result};
use tokio::{
    io::Interest,
    net::{UnixListener, UnixStream},
    task::spawn_local,
    time::sleep,
};

use super::State;
use crate::control::{
    channel::Incoming,
    client::short,
    protocol::{Reply, Request, Status},
    send,
};

/// Before it is tried again where the process has no descriptors left.
const AGAIN: Duration = Duration::from_millis(100);

/// The socket at which commands find the server.
///
/// # Errors
/// The run directory is gone, or something is in the way.
pub(super) fn bind(socket: &Path) -> Result<StdListener> {
    let bound = short(socket).and_then(|(_dir, path)| StdListener::bind(path));
    bound.doing("listen at", socket.display().to_string())
}

/// Listens to commands, the first of which is there already.
pub(super) fn serve(state: &Rc<State>, listener: StdListener, first: StdStream) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    first.set_nonblocking(true)?;
    let (listener, first) = (UnixListener::from_std(listener)?, UnixStream::from_std(first)?);
    converse(Rc::clone(state), first);
    let state = Rc::clone(state);
    spawn_local(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => converse(Rc::clone(&state), stream),
                Err(_) => sleep(AGAIN).await,
            }
        }
    });
    Ok(())
}

/// Answers a command until it has no more to say. Then a server that serves no network ends.
fn converse(state: Rc<State>, stream: UnixStream) {
    state.commands.set(state.commands.get() + 1);
    spawn_local(async move {
        while let Ok((request, descriptors)) = next(&stream).await {
            let reply = obey(&state, request, descriptors).await;
            if answer(&stream, &reply).await.is_err() {
                break;
            }
        }
        state.commands.set(state.commands.get() - 1);
        // Another one may be about to hand over a network.
        if state.networks.is_empty() && state.commands.get() == 0 {
            state.end.notify_one();
        }
    });
}

async fn next(stream: &UnixStream) -> io::Result<(Request, Vec<OwnedFd>)> {
    let mut incoming = Incoming::default();
    while !stream.async_io(Interest::READABLE, || incoming.read(stream)).await? {}
    incoming.finish()
}

/// An answer is small, and fits into the socket.
async fn answer(stream: &UnixStream, reply: &Reply) -> io::Result<()> {
    stream.async_io(Interest::WRITABLE, || send(stream, reply, &[])).await
}

async fn obey(state: &Rc<State>, request: Request, descriptors: Vec<OwnedFd>) -> Reply {
    match request {
        Request::Status => {}
        Request::Listen { network, addresses } => {
            state.networks.leave(&network).await;
            let listens = state.networks.listen(state, network, addresses, descriptors);
            listens.map_err(|error| error.to_string())?;
        }
        Request::Leave { network } => state.networks.leave(&network).await,
        Request::Names(table) => {
            state.names.replace(table.into());
            let names = state.names.borrow();
            state.limits.keep(|asker| names.has_asker(asker));
        }
        Request::Stop => state.end.notify_one(),
    }
    Ok(Status {
        pid: process::id(),
        networks: state.networks.addresses(),
        names: state.names.borrow().len(),
        servers: state.servers.now().iter().map(ToString::to_string).collect(),
        problem: state.servers.problem(),
    })
}
