//! Who is let in: one client that knows the token. Everybody else is at the door for moments.

use std::{
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use super::super::control::{Channel, Reason, Refusal, Reply};

/// Connections whose hello has not come yet. One more, and the oldest is closed: a client says hello at once, so that a flood of
/// connections that say nothing does not keep it out.
const MOST_WAITING: usize = 16;
/// How long it may take to send a line.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of those who are sent away, one is told so often: they could fill a disk with it.
const TELL_REFUSALS: Duration = Duration::from_secs(1);

/// What the threads of all connections share.
#[derive(Debug)]
pub(super) struct Door(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The oldest first.
    waiting: Vec<Connection>,
    client: Option<Connection>,
    /// Number of the next connection.
    next: u64,
    /// Whether a load was begun.
    served: bool,
    closed: bool,
    news: mpsc::Sender<String>,
    refusals: Refusals,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    peer: SocketAddr,
    stream: TcpStream,
}

/// Refusals that were told or not.
#[derive(Debug, Default)]
struct Refusals {
    told: Option<Instant>,
    untold: u64,
}

/// Who stands at the door.
#[derive(Debug)]
pub(super) struct Visitor {
    number: u64,
    /// Where it comes from.
    pub(super) peer: SocketAddr,
    /// To talk.
    pub(super) channel: Channel,
}

impl Door {
    /// Nobody is there; `news` takes what the user should know, in lines.
    pub(super) fn new(news: mpsc::Sender<String>) -> Self {
        Self(Mutex::new(State {
            waiting: Vec::new(),
            client: None,
            next: 0,
            served: false,
            closed: false,
            news,
            refusals: Refusals::default(),
        }))
    }

    /// A connection: none if it is broken already.
    pub(super) fn open(&self, stream: TcpStream, peer: SocketAddr) -> Option<Visitor> {
        // What cannot be sent within moments is not worth waiting for.
        let channel = stream.set_write_timeout(Some(PATIENCE)).and_then(|()| {
            let copy = stream.try_clone()?;
            Ok((copy, Channel::new(stream)?))
        });
        let (stream, channel) = channel.map_err(|error| tracing::debug!("{peer}: {error}")).ok()?;
        let mut state = self.state();
        if state.waiting.len() >= MOST_WAITING {
            state.waiting.remove(0).shut();
        }
        let number = state.next;
        state.next += 1;
        state.waiting.push(Connection { number, peer, stream });
        Some(Visitor { number, peer, channel })
    }

    /// Makes a visitor the client.
    ///
    /// # Errors
    /// There is one already: two loads would measure each other. Or the visitor was sent away meanwhile.
    pub(super) fn let_in(&self, visitor: &Visitor) -> Result<(), Refusal> {
        let mut state = self.state();
        let refuse = |reason, why: String| Err(Refusal::new(reason, why));
        let Some(place) = state.waiting.iter().position(|waiting| waiting.number == visitor.number) else {
            return refuse(Reason::Failed, "too many others came meanwhile".into());
        };
        if state.closed {
            return refuse(Reason::Failed, "the server ends".into());
        }
        if state.client.is_some() {
            return refuse(Reason::Busy, "it is busy with another client".into());
        }
        state.client = Some(state.waiting.remove(place));
        Ok(())
    }

    /// Tells a visitor or the client why it is sent away.
    pub(super) fn refuses(&self, visitor: &mut Visitor, refusal: Refusal) {
        let mut state = self.state();
        let line = format!("{}: sent away, {}", visitor.peer, refusal.why);
        if state.is_client(visitor) {
            state.tell(line)
        } else {
            state.tell_refusal(line)
        }
        drop(state);
        // It may be gone already.
        drop(visitor.channel.send(&Reply::Refused(refusal)));
    }

    /// A visitor or the client is gone.
    pub(super) fn leaves(&self, visitor: Visitor) {
        let mut state = self.state();
        if state.is_client(&visitor) {
            state.client = None;
        }
        state.waiting.retain(|waiting| waiting.number != visitor.number);
    }

    /// A load begins.
    pub(super) fn starts(&self, visitor: &Visitor, what: &str) {
        let mut state = self.state();
        state.served = true;
        state.tell(format!("{}: {what}", visitor.peer));
    }

    /// Whether a load was begun, and its client is gone.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.served && state.client.is_none()
    }

    /// Has all that wait for what a client says go on, and lets nobody in any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting.iter().chain(&state.client).for_each(Connection::shut);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_client(&self, visitor: &Visitor) -> bool {
        self.client.as_ref().is_some_and(|client| client.number == visitor.number)
    }

    fn tell(&self, line: String) {
        // Nobody listens any more only when the server ends.
        drop(self.news.send(line));
    }

    fn tell_refusal(&mut self, line: String) {
        let Refusals { told, untold } = &mut self.refusals;
        if told.is_some_and(|told| told.elapsed() < TELL_REFUSALS) {
            *untold += 1;
            return;
        }
        let others = std::mem::take(untold);
        *told = Some(Instant::now());
        self.tell(if others > 0 { format!("{line} (and {others} others before)") } else { line });
    }
}

impl Connection {
    fn shut(&self) {
        if let Err(error) = self.stream.shutdown(Shutdown::Both) {
            tracing::debug!("{}: {error}", self.peer);
        }
    }
}
