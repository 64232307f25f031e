//! The networks that are served, each with the tasks that answer at its gateway.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    net::{IpAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    rc::Rc,
};

use tokio::task::{JoinHandle, spawn_local};

use super::{State, tcp, udp};

/// By name.
#[derive(Debug, Default)]
pub(super) struct Networks(RefCell<BTreeMap<String, Served>>);

#[derive(Debug)]
struct Served {
    addresses: Vec<IpAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Networks {
    /// Answers at these addresses from now on, on these sockets: of UDP and TCP for each.
    ///
    /// # Errors
    /// These are no such sockets.
    pub(super) fn listen(
        &self,
        state: &Rc<State>,
        network: String,
        addresses: Vec<IpAddr>,
        sockets: Vec<OwnedFd>,
    ) -> io::Result<()> {
        if sockets.len() != 2 * addresses.len() {
            return Err(io::Error::other("there are not two sockets for each address"));
        }
        let name: Rc<str> = network.as_str().into();
        let mut tasks = Vec::new();
        let mut sockets = sockets.into_iter();
        while let (Some(udp), Some(tcp)) = (sockets.next(), sockets.next()) {
            let (udp, tcp) = (UdpSocket::from(udp), TcpListener::from(tcp));
            udp.set_nonblocking(true)?;
            tcp.set_nonblocking(true)?;
            let (by_udp, by_tcp) = ((Rc::clone(state), Rc::clone(&name)), (Rc::clone(state), Rc::clone(&name)));
            tasks.push(spawn_local(async move { ended(udp::serve(by_udp.0, by_udp.1, udp).await) }));
            tasks.push(spawn_local(async move { ended(tcp::serve(by_tcp.0, by_tcp.1, tcp).await) }));
        }
        self.0.borrow_mut().insert(network, Served { addresses, tasks });
        Ok(())
    }

    /// Answers no more for a network. Its sockets are closed then: whoever comes next may have the port.
    pub(super) async fn leave(&self, network: &str) {
        let served = self.0.borrow_mut().remove(network);
        for task in served.into_iter().flat_map(|served| served.tasks) {
            task.abort();
            // It ends where it waits; that it was ended is no news.
            drop(task.await);
        }
    }

    /// Whether none is served.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Whether this server is asked at an address.
    pub(super) fn are_at(&self, address: IpAddr) -> bool {
        self.0.borrow().values().any(|served| served.addresses.contains(&address))
    }

    /// Where each is asked.
    pub(super) fn addresses(&self) -> BTreeMap<String, Vec<IpAddr>> {
        self.0.borrow().iter().map(|(name, served)| (name.clone(), served.addresses.clone())).collect()
    }
}

fn ended(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!("a socket is not served: {error}");
    }
}
