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
pub(super) struct Door(Mutex<Inside>);

#[derive(Debug)]
struct Inside {
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
        Self(Mutex::new(Inside {
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
        let mut inside = self.inside();
        if inside.waiting.len() >= MOST_WAITING {
            inside.waiting.remove(0).shut();
        }
        let number = inside.next;
        inside.next += 1;
        inside.waiting.push(Connection { number, peer, stream });
        Some(Visitor { number, peer, channel })
    }

    /// Makes a visitor the client.
    ///
    /// # Errors
    /// There is one already: two loads would measure each other. Or the visitor was sent away meanwhile.
    pub(super) fn let_in(&self, visitor: &Visitor) -> Result<(), Refusal> {
        let mut inside = self.inside();
        let refuse = |reason, why: String| Err(Refusal::new(reason, why));
        let Some(place) = inside.waiting.iter().position(|waiting| waiting.number == visitor.number) else {
            return refuse(Reason::Failed, "too many others came meanwhile".into());
        };
        if inside.closed {
            return refuse(Reason::Failed, "the server ends".into());
        }
        if inside.client.is_some() {
            return refuse(Reason::Busy, "it is busy with another client".into());
        }
        inside.client = Some(inside.waiting.remove(place));
        Ok(())
    }

    /// Tells a visitor or the client why it is sent away.
    pub(super) fn refuses(&self, visitor: &mut Visitor, refusal: Refusal) {
        let mut inside = self.inside();
        let line = format!("{}: sent away, {}", visitor.peer, refusal.why);
        if inside.is_client(visitor) {
            inside.tell(line)
        } else {
            inside.tell_refusal(line)
        }
        drop(inside);
        // It may be gone already.
        drop(visitor.channel.send(&Reply::Refused(refusal)));
    }

    /// A visitor or the client is gone.
    pub(super) fn leaves(&self, visitor: Visitor) {
        let mut inside = self.inside();
        if inside.is_client(&visitor) {
            inside.client = None;
        }
        inside.waiting.retain(|waiting| waiting.number != visitor.number);
    }

    /// A load begins.
    pub(super) fn starts(&self, visitor: &Visitor, what: &str) {
        let mut inside = self.inside();
        inside.served = true;
        inside.tell(format!("{}: {what}", visitor.peer));
    }

    /// Whether a load was begun, and its client is gone.
    pub(super) fn is_done(&self) -> bool {
        let inside = self.inside();
        inside.served && inside.client.is_none()
    }

    /// Has all that wait for what a client says go on, and lets nobody in any more.
    pub(super) fn close(&self) {
        let mut inside = self.inside();
        inside.closed = true;
        inside.waiting.iter().chain(&inside.client).for_each(Connection::shut);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
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
