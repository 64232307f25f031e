//! Programs of the host and published ports: their sockets are led to the endpoint before they send anything, and told afterwards that the
//! other end is what they had asked for.
//!
//! Datagrams of a socket of IPv6 that is not connected go by `host_sendmsg4` where they are for IPv4; to `::1` the kernel does not let them
//! be led (`udpv6_sendmsg`, net/ipv6/udp.c, refuses an address of IPv4 there).

use aya_ebpf::btf_maps::lpm_trie::Key;
use forwarder_common::{
    abi::{HOST_SOCKET_BITS, Tuple, is_v4, mapped_words},
    decide::{
        host_access::{self, LOCALHOST, LOCALHOST6},
        unsolicited::publish,
    },
};

use crate::{
    kernel::{
        devices,
        maps::{HOST_ADDRESSES, PUBLISHED, config},
        records,
        sock_addr::SockAddr,
    },
    table::usage::is_published,
};

/// What every program here returns: the kernel goes on.
const GO_ON: i32 = 1;

/// Leads a socket to the endpoint, if it asks for a published port.
#[inline(always)]
pub(crate) fn lead_v4(ctx: SockAddr) -> i32 {
    if let Some(inside) = lead(ctx, ctx.v4(), false) {
        ctx.set_v4(host_access::address(inside), host_access::port(inside));
    }
    GO_ON
}

/// The same of a socket of IPv6, which asks for an address of IPv4 or for `::1`.
#[inline(always)]
pub(crate) fn lead_v6(ctx: SockAddr) -> i32 {
    let addr = ctx.v6();
    let Some((v4, loopback)) = ipv4_of(addr) else { return GO_ON };
    if loopback && ctx.host_listens_v6(ctx.protocol() as u8, addr, ctx.port()) {
        return GO_ON;
    }
    if let Some(inside) = lead(ctx, v4, loopback) {
        ctx.set_v6(mapped_words(u32::from_ne_bytes(host_access::address(inside))), host_access::port(inside));
    }
    GO_ON
}

/// Tells a program that the other end is what it had asked for.
#[inline(always)]
pub(crate) fn restore_v4(ctx: SockAddr) -> i32 {
    if let Some(asked) = asked_for(ctx, ctx.v4()) {
        ctx.set_v4(host_access::address(asked), host_access::port(asked));
    }
    GO_ON
}

/// The same where the program looks at an address of IPv6.
#[inline(always)]
pub(crate) fn restore_v6(ctx: SockAddr) -> i32 {
    if let Some((v4, false)) = ipv4_of(ctx.v6())
        && let Some(asked) = asked_for(ctx, v4)
    {
        let v4 = mapped_words(u32::from_ne_bytes(host_access::address(asked)));
        let addr = if asked & host_access::IPV6 == 0 { v4 } else { LOCALHOST6 };
        ctx.set_v6(addr, host_access::port(asked));
    }
    GO_ON
}

/// The address of IPv4 that one of IPv6 stands for, and whether that is `::1`.
#[inline(always)]
fn ipv4_of(addr: [u32; 4]) -> Option<([u8; 4], bool)> {
    let [.., last] = addr;
    match (host_access::is_localhost6(addr), is_v4(addr)) {
        (true, _) => Some((LOCALHOST, true)),
        (false, true) => Some((last.to_ne_bytes(), false)),
        (false, false) => None,
    }
}

/// The socket inside that one is led to that asks for `addr` and its port, as [`host_access::word`] has it. It is noted.
#[inline(always)]
fn lead(ctx: SockAddr, addr: [u8; 4], ipv6: bool) -> Option<u64> {
    let (proto, port) = (ctx.protocol() as u8, ctx.port());
    let (interface, source) = ctx.bound_to();
    if !host_access::can_be_led(proto, interface, source)
        || !is_published(proto, u16::from_ne_bytes(port))
        || !ctx.is_of(config()?.host_cookie)
    {
        return None;
    }
    let tuple = host_access::asked(proto, addr, port);
    if !host_access::is_loopback(tuple.daddr) && HOST_ADDRESSES.get_ptr(&tuple.daddr).is_none() {
        return None;
    }
    let inside = find(&tuple, false).or_else(|| find(&tuple, true))?;
    // Whatever listens on the host itself is reached as ever: a resolver at 127.0.0.53 beside a published port 53.
    if ctx.host_listens(&tuple) {
        return None;
    }
    let asked = host_access::word(addr, port, ipv6);
    let peers = ctx.new_peers()?;
    if let Some(place) = host_access::place(peers, inside, asked) {
        *peers.asked.get_mut(place)? = asked;
        *peers.inside.get_mut(place)? = inside;
        peers.next = peers.next.wrapping_add(1);
    }
    Some(inside)
}

/// The socket inside that `tuple` leads to, published at its very destination or (`at_all`) at all addresses of the host.
#[inline(always)]
fn find(tuple: &Tuple, at_all: bool) -> Option<u64> {
    let key = Key::new(HOST_SOCKET_BITS, publish::socket(tuple, at_all));
    let publication = *PUBLISHED.get(&key)?;
    let endpoint = records::endpoint(publication.endpoint)?;
    if !publish::is_for(&publication, tuple, endpoint) || !devices::fwd_is_there(publication.endpoint) {
        return None;
    }
    let inside = publish::internal(&publication, tuple, endpoint);
    Some(host_access::word(inside.addr, inside.port, false))
}

/// What the socket had asked for, if it was led to `addr` and the port.
#[inline(always)]
fn asked_for(ctx: SockAddr, addr: [u8; 4]) -> Option<u64> {
    let peers = ctx.peers()?;
    host_access::asked_for(peers, host_access::word(addr, ctx.port(), false))
}
