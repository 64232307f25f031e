//! Queries by TCP (RFC 7766).

use std::{
    io,
    net::{IpAddr, TcpListener as StdListener},
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::spawn_local,
    time::{sleep, timeout},
};

use super::{State, limits::Kind, udp::QUERY};
use crate::{answer::Step, message::Transport};

/// How long a connection may be idle, or an asker take to send a query or to receive its answer.
const IDLE: Duration = Duration::from_secs(10);
/// Before it is tried again where the process has no descriptors left.
const AGAIN: Duration = Duration::from_millis(100);

/// Takes connections at the gateway of a network, for ever.
pub(super) async fn serve(state: Rc<State>, network: Rc<str>, listener: StdListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                sleep(AGAIN).await;
                continue;
            }
        };
        // Closed at once: nobody's, or one too many.
        if !state.is_asker(&network, from.ip()) {
            continue;
        }
        let Some(taken) = state.limits.take(Kind::Connection, from.ip()) else { continue };
        let (state, network) = (Rc::clone(&state), Rc::clone(&network));
        spawn_local(async move {
            let _taken = taken;
            if let Err(error) = converse(&state, &network, from.ip(), stream).await {
                tracing::trace!("{from}: {error}");
            }
        });
    }
}

/// One query after another, until the asker has no more.
async fn converse(state: &State, network: &str, asker: IpAddr, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let query = timeout(IDLE, read(&mut stream)).await??;
        let answer = match state.step(network, asker, &query, Transport::Tcp) {
            Step::Drop => return Ok(()),
            Step::Reply(answer) => answer,
            Step::Ask(fallback) => state.ask(asker, &query, Transport::Tcp).await.unwrap_or(fallback),
        };
        let length = u16::try_from(answer.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let bytes = [&length.to_be_bytes()[..], &answer].concat();
        timeout(IDLE, stream.write_all(&bytes)).await??;
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(query)
}
