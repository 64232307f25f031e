//! `fwd bench --serve`: takes part in the loads of clients elsewhere who know its token, one client at a time.

mod door;
mod session;

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket},
    sync::mpsc,
    thread,
    time::Duration,
};

use self::{door::Door, session::Session};
use crate::load::{secret::Token, socket, workers::LoadCpus};
use fwd_base::{Context as _, Error, Kind, Result};

/// Where it listens unless told otherwise; the load goes to the port after it.
pub const PORT: u16 = 5210;
/// How often it looks whether it shall end.
const INTERVAL: Duration = Duration::from_millis(100);

/// What a client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long it is served, and a load lasts at most.
    pub time: Duration,
    /// Bits per second of a load, mean of a second, both directions together.
    pub rate: Option<u64>,
}

/// An hour, as fast as it goes.
impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(3_600), rate: None }
    }
}

/// A server that waits for clients.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddrV4,
    data_port: u16,
    cpus: LoadCpus,
    token: Token,
    limits: Limits,
}

impl Listener {
    /// Listens in the network namespace of the calling thread; port 0 for any, and any for each load: the one after it may be given to
    /// a connection of this host meanwhile.
    ///
    /// # Errors
    /// The address is taken or not there.
    pub fn bind(asked: SocketAddrV4, limits: Limits) -> Result<Self> {
        let (listener, bound) = socket::listen(asked.into()).map_err(|error| {
            error.remedy(format!("give another address: fwd bench --serve {}:{PORT}", Ipv4Addr::UNSPECIFIED))
        })?;
        socket::bound(&listener, INTERVAL).doing("listen on", socket::tcp(bound))?;
        let address = SocketAddrV4::new(*asked.ip(), bound.port());
        let data_port = if asked.port() == 0 { 0 } else { address.port().checked_add(1).unwrap_or(0) };
        Ok(Self { listener, address, data_port, cpus: LoadCpus::of_one_end()?, token: Token::random()?, limits })
    }

    /// Makes sure that loads will find their port: it is opened with each.
    ///
    /// # Errors
    /// It is taken, or this user may not open it.
    pub fn check_data_port(&self) -> Result<()> {
        let address = SocketAddrV4::new(*self.address.ip(), self.data_port);
        let remedy = || {
            let port = PORT.max(self.address.port().saturating_add(2));
            format!("give another port, from 1023 on: fwd bench --serve {}:{port}", address.ip())
        };
        let tcp = TcpListener::bind(address).map(drop).doing("listen on", socket::tcp(address));
        let udp = UdpSocket::bind(address).map(drop).doing("bind", socket::udp(address));
        tcp.and(udp).map_err(|error| error.remedy(remedy()))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Where loads go; 0 for any.
    #[must_use]
    pub fn data_port(&self) -> u16 {
        self.data_port
    }

    /// What clients have to know.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Serves clients until `is_over`, or with `once` until the first that measured something is gone. What happens is told in
    /// lines: a load begins, or a client is sent away.
    ///
    /// # Errors
    /// It cannot listen any more; what clients do is no error.
    pub fn serve(&self, once: bool, is_over: &dyn Fn() -> bool, tell: &mut dyn FnMut(&str)) -> Result<()> {
        // The threads that are started then stay off that CPU too, but those of a load.
        self.cpus.beside(|| self.listen(once, is_over, tell))
    }

    fn listen(&self, once: bool, is_over: &dyn Fn() -> bool, tell: &mut dyn FnMut(&str)) -> Result<()> {
        let (news, told) = mpsc::channel();
        let door = Door::new(news);
        thread::scope(|scope| {
            while !is_over() && !(once && door.is_done()) {
                told.try_iter().for_each(|line: String| tell(&line));
                let (stream, peer) = match self.listener.accept() {
                    Ok(accepted) => accepted,
                    Err(error) if is_transient(&error) => continue,
                    Err(error) if is_short(&error) => {
                        thread::sleep(INTERVAL);
                        continue;
                    }
                    Err(error) => {
                        door.close();
                        return Err(error).doing("listen on", socket::tcp(self.address));
                    }
                };
                let Some(visitor) = door.open(stream, peer) else { continue };
                let session = Session { door: &door, token: &self.token, limits: self.limits, cpus: self.cpus };
                let port = self.data_port;
                let attend = move || session.attend(visitor, port);
                // No thread: whoever came is sent away by the end of its connection.
                drop(thread::Builder::new().name("client".into()).spawn_scoped(scope, attend));
            }
            door.close();
            Ok(())
        })?;
        told.try_iter().for_each(|line| tell(&line));
        Ok(())
    }
}

/// Whether the next accept(2) may succeed: nobody came for a while, or whoever came is gone again.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

/// Whether it may succeed later: the machine is short of something.
fn is_short(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
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
mod tests;
