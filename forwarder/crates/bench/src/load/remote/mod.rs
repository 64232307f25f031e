//! A load whose other end is elsewhere: the client here, and in `serve/` the server (`fwd bench --serve`).

mod control;
mod privileges;
mod serve;

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, SocketAddrV4},
    time::{Duration, Instant},
};

use self::control::{Channel, Counted, Hello, PROTOCOL, Reason, Refusal, Reply, Request, shown};
pub use self::{
    privileges::give_up_privileges,
    serve::{Limits, Listener, PORT, listening_address},
};
use super::{
    Sample, Server, Turn, Work,
    client::{self, Outcome},
    load_request::{LoadRequest, Ready},
    socket::{self, PATIENCE},
    workers::{Count, LoadCpus},
};
use fwd_base::{Error, Kind, Result};
use fwd_kernel::netns::Netns;

/// How often a server is told that its client still waits for its turn.
const STILL_HERE: Duration = Duration::from_secs(1);
/// How long after a load broke down the server's reason may come.
const PARTING: Duration = Duration::from_secs(1);

/// A server elsewhere, and a namespace from which it is reached.
#[derive(Debug)]
pub struct Remote<'a> {
    ns: &'a Netns,
    address: SocketAddrV4,
    channel: Channel,
}

impl<'a> Remote<'a> {
    /// Connects from `ns` to a server at `address` that has printed `token`.
    ///
    /// # Errors
    /// Nobody answers there, it is no server of ours, it does not know the token, or it is busy; each with a remedy.
    pub fn connect(ns: &'a Netns, address: SocketAddrV4, token: Option<&str>) -> Result<Self> {
        let stream = ns.run(|| socket::connect(address.into())).map_err(|error| {
            error.remedy(format!(
                "run fwd bench --serve there and let TCP port {} and the one after it through, TCP and UDP",
                address.port()
            ))
        })?;
        let channel = Channel::new(stream).map_err(|error| lost(address, &error))?;
        let mut remote = Self { ns, address, channel };
        match remote.request(&Request::Hello(Hello::ours(token.map(str::to_owned))))? {
            Reply::Hello(Hello { protocol: PROTOCOL, .. }) => Ok(remote),
            Reply::Hello(other) => Err(other_version(address, &other)),
            _ => Err(no_server(address)),
        }
    }

    /// Runs `work` between the namespace and the server.
    ///
    /// # Errors
    /// As [`load::run`](super::run); the server refuses, or is gone.
    pub fn run(&mut self, work: &Work) -> Result<Sample> {
        // As long as it takes: the server must not think that nobody is here any more.
        let _turn = Turn::wait(STILL_HERE, || match self.request(&Request::Wait)? {
            Reply::Waiting => Ok(()),
            _ => Err(no_server(self.address)),
        })?;
        client::patiently(work, |work| self.once(work))
    }

    fn once(&mut self, work: &Work) -> Result<Outcome> {
        let request = LoadRequest::new(work)?;
        let Reply::Ready { port, key } = self.request(&Request::Start(request))? else {
            return Err(no_server(self.address));
        };
        let (ns, address) = (self.ns, SocketAddr::from((*self.address.ip(), port)));
        let mut started = Started { since: Instant::now(), remote: self };
        let outcome = client::run(ns, &request, work, Ready { address, key }, LoadCpus::of_one_end()?, &mut started);
        let outcome = outcome.map_err(|error| self.why(error, port))?;
        match (self.request(&Request::Stop)?, outcome) {
            (Reply::Stopped, Outcome::Nothing(error)) => Ok(Outcome::Nothing(self.with_remedy(error, port))),
            (Reply::Stopped, measured) => Ok(measured),
            _ => Err(no_server(self.address)),
        }
    }

    fn request(&mut self, request: &Request) -> Result<Reply> {
        let reply = self.channel.send(request).and_then(|()| self.channel.receive(PATIENCE));
        match reply.map_err(|error| lost(self.address, &error))? {
            Some(Reply::Refused(refusal)) => Err(refused(self.address, &refusal)),
            Some(reply) => Ok(reply),
            None => Err(lost(self.address, &ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Why a load broke down: what the server says, if it ended it, else what was seen here.
    fn why(&mut self, seen: Error, port: u16) -> Error {
        match self.channel.receive(PARTING) {
            Ok(Some(Reply::Refused(refusal))) => refused(self.address, &refusal),
            // It was told already, with its remedy.
            _ if seen.remedy.is_some() => seen,
            _ => self.with_remedy(seen, port),
        }
    }

    fn with_remedy(&self, error: Error, port: u16) -> Error {
        error.remedy(format!("let port {port} of {} through, TCP and UDP", self.address.ip()))
    }
}

/// A server that takes part in a load.
struct Started<'a, 'b> {
    since: Instant,
    remote: &'a mut Remote<'b>,
}

impl Server for Started<'_, '_> {
    fn count(&mut self) -> Result<Count> {
        let Reply::Count(Counted { at_ns, amount, cpu_ns }) = self.remote.request(&Request::Count)? else {
            return Err(no_server(self.remote.address));
        };
        // Only compared with another count of the same server.
        Ok(Count { at: self.since + Duration::from_nanos(at_ns), amount, cpu: cpu_ns })
    }
}

fn lost(address: SocketAddrV4, error: &io::Error) -> Error {
    if error.kind() == ErrorKind::InvalidData {
        return no_server(address);
    }
    let why = match error.kind() {
        ErrorKind::TimedOut => format!("no reply within {PATIENCE:?}"),
        ErrorKind::UnexpectedEof => "it closed the connection".into(),
        _ => error.to_string(),
    };
    Error::new(Kind::Failed, "measure with", socket::tcp(address), why)
        .remedy("see that fwd bench --serve runs there, and that this is its port")
}

fn refused(address: SocketAddrV4, Refusal { reason, why }: &Refusal) -> Error {
    let remedy = match reason {
        Reason::Token => "give the token that fwd bench --serve prints there: --token TOKEN",
        Reason::Busy => "wait for it, or run another fwd bench --serve",
        Reason::Limit => "ask for less, or run fwd bench --serve there with other limits (--max-time, --max-rate)",
        Reason::Request | Reason::Failed => "see what fwd bench --serve says there, and use the same fwd at both ends",
    };
    Error::new(Kind::Failed, "measure with", socket::tcp(address), shown(why)).remedy(remedy)
}

fn no_server(address: SocketAddrV4) -> Error {
    Error::new(Kind::Failed, "measure with", socket::tcp(address), "what listens there is no fwd bench --serve")
        .remedy("give the port that fwd bench --serve names")
}

fn other_version(address: SocketAddrV4, other: &Hello) -> Error {
    let Hello { protocol, fwd, token: _ } = other;
    let why = format!("its fwd {} speaks version {protocol} of the protocol, this one {PROTOCOL}", shown(fwd));
    Error::new(Kind::Unsupported, "measure with", socket::tcp(address), why).remedy("use the same fwd at both ends")
}
