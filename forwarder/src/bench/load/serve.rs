//! `fwd bench --serve`: takes part in the loads of clients elsewhere, one client at a time.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    control::{Channel, Counted, Hello, PROTOCOL, Reply, Request},
    crew::Places,
    job::Job,
    socket,
};
use crate::{Context as _, Error, Kind, Result};

/// Where it listens unless told otherwise; the load goes to the port after it.
pub const PORT: u16 = 5210;
/// How often it looks whether it shall end.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long a client may take to say who it is, or what it wants next.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server that waits for clients.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddrV4,
    places: Places,
}

impl Listener {
    /// Listens in the network namespace of the calling thread; port 0 for any two.
    ///
    /// # Errors
    /// The address is taken or not there.
    pub fn bind(address: SocketAddrV4) -> Result<Self> {
        let (listener, address) = socket::listen(address).map_err(|error| {
            error.remedy(format!("give another address: fwd bench --serve {}:{PORT}", Ipv4Addr::UNSPECIFIED))
        })?;
        socket::bound(&listener, INTERVAL).doing("listen on", socket::tcp(address))?;
        Ok(Self { listener, address, places: Places::of_one_end()? })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Serves clients until `is_over`, or with `once` until the first that measured something is gone. What happens is told in
    /// lines: a load begins, or a client is sent away.
    ///
    /// # Errors
    /// It cannot listen any more; what clients do is no error.
    pub fn serve(&self, once: bool, is_over: &dyn Fn() -> bool, tell: &mut dyn FnMut(&str)) -> Result<()> {
        // The threads that are started then stay off that CPU too, but those of a load.
        self.places.beside(|| self.listen(once, is_over, tell))
    }

    fn listen(&self, once: bool, is_over: &dyn Fn() -> bool, tell: &mut dyn FnMut(&str)) -> Result<()> {
        let (news, told) = mpsc::channel();
        let shared = Mutex::new(Shared { client: None, served: false, news });
        thread::scope(|scope| {
            while !is_over() && !(once && shared_of(&shared).is_done()) {
                told.try_iter().for_each(|line: String| tell(&line));
                let (stream, peer) = match self.listener.accept() {
                    Ok(accepted) => accepted,
                    Err(error) if is_transient(&error) => continue,
                    Err(error) => return Err(error).doing("listen on", socket::tcp(self.address)),
                };
                if let Some(channel) = admit(stream, peer, &mut shared_of(&shared)) {
                    scope.spawn(|| self.attend(channel, &shared));
                }
            }
            shared_of(&shared).dismiss();
            Ok(())
        })?;
        told.try_iter().for_each(|line| tell(&line));
        Ok(())
    }

    /// Serves one client to its end.
    fn attend(&self, mut channel: Channel, shared: &Mutex<Shared>) {
        let outcome = self.converse(&mut channel, shared);
        let mut shared = shared_of(shared);
        if let Err(why) = outcome {
            shared.tell(&why);
            // It may be gone already.
            drop(channel.send(&Reply::Refused { why }));
        }
        shared.client = None;
    }

    /// All requests of one client. An error is why it is sent away.
    fn converse(&self, channel: &mut Channel, shared: &Mutex<Shared>) -> Result<(), String> {
        match next(channel, PATIENCE)? {
            Some(Request::Hello(Hello { protocol: PROTOCOL, .. })) => reply(channel, &Reply::Hello(Hello::ours()))?,
            // It will see that this is another version.
            Some(Request::Hello(_)) => return reply(channel, &Reply::Hello(Hello::ours())),
            Some(_) => return Err("the first request is no hello".into()),
            None => return Ok(()),
        }
        let mut job: Option<(Job, Instant)> = None;
        let mut patience = PATIENCE;
        while let Some(request) = next(channel, patience)? {
            let answer = match (request, &job) {
                (Request::Start(ask), None) => {
                    ask.check().map_err(|error| error.why)?;
                    let data = self.data_address(channel)?;
                    let started = Job::start(&ask, data, self.places).map_err(|error| error.to_string())?;
                    shared_of(shared).starts(&format!("{} for {:?}", ask.metric, ask.lasts()));
                    patience = ask.lasts() + PATIENCE;
                    let port = started.address().port();
                    job = Some((started, Instant::now()));
                    Reply::Ready { port }
                }
                (Request::Count, Some((job, since))) => Reply::Count(counted(job, *since)?),
                (Request::Stop, Some(_)) => {
                    job = None;
                    patience = PATIENCE;
                    Reply::Stopped
                }
                (Request::Hello(_) | Request::Start(_) | Request::Count | Request::Stop, _) => {
                    return Err("this request has no place here".into());
                }
            };
            reply(channel, &answer)?;
        }
        Ok(())
    }

    /// Where a load goes: the address that the client has reached, so that datagrams come back from it, and the next port.
    fn data_address(&self, channel: &Channel) -> Result<SocketAddrV4, String> {
        let port = self.address.port().checked_add(1).unwrap_or(0);
        match channel.local_address() {
            Ok(SocketAddr::V4(address)) => Ok(SocketAddrV4::new(*address.ip(), port)),
            Ok(SocketAddr::V6(address)) => Err(format!("{address} is no IPv4 address")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Who is being served.
struct Client {
    address: SocketAddr,
    stream: TcpStream,
}

/// What the clients' threads and the listening one share.
struct Shared {
    client: Option<Client>,
    /// Whether a load was begun.
    served: bool,
    news: mpsc::Sender<String>,
}

impl Shared {
    fn is_done(&self) -> bool {
        self.served && self.client.is_none()
    }

    fn starts(&mut self, what: &str) {
        self.served = true;
        self.tell(what);
    }

    fn tell(&self, what: &str) {
        let who = self.client.as_ref().map_or_else(String::new, |client| format!("{}: ", client.address));
        // Nobody listens any more only when the server ends.
        drop(self.news.send(format!("{who}{what}")));
    }

    /// Has whoever waits for the client's next request go on.
    fn dismiss(&self) {
        if let Some(Client { address, stream }) = &self.client
            && let Err(error) = stream.shutdown(Shutdown::Both)
        {
            tracing::debug!("{address}: {error}");
        }
    }
}

fn shared_of(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a client unless there is one: two loads would measure each other.
fn admit(stream: TcpStream, peer: SocketAddr, shared: &mut Shared) -> Option<Channel> {
    // What cannot be sent within moments is not worth waiting for.
    let channel = stream.set_write_timeout(Some(PATIENCE)).and_then(|()| {
        let copy = stream.try_clone()?;
        Ok((copy, Channel::new(stream)?))
    });
    let (stream, mut channel) = channel.map_err(|error| tracing::debug!("{peer}: {error}")).ok()?;
    if let Some(other) = &shared.client {
        drop(shared.news.send(format!("{peer}: sent away, {} is being served", other.address)));
        let why = "it is busy with another client".into();
        drop(channel.send(&Reply::Refused { why }));
        return None;
    }
    shared.client = Some(Client { address: peer, stream });
    Some(channel)
}

/// The next request; none if the client is done.
fn next(channel: &mut Channel, patience: Duration) -> Result<Option<Request>, String> {
    channel.receive(patience).or_else(|error| match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(None),
        ErrorKind::TimedOut => Err(format!("it said nothing for {patience:?}")),
        ErrorKind::InvalidData => Err(format!("that is no request of `fwd bench` ({error})")),
        _ => Err(error.to_string()),
    })
}

fn reply(channel: &mut Channel, reply: &Reply) -> Result<(), String> {
    channel.send(reply).map_err(|error| error.to_string())
}

fn counted(job: &Job, since: Instant) -> Result<Counted, String> {
    let count = job.count().map_err(|error: Error| error.to_string())?;
    let at_ns = u64::try_from((count.at - since).as_nanos()).unwrap_or(u64::MAX);
    Ok(Counted { at_ns, amount: count.amount, cpu_ns: count.cpu })
}

/// Whether the next accept(2) may succeed: nobody came for a while, or whoever came is gone again.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

/// `ADDR:PORT`, `ADDR`, or `PORT`, the rest by default.
///
/// # Errors
/// [`Kind::Usage`] if it is none of these.
pub fn listening_address(text: &str) -> Result<SocketAddrV4> {
    let full = text.parse::<SocketAddrV4>().ok();
    let address = || Some(SocketAddrV4::new(text.parse().ok()?, PORT));
    let port = || Some(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, text.parse().ok()?));
    full.or_else(address).or_else(port).ok_or_else(|| {
        Error::new(Kind::Usage, "listen on", text, "it is no IPv4 address, port, or both")
            .remedy(format!("fwd bench --serve {}:{PORT}", Ipv4Addr::UNSPECIFIED))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_address_may_lack_either_part() {
        let address = |text| listening_address(text).expect("an address").to_string();
        assert_eq!(address("192.0.2.1:7"), "192.0.2.1:7");
        assert_eq!(address("192.0.2.1"), "192.0.2.1:5210");
        assert_eq!(address("7"), "0.0.0.0:7");
        for nonsense in ["", "host", "192.0.2.1:", "::1", "70000"] {
            assert_eq!(listening_address(nonsense).expect_err("nonsense").kind, Kind::Usage);
        }
    }
}
