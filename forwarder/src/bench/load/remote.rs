//! The client of `fwd bench --serve`.

use std::{
    io::{self, ErrorKind},
    net::SocketAddrV4,
    time::{Duration, Instant},
};

use super::{
    Sample, Server, Work,
    ask::Ask,
    client,
    control::{Channel, Counted, Hello, PROTOCOL, Reply, Request},
    crew::{Count, Places},
    socket::{self, PATIENCE},
    turn,
};
use crate::{Error, Kind, Result, netns::Netns};

/// A server elsewhere, and a namespace from which it is reached.
#[derive(Debug)]
pub struct Remote<'a> {
    ns: &'a Netns,
    address: SocketAddrV4,
    channel: Channel,
}

impl<'a> Remote<'a> {
    /// Connects from `ns` to a server at `address`.
    ///
    /// # Errors
    /// Nobody answers there, it is no server of ours, or it is busy; each with a remedy.
    pub fn connect(ns: &'a Netns, address: SocketAddrV4) -> Result<Self> {
        let stream = ns.run(|| socket::connect(address)).map_err(|error| {
            error.remedy(format!(
                "run fwd bench --serve there and let TCP port {} and the one after it through, TCP and UDP",
                address.port()
            ))
        })?;
        let channel = Channel::new(stream).map_err(|error| lost(address, &error))?;
        let mut remote = Self { ns, address, channel };
        match remote.ask(&Request::Hello(Hello::ours()))? {
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
        let ask = Ask::new(work)?;
        let _turn = turn();
        let Reply::Ready { port } = self.ask(&Request::Start(ask))? else { return Err(no_server(self.address)) };
        let (ns, address) = (self.ns, SocketAddrV4::new(*self.address.ip(), port));
        let mut started = Started { since: Instant::now(), remote: self };
        let sample = client::run(ns, &ask, work, address, Places::of_one_end()?, &mut started)
            .map_err(|error| error.remedy(format!("let port {port} of {} through, TCP and UDP", address.ip())))?;
        match self.ask(&Request::Stop)? {
            Reply::Stopped => Ok(sample),
            _ => Err(no_server(self.address)),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply> {
        let reply = self.channel.send(request).and_then(|()| self.channel.receive(PATIENCE));
        match reply.map_err(|error| lost(self.address, &error))? {
            Some(Reply::Refused { why }) => {
                Err(Error::new(Kind::Failed, "measure with", socket::tcp(self.address), why)
                    .remedy("wait for it, or run another fwd bench --serve"))
            }
            Some(reply) => Ok(reply),
            None => Err(lost(self.address, &ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// A server that takes part in a load.
struct Started<'a, 'b> {
    since: Instant,
    remote: &'a mut Remote<'b>,
}

impl Server for Started<'_, '_> {
    fn count(&mut self) -> Result<Count> {
        let Reply::Count(Counted { at_ns, amount, cpu_ns }) = self.remote.ask(&Request::Count)? else {
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

fn no_server(address: SocketAddrV4) -> Error {
    Error::new(Kind::Failed, "measure with", socket::tcp(address), "what listens there is no fwd bench --serve")
        .remedy("give the port that fwd bench --serve names")
}

fn other_version(address: SocketAddrV4, other: &Hello) -> Error {
    let why = format!("its fwd {} speaks version {} of the protocol, this one {PROTOCOL}", other.fwd, other.protocol);
    Error::new(Kind::Unsupported, "measure with", socket::tcp(address), why).remedy("use the same fwd at both ends")
}
