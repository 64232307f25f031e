//! The server's side of one load.

use std::net::{SocketAddrV4, TcpListener};

use super::{
    ask::Ask,
    connect,
    crew::{Count, Crew, Places},
    flood, ping, socket, stream,
};
use crate::{Context as _, Result, bench::Metric};

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
    pub(super) fn start(ask: &Ask, address: SocketAddrV4, places: Places) -> Result<Self> {
        let mut crew = Crew::default();
        let size = ask.size;
        let address = match ask.metric {
            Metric::UdpRr | Metric::Udp64 | Metric::UdpMtu => {
                let (socket, address) = socket::bind(address)?;
                crew.tally().shut_at_end(&socket)?;
                let floods = ask.metric != Metric::UdpRr;
                crew.spawn(places.in_turn(), move |tally| match floods {
                    true => flood::receive(&socket, tally),
                    false => ping::serve_udp(&socket, size, tally),
                })?;
                address
            }
            Metric::TcpRr | Metric::TcpCrr => {
                let (listener, address) = socket::listen(address)?;
                crew.tally().shut_at_end(&listener)?;
                let connects = ask.metric == Metric::TcpCrr;
                crew.spawn(places.in_turn(), move |tally| match connects {
                    true => connect::serve(&listener, size, tally),
                    false => ping::serve_tcp(&listener, size, tally),
                })?;
                address
            }
            Metric::TcpStreamOut | Metric::TcpStreamIn => {
                let (listener, address) = socket::listen(address)?;
                crew.tally().shut_at_end(&listener)?;
                for _ in 0..ask.streams {
                    let listener = listener.try_clone().doing("listen on", socket::tcp(address))?;
                    serve_stream(&mut crew, ask.metric, listener, places)?;
                }
                address
            }
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

    /// Ends it.
    ///
    /// # Errors
    /// It has failed.
    pub(super) fn stop(self) -> Result<()> {
        self.crew.stop().map(drop)
    }
}

/// Takes one connection, to send over it or to receive.
fn serve_stream(crew: &mut Crew, metric: Metric, listener: TcpListener, places: Places) -> Result<()> {
    let place = if metric == Metric::TcpStreamIn { places.sender() } else { places.receiver() };
    crew.spawn(place, move |tally| {
        let (stream, _) = socket::accept(&listener)?;
        stream::prepare(&stream, places)?;
        if metric == Metric::TcpStreamIn { stream::send(&stream, tally) } else { stream::receive(&stream, tally) }
    })
}
