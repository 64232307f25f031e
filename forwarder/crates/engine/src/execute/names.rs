//! The name server as commands have it: whether it is there, what it is told.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use forwarder_common::abi::{Network, endpoint_flags};
use fwd_base::{Error, HostName, Kind, Result};
use fwd_dataplane::{Dataplane, Described, Transport, name_of};
use fwd_dns::{Endpoint, NameServer, PORT, Sockets, Status, Table, start};
use fwd_kernel::{
    netns::{Name, resolv::Roots},
    sockets,
};
use fwd_plan::Listener;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{HostContext, surroundings::socket};

/// Where the name server of the host with `cookie` answers, by network. One that does not answer itself is taken for absent: what is about
/// it then says why.
pub(super) fn served(context: &HostContext, cookie: u64) -> BTreeMap<String, Vec<IpAddr>> {
    match NameServer::find(&context.run_dir.name_server(cookie)) {
        Ok(found) => found.map(|server| server.status().networks.clone()).unwrap_or_default(),
        Err(error) => {
            tracing::debug!("{error}");
            BTreeMap::new()
        }
    }
}

/// What the name server of the host with `cookie` does; none if there is none.
///
/// # Errors
/// It does not answer.
pub fn name_server(context: &HostContext, cookie: u64) -> Result<Option<Status>> {
    Ok(NameServer::find(&context.run_dir.name_server(cookie))?.map(|server| server.status().clone()))
}

/// The sockets of the calling thread's namespace on the port of name servers.
///
/// # Errors
/// /proc cannot be read.
pub(super) fn resolvers() -> Result<Vec<Listener>> {
    let mut found = Vec::new();
    for (transport, open) in [(Transport::Udp, sockets::open_udp()?), (Transport::Tcp, sockets::listeners()?)] {
        found.extend(open.into_iter().filter(|it| it.port == PORT).map(|it| socket(transport, it)));
    }
    Ok(found)
}

/// Has the name server answer at the gateway of a network; starts it where it is not there.
///
/// # Errors
/// Another process has the port, or it cannot be started.
pub(super) fn listen(context: &HostContext, cookie: u64, network: &str, addresses: &[IpAddr]) -> Result<()> {
    let socket = context.run_dir.name_server(cookie);
    let mut server = match NameServer::find(&socket)? {
        Some(server) => server,
        None => start(&context.program, &socket, &host_files(context))?,
    };
    if server.status().networks.contains_key(network) {
        server.leave(network)?;
    }
    let sockets = Sockets::open(addresses).map_err(|(address, error)| taken(network, address, &error))?;
    server.listen(network, &sockets)
}

/// Whom the host asks says the first of these files that exists.
fn host_files(context: &HostContext) -> Vec<PathBuf> {
    let host = context.host.as_deref().and_then(|host| Name::try_from(host).ok());
    Roots { host, ..Roots::default() }.host_files()
}

fn taken(network: &str, address: IpAddr, error: &io::Error) -> Error {
    let object = format!("{address} port {PORT}, the gateway of network {network}");
    if error.kind() != io::ErrorKind::AddrInUse {
        return Error::new(Kind::Failed, "answer at", object, error.to_string());
    }
    Error::new(Kind::Conflict, "answer at", object, "another process has that port")
        .remedy("`ss -lnup sport = 53` and `ss -lntp sport = 53` show which")
}

/// Has the name server let go of a network; the last one ends it.
///
/// # Errors
/// It does not answer.
pub(super) fn leave(context: &HostContext, cookie: u64, network: &str) -> Result<()> {
    let socket = context.run_dir.name_server(cookie);
    let Some(mut server) = NameServer::find(&socket)? else { return fwd_dns::forget(&socket) };
    server.leave(network)?;
    if server.status().networks.is_empty() { server.stop(&socket) } else { Ok(()) }
}

/// Removes what a name server has left that has died: the file of its socket.
///
/// # Errors
/// It cannot be removed, or somebody listens there and does not answer.
pub(super) fn forget(context: &HostContext, cookie: u64) -> Result<()> {
    let socket = context.run_dir.name_server(cookie);
    NameServer::find(&socket)?.map_or_else(|| fwd_dns::forget(&socket), |_| Ok(()))
}

/// Tells the name server all names that there are, and mends what it has lost: it may have died since. Nothing where no network has one.
///
/// # Errors
/// It cannot be started, or does not answer.
pub(super) fn follow(context: &HostContext, cookie: u64, plane: &Dataplane) -> Result<()> {
    let networks = plane.networks()?.into_iter().filter(|(_, network)| network.flags & endpoint_flags::DNS != 0);
    let networks: BTreeMap<u32, Network> = networks.collect();
    if networks.is_empty() {
        return forget(context, cookie);
    }
    let served = served(context, cookie);
    let gateways = |network: &Network| gateways(network).iter().map(IpNet::addr).collect::<Vec<IpAddr>>();
    for network in networks.values() {
        let (name, addresses) = (name_of(&network.name), gateways(network));
        if served.get(&name) != Some(&addresses) {
            listen(context, cookie, &name, &addresses)?;
        }
    }
    let socket = context.run_dir.name_server(cookie);
    let gone = || Error::new(Kind::Failed, "tell", "the name server", "its process has ended");
    let endpoints = plane.described_endpoints()?.into_iter();
    let given = endpoints.filter(|(_, endpoint)| endpoint.record.flags & endpoint_flags::POOLED == 0);
    let table = table(&networks, given.collect());
    NameServer::find(&socket)?.ok_or_else(gone)?.names(&table)
}

/// The addresses of a network's gateway, each with the length of the subnet's prefix: of IPv4 first.
#[must_use]
pub fn gateways(network: &Network) -> Vec<IpNet> {
    let prefix = |prefix: u32, most: u8| u8::try_from(prefix).unwrap_or(most).min(most);
    let gateway = Some(Ipv4Addr::from(network.gateway_v4)).filter(|address| !address.is_unspecified());
    let gateway = gateway.map(|address| Ipv4Net::new_assert(address, prefix(network.prefix_v4, 32)).into());
    let gateway6 = Some(Ipv6Addr::from(network.gateway_v6)).filter(|address| !address.is_unspecified());
    let gateway6 = gateway6.map(|address| Ipv6Net::new_assert(address, prefix(network.prefix_v6, 128)).into());
    gateway.into_iter().chain(gateway6).collect()
}

fn table(networks: &BTreeMap<u32, Network>, endpoints: Vec<(u32, Described)>) -> Table {
    let mut table = Table::default();
    for network in networks.values() {
        let outside = network.flags & endpoint_flags::INTERNAL == 0;
        let network_names = fwd_dns::Network { gateways: gateways(network), outside, endpoints: Vec::new() };
        table.networks.insert(name_of(&network.name), network_names);
    }
    for (_, endpoint) in endpoints {
        let Some(network) = table.networks.get_mut(&endpoint.metadata.network) else { continue };
        let addresses = endpoint.metadata.addresses.iter().map(IpNet::addr).collect();
        let (namespace, names) = (endpoint.record.netns_cookie, names_of(&endpoint));
        network.endpoints.push(Endpoint { namespace, names, addresses });
    }
    table
}

/// The names by which an endpoint is found where its network has a name server: that of its namespace, if it can be asked for, and others.
#[must_use]
pub(crate) fn names_of(endpoint: &Described) -> Vec<HostName> {
    let own = endpoint.metadata.netns.name.as_deref().and_then(|name| name.parse().ok());
    own.into_iter().chain(endpoint.metadata.aliases.iter().cloned()).collect()
}
