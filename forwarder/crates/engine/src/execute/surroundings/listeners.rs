//! Sockets of the host on ports that are to be published.

use fwd_base::Result;
use fwd_dataplane::{PublishedPorts, Transport};
use fwd_kernel::sockets::{self, OpenSocket};
use fwd_plan::Listener;

/// The sockets of the calling thread's namespace that have some of these ports.
///
/// # Errors
/// /proc cannot be read.
pub fn listeners<'a>(ports: impl Iterator<Item = &'a PublishedPorts> + Clone) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for transport in Transport::ALL {
        let of_transport = ports.clone().filter(|it| it.transport == transport);
        if of_transport.clone().next().is_none() {
            continue;
        }
        let open = match transport {
            Transport::Tcp => sockets::listeners()?,
            Transport::Udp => sockets::open_udp()?,
        };
        let meant = |it: &OpenSocket| of_transport.clone().any(|ports| ports.has(transport, it.address, it.port));
        listeners.extend(open.into_iter().filter(meant).map(|it| socket(transport, it)));
    }
    Ok(listeners)
}

/// Whether a socket keeps a runtime from publishing its port. One that the runtime itself holds does not: podman (before 5.5) and its
/// conmon bind what they publish, so that nobody else does.
pub(in crate::execute) fn is_in_the_way_of_a_runtime(listener: &Listener) -> bool {
    const OWN: [&str; 2] = ["podman", "conmon"];
    let name = listener.process.as_deref().and_then(|process| process.split(' ').next());
    name.is_none_or(|name| !OWN.contains(&name))
}

/// A socket, and whose it is.
pub(in crate::execute) fn socket(transport: Transport, found: OpenSocket) -> Listener {
    let OpenSocket { address, port, inode } = found;
    let process = sockets::owner(inode).map(|process| format!("{} (pid {})", process.comm, process.pid));
    Listener { transport, address, port, process }
}
