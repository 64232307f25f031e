//! Queries by UDP.

use std::{io, net::UdpSocket as StdSocket, rc::Rc};

use tokio::{net::UdpSocket, task::spawn_local};

use super::State;
use crate::{answer::Step, message::Transport};

/// Bytes of a query at most: one question, and options.
pub(super) const QUERY: usize = 4_096;
/// Queries of one network that are answered before others have their turn.
const BATCH: usize = 32;

/// Answers at the gateway of a network, for ever.
pub(super) async fn serve(state: Rc<State>, network: Rc<str>, socket: StdSocket) -> io::Result<()> {
    let socket = Rc::new(UdpSocket::from_std(socket)?);
    let mut buffer = vec![0; QUERY];
    loop {
        for _ in 0..BATCH {
            // What cannot be received is nobody's query: an error of an answer that was sent before.
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
            let Some(query) = buffer.get(..length) else { continue };
            match state.step(&network, from.ip(), query, Transport::Udp) {
                Step::Drop => {}
                // A full buffer loses it, as the path might.
                Step::Reply(answer) => drop(socket.try_send_to(&answer, from)),
                Step::Ask(fallback) => {
                    // It does not keep the port from whoever comes after this network.
                    let (state, socket, query) = (Rc::clone(&state), Rc::downgrade(&socket), query.to_vec());
                    spawn_local(async move {
                        let answer = state.ask(from.ip(), &query, Transport::Udp).await.unwrap_or(fallback);
                        drop(socket.upgrade().map(|socket| socket.try_send_to(&answer, from)));
                    });
                }
            }
        }
        tokio::task::yield_now().await;
    }
}
