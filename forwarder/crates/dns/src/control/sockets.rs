//! The sockets on which the name server is asked. Commands open them, in the host's namespace, and hand them over.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsFd as _, BorrowedFd},
};

/// Of name servers (RFC 1035 section 4.2).
pub const PORT: u16 = 53;

/// Sockets on the port of name servers, of UDP and TCP for each address.
#[derive(Debug)]
pub struct Sockets {
    pub(super) addresses: Vec<IpAddr>,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Sockets {
    /// Opens them in the calling thread's namespace.
    ///
    /// # Errors
    /// Which one cannot be opened, and why: another process has it ([`io::ErrorKind::AddrInUse`]), or the address is not the host's.
    pub fn open(addresses: &[IpAddr]) -> Result<Self, (IpAddr, io::Error)> {
        let mut sockets = Self { addresses: addresses.to_vec(), udp: Vec::new(), tcp: Vec::new() };
        for address in addresses {
            let at = SocketAddr::new(*address, PORT);
            sockets.udp.push(UdpSocket::bind(at).map_err(|error| (*address, error))?);
            sockets.tcp.push(TcpListener::bind(at).map_err(|error| (*address, error))?);
        }
        Ok(sockets)
    }

    /// In the order in which they are told apart: for each address that of UDP, then that of TCP.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let pairs = self.udp.iter().zip(&self.tcp);
        pairs.flat_map(|(udp, tcp)| [udp.as_fd(), tcp.as_fd()]).collect()
    }
}
