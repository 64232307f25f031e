//! Programs of the host and published ports: their sockets are led to the endpoint before they send anything, and told afterwards that the
//! other end is what they had asked for.
//!
//! Each is led by the family that it has asked by, and so is one that has asked for `::1` where the endpoint has no IPv6, but for a datagram
//! of a socket that is not connected: the kernel does not let that be led to an address of IPv4 (`udpv6_sendmsg`, net/ipv6/udp.c).

use aya_ebpf::btf_maps::lpm_trie::Key;
use forwarder_common::{
    abi::{HOST_SOCKET_BITS, HostSocket, is_v4, mapped_words},
    decide::{
        host_access::{self, LOCALHOST, Peer},
        unsolicited::publish,
    },
};

use super::leads_to;
use crate::{
    kernel::{
        maps::{HOST_ADDRESSES, PUBLISHED, config},
        sock_addr::SockAddr,
    },
    table::usage::is_published,
};

/// What every program here returns: the kernel goes on.
const GO_ON: i32 = 1;

/// Leads a socket to the endpoint, if it asks for a published port.
#[inline(always)]
pub(crate) fn lead_v4(ctx: SockAddr) -> i32 {
    let asked = Peer::meant(mapped_words(ctx.v4()), ctx.port());
    if let Some(Peer { addr: [.., v4], port }) = lead(ctx, asked, asked) {
        ctx.set_v4(v4, port);
    }
    GO_ON
}

/// The same of a socket of IPv6 that connects: it may ask for an address of IPv4, too.
#[inline(always)]
pub(crate) fn lead_v6(ctx: SockAddr) -> i32 {
    let asked = Peer::meant(ctx.v6(), ctx.port());
    let mut inside = lead(ctx, asked, asked);
    if inside.is_none() && !is_v4(asked.addr) && host_access::is_loopback(asked.addr) && !ctx.host_listens(asked) {
        inside = lead(ctx, Peer { addr: LOCALHOST, ..asked }, asked);
    }
    if let Some(Peer { addr, port }) = inside {
        ctx.set_v6(addr, port);
    }
    GO_ON
}

/// The same of a datagram that leaves by a socket of IPv6 which is not connected. What is for IPv4 goes by [`lead_v4`].
#[inline(always)]
pub(crate) fn lead_datagram_v6(ctx: SockAddr) -> i32 {
    let asked = Peer::meant(ctx.v6(), ctx.port());
    if !is_v4(asked.addr)
        && let Some(Peer { addr, port }) = lead(ctx, asked, asked)
    {
        ctx.set_v6(addr, port);
    }
    GO_ON
}

/// Tells a program that the other end is what it had asked for.
#[inline(always)]
pub(crate) fn restore_v4(ctx: SockAddr) -> i32 {
    if let Some(Peer { addr: [.., v4], port }) = asked_for(ctx, mapped_words(ctx.v4())) {
        ctx.set_v4(v4, port);
    }
    GO_ON
}

/// The same where the program looks at an address of IPv6.
#[inline(always)]
pub(crate) fn restore_v6(ctx: SockAddr) -> i32 {
    if let Some(Peer { addr, port }) = asked_for(ctx, ctx.v6()) {
        ctx.set_v6(addr, port);
    }
    GO_ON
}

/// The socket inside that one is led to that asks for `peer`. It is noted, and for what the program takes it then: `asked`.
#[inline(always)]
fn lead(ctx: SockAddr, peer: Peer, asked: Peer) -> Option<Peer> {
    let proto = ctx.protocol() as u8;
    let (interface, by_loopback) = ctx.bound_to(is_v4(peer.addr));
    if !host_access::can_be_led(proto, interface, by_loopback)
        || !is_published(proto, u16::from_ne_bytes(peer.port))
        || !ctx.is_of(config()?.host_cookie)
    {
        return None;
    }
    let socket = peer.socket(proto);
    if !host_access::is_loopback(peer.addr) && HOST_ADDRESSES.get_ptr(&socket.addr).is_none() {
        return None;
    }
    let mut inside = find(&peer, socket, false);
    if inside.is_none() {
        inside = find(&peer, socket, true);
    }
    let (inside, flags) = inside?;
    // Whatever listens on the host itself is reached as ever: a resolver at 127.0.0.53 beside a published port 53.
    if !host_access::passes_listeners(flags, peer.addr) && ctx.host_listens(peer) {
        return None;
    }
    host_access::note(ctx.new_peers()?, &inside, &asked);
    Some(inside)
}

/// The socket inside that `peer`, which is `socket` of the host, leads to, and the flags of its endpoint: published at its very address
/// or (`at_all`) at all of its family.
#[inline(always)]
fn find(peer: &Peer, socket: HostSocket, at_all: bool) -> Option<(Peer, u32)> {
    let socket = if at_all { socket.at_all() } else { socket };
    let publication = *PUBLISHED.get(&Key::new(HOST_SOCKET_BITS, socket))?;
    let endpoint = leads_to(&publication, &socket)?;
    let addr = host_access::address_inside(peer, endpoint.v4, endpoint.v6);
    Some((Peer { addr, port: publish::port_inside(&publication, socket.port) }, endpoint.flags))
}

/// What the socket had asked for, if it was led to `addr` and the port.
#[inline(always)]
fn asked_for(ctx: SockAddr, addr: [u32; 4]) -> Option<Peer> {
    host_access::asked_for(ctx.peers()?, &Peer { addr, port: ctx.port() })
}
