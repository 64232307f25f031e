//! The server's side of one load.

use std::net::{SocketAddr, TcpListener};

use super::{
    guest::Guest,
    kind::{connect, cycle, flood, flows, ping, stream},
    load_request::LoadRequest,
    secret::{KEY, Key},
    socket,
    workers::{Count, LoadCpus, Workers},
};
use crate::Metric;
use fwd_base::{Context as _, Result};

/// A server at work. It ends with it.
#[derive(Debug)]
pub(super) struct Job {
    address: SocketAddr,
    request: LoadRequest,
    guest: Guest,
    workers: Workers,
}

impl Job {
    /// Starts serving in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The address is taken or not there.
    pub(super) fn start(request: &LoadRequest, address: SocketAddr, guest: Guest, cpus: LoadCpus) -> Result<Self> {
        let mut workers = Workers::default();
        let (metric, size) = (request.metric, request.size);
        let address = match metric {
            Metric::UdpRr | Metric::Udp64 | Metric::UdpMtu | Metric::UdpThroughput | Metric::UdpEstablish => {
                let (socket, address) = socket::bind(address)?;
                workers.tally().shut_at_end(&socket)?;
                let affinity = if metric.is_one_way() { cpus.receiver() } else { cpus.in_turn() };
                workers.spawn(affinity, move |tally| match metric {
                    Metric::UdpRr => ping::serve_udp(&socket, &guest, size, tally),
                    Metric::UdpEstablish => flows::serve(&socket, &guest, tally),
                    _ => flood::receive(&socket, &guest, tally),
                })?;
                address
            }
            Metric::TcpRr | Metric::TcpCrr | Metric::TcpEstablish | Metric::TcpTeardown => {
                let (listener, address) = socket::listen(address)?;
                workers.tally().shut_at_end(&listener)?;
                workers.spawn(cpus.in_turn(), move |tally| match metric {
                    Metric::TcpRr => ping::serve_tcp(&listener, &guest, size, tally),
                    Metric::TcpCrr => connect::serve(&listener, &guest, size, tally),
                    _ => cycle::serve(&listener, &guest, tally),
                })?;
                address
            }
            Metric::TcpStreamOut | Metric::TcpStreamIn => {
                let (listener, address) = socket::listen(address)?;
                workers.tally().shut_at_end(&listener)?;
                for _ in 0..request.streams {
                    let listener = listener.try_clone().doing("listen on", socket::tcp(address))?;
                    serve_stream(&mut workers, metric, listener, guest, cpus)?;
                }
                address
            }
        };
        Ok(Self { address, request: *request, guest, workers })
    }

    /// Where it is reached.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// With which its client begins.
    pub(super) fn key(&self) -> Key {
        self.guest.key()
    }

    /// What has been served until now.
    ///
    /// # Errors
    /// It has failed.
    pub(super) fn count(&self) -> Result<Count> {
        self.workers.count()
    }

    /// Bytes of messages, datagrams or streams that went over the network until now, both ways.
    pub(super) fn bytes(&self) -> u64 {
        let tally = self.workers.tally();
        match self.request.metric {
            Metric::TcpRr | Metric::UdpRr | Metric::TcpCrr => {
                tally.amount().saturating_mul(2 * self.request.size as u64)
            }
            Metric::TcpStreamOut | Metric::TcpStreamIn => tally.amount(),
            Metric::UdpEstablish => tally.amount().saturating_mul(2 * KEY as u64),
            // They carry nothing.
            Metric::TcpEstablish | Metric::TcpTeardown => 0,
            Metric::Udp64 | Metric::UdpMtu | Metric::UdpThroughput => tally.bytes(),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// It has failed.
    pub(super) fn stop(self) -> Result<()> {
        self.workers.stop().map(drop)
    }
}

/// Takes one connection, to send over it or to receive.
fn serve_stream(
    workers: &mut Workers,
    metric: Metric,
    listener: TcpListener,
    guest: Guest,
    cpus: LoadCpus,
) -> Result<()> {
    let affinity = if metric == Metric::TcpStreamIn { cpus.sender() } else { cpus.receiver() };
    workers.spawn(affinity, move |tally| {
        let stream = socket::admit(&listener, &guest, tally)?;
        stream::prepare(&stream, cpus)?;
        if metric == Metric::TcpStreamIn { stream::send(&stream, tally) } else { stream::receive(&stream, tally) }
    })
}
