//! Which endpoint a port of the host leads to.

pub(crate) mod host;

use forwarder_common::{
    abi::{Addr, Endpoint, HostSocket, Publication, Tuple, mapped_words},
    decide::unsolicited::publish,
    wire::ipv6,
};

use crate::kernel::{
    devices,
    fib::{fwd_is_own6, is_own},
    maps::{HOST_ADDRESSES, PUBLISHED, PUBLISHED_TO, SOUGHT},
    packet::skb::Skb,
    records,
    scratch::{Packet6, Sought, scratch},
};

/// A publication, which stands in the map `SOUGHT`, and the endpoint that it leads to.
pub(crate) type Found = (&'static Publication, &'static Endpoint);

/// The publication of the socket that a packet of IPv4 with `tuple` is sent to, at its very address or (`at_all`) at all addresses of the
/// host. An address that is announced is none of the host's: what is published at all of them is reached there only of those who appear behind it.
#[inline(always)]
pub(crate) fn find(skb: Skb, tuple: &Tuple, at_all: bool) -> Option<Found> {
    // A destination of the loopback is forged: what is published there is for the host alone.
    if !publish::is_host_address(tuple.daddr) {
        return None;
    }
    sought(HostSocket::sent_to(tuple), at_all, |endpoint| {
        records::uplink(endpoint.uplink).is_some_and(|uplink| uplink.v4 == tuple.daddr)
            || HOST_ADDRESSES.get_ptr(&ipv4(tuple.daddr)).is_some()
            || publish::announces(endpoint, tuple.daddr)
            || is_own(skb, u32::from_ne_bytes(tuple.daddr), endpoint.network)
    })
}

/// The same of the packet in the map `PACKET6`, which is `packet`.
#[inline(always)]
pub(crate) fn find_ipv6(skb: Skb, packet: &mut Packet6, at_all: bool) -> Option<Found> {
    if !publish::is_host_address_v6(packet.dst) {
        return None;
    }
    // About this address is asked.
    packet.to = ipv6::of_words(ipv6::words(packet.dst));
    let socket = HostSocket {
        addr: ipv6::of_words(ipv6::words(packet.dst)),
        proto: packet.number.into(),
        _pad: 0,
        port: packet.tuple.dport,
    };
    sought(socket, at_all, |endpoint| {
        HOST_ADDRESSES.get_ptr(&packet.dst).is_some()
            || publish::announces_v6(endpoint, packet.dst)
            || fwd_is_own6(skb, endpoint.network)
    })
}

/// The publication of a socket, at its very address or (`at_all`) at all addresses of its family, if that `is_hosts`. All of it stands in a
/// map: the stack is short.
///
/// Addresses that the host had at the last command are known. One that has come since is asked for, which tells nothing without a default
/// route.
#[inline(always)]
fn sought(socket: HostSocket, at_all: bool, is_hosts: impl FnOnce(&Endpoint) -> bool) -> Option<Found> {
    let sought = scratch(&SOUGHT)?;
    sought.socket = if at_all { socket.at_all() } else { socket };
    let found = PUBLISHED.get(sought.socket_key())?;
    // Field by field: as a whole it is a call that copies bytes.
    let Publication { netns_cookie, addr, endpoint, first, last, inside, proto, senders, both_families } = *found;
    let addr = ipv6::of_words(ipv6::words(addr));
    sought.publication =
        Publication { netns_cookie, addr, endpoint, first, last, inside, proto, senders, both_families };
    let Sought { publication, socket, .. } = &*sought;
    let endpoint = leads_to(publication, socket)?;
    (!at_all || is_hosts(endpoint)).then_some((publication, endpoint))
}

/// The endpoint that `publication`, which was found under the name of `socket`, leads to, if it is really about that.
#[inline(always)]
fn leads_to(publication: &Publication, socket: &HostSocket) -> Option<&'static Endpoint> {
    let endpoint = records::endpoint(publication.endpoint)?;
    let is_for = publish::is_for(publication, socket, endpoint) && devices::fwd_is_there(publication.endpoint);
    is_for.then_some(endpoint)
}

/// An address of IPv4 in its mapped form, by whole words.
#[inline(always)]
fn ipv4(addr: [u8; 4]) -> Addr {
    ipv6::of_words(mapped_words(u32::from_ne_bytes(addr)))
}

/// Whether `sender`, an address of IPv4, may use the publication.
#[inline(always)]
pub(crate) fn admits(publication: &Publication, sender: [u8; 4]) -> bool {
    publication.senders == 0 || is_sender(publication, ipv4(sender))
}

/// The same of an address of IPv6.
#[inline(always)]
pub(crate) fn admits_ipv6(publication: &Publication, sender: Addr) -> bool {
    publication.senders == 0 || is_sender(publication, sender)
}

#[inline(always)]
fn is_sender(publication: &Publication, sender: Addr) -> bool {
    let Some(sought) = scratch(&SOUGHT) else { return false };
    sought.sender = publish::sent_by(publication, sender);
    PUBLISHED_TO.get(sought.sender_key()).is_some_and(|cookie| *cookie == publication.netns_cookie)
}
