//! The server's side of one load.

use std::net::SocketAddrV4;

use super::{
    ask::Ask,
    crew::{Count, Crew, Place},
    ping, socket,
};
use crate::{Error, Kind, Result, bench::Metric, cpu};

/// A server at work. It ends with it.
#[derive(Debug)]
pub(super) struct Job {
    address: SocketAddrV4,
    crew: Crew,
}

impl Job {
    /// Starts serving in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The address is taken or not there.
    pub(super) fn start(ask: &Ask, address: SocketAddrV4) -> Result<Self> {
        let mut crew = Crew::default();
        let &Ask { size, .. } = ask;
        let last = Place { cpu: last()?, realtime: true };
        let address = match ask.metric {
            Metric::TcpRr => {
                let (listener, address) = socket::listen(address)?;
                crew.tally().shut_at_end(&listener)?;
                crew.spawn(last, move |tally| ping::serve_tcp(&listener, size, tally))?;
                address
            }
            Metric::UdpRr => {
                let (socket, address) = socket::bind(address)?;
                crew.tally().shut_at_end(&socket)?;
                crew.spawn(last, move |tally| ping::serve_udp(&socket, size, tally))?;
                address
            }
            other => return Err(not_yet(other)),
        };
        Ok(Self { address, crew })
    }

    /// Where it is reached.
    pub(super) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// What has been served until now.
    ///
    /// # Errors
    /// It has failed.
    pub(super) fn count(&self) -> Result<Count> {
        self.crew.count()
    }
}

/// A load that there is none of.
pub(super) fn not_yet(metric: Metric) -> Error {
    Error::new(Kind::Unsupported, "measure", metric.id(), "there is no load of our own for it")
}

/// The CPU on which both ends take turns.
pub(super) fn last() -> Result<usize> {
    Ok(cpu::usable()?.last().copied().unwrap_or_default())
}
