//! Programs of the host that ask for a published port by an address of the host, its loopback among them: which of them are led to the
//! endpoint, and what they take for the other end then.
//!
//! The kernel asks before a socket connects or sends (`BPF_CGROUP_INET4_CONNECT` and others, include/uapi/linux/bpf.h), so that the
//! packets are of the endpoint's address from the first on, and nothing has to be translated: no packet with an address of the loopback
//! ever leaves it.

use crate::{
    abi::{Addr, HOST_PEERS, HostPeer, HostPeers, HostSocket, endpoint_flags, is_v4, mapped_words},
    wire::{ipv6, l4::Proto},
};

/// A socket that a program of the host names as the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Address of either family ([`mapped_words`]), as words of memory.
    pub addr: [u32; 4],
    /// Port, network byte order.
    pub port: [u8; 2],
}

impl Peer {
    /// What is meant by `addr`: to ask for no address means the loopback of its family (`ip_route_output_key_hash_rcu` in net/ipv4/route.c,
    /// `tcp_v6_connect` in net/ipv6/tcp_ipv6.c).
    #[inline(always)]
    #[must_use]
    pub const fn meant(addr: [u32; 4], port: [u8; 2]) -> Self {
        let [a, b, c, d] = addr;
        let addr = if is_v4(addr) && d == 0 {
            LOCALHOST
        } else if a | b | c | d == 0 {
            LOCALHOST6
        } else {
            addr
        };
        Self { addr, port }
    }

    /// As what it would be published.
    #[inline(always)]
    #[must_use]
    pub const fn socket(self, proto: u8) -> HostSocket {
        HostSocket { addr: ipv6::of_words(self.addr), proto: proto as u32, _pad: 0, port: self.port }
    }
}

/// `127.0.0.1`, in its mapped form.
pub const LOCALHOST: [u32; 4] = mapped_words(u32::from_ne_bytes([127, 0, 0, 1]));

/// `::1`.
pub const LOCALHOST6: [u32; 4] = [0, 0, 0, 1_u32.to_be()];

/// Whether an address of either family is of the loopback (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3).
#[inline(always)]
#[must_use]
pub const fn is_loopback(addr: [u32; 4]) -> bool {
    let ([a, b, c, d], [.., one]) = (addr, LOCALHOST6);
    if is_v4(addr) { is_loopback_v4(d.to_ne_bytes()) } else { (a | b | c) == 0 && d == one }
}

/// Whether an address of IPv4 is of the loopback.
#[inline(always)]
#[must_use]
pub const fn is_loopback_v4(addr: [u8; 4]) -> bool {
    let [first, ..] = addr;
    first == 127
}

/// Whether a socket can be led elsewhere: it is of TCP or UDP, and bound to no interface (0), nor (`by_loopback`) to an address of the
/// loopback, from which it would reach nobody.
#[inline(always)]
#[must_use]
pub const fn can_be_led(proto: u8, interface: u32, by_loopback: bool) -> bool {
    (proto == Proto::Tcp as u8 || proto == Proto::Udp as u8) && interface == 0 && !by_loopback
}

/// Whether a program of the host is led to an endpoint with these flags although something listens on the host at the `addr` that it asks for.
///
/// Runtimes hold the ports that they publish (podman before 5.5), and answer nobody there; a port that anybody else has is not published
/// for their endpoints. What listens at another address of the loopback (a resolver at 127.0.0.53) is meant where it is asked for.
#[inline(always)]
#[must_use]
pub const fn passes_listeners(flags: u32, addr: [u32; 4]) -> bool {
    let apart = is_loopback(addr) && !is_same(addr, LOCALHOST) && !is_same(addr, LOCALHOST6);
    flags & endpoint_flags::RUNTIME != 0 && !apart
}

/// Where programs of the host reach the endpoint with these addresses, if they have asked for `asked`: by the same family.
#[inline(always)]
#[must_use]
pub const fn address_inside(asked: &Peer, v4: [u8; 4], v6: Addr) -> [u32; 4] {
    if is_v4(asked.addr) { mapped_words(u32::from_ne_bytes(v4)) } else { ipv6::words(v6) }
}

#[inline(always)]
const fn is_same([a, b, c, d]: [u32; 4], [e, f, g, h]: [u32; 4]) -> bool {
    (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) == 0
}

#[inline(always)]
const fn leads_to(peer: &HostPeer, inside: &Peer) -> bool {
    let port = u16::from_ne_bytes(inside.port);
    port != 0 && u16::from_ne_bytes(peer.inside_port) == port && is_same(peer.inside, inside.addr)
}

/// Notes in `peers` that the socket was led to `inside` when it had asked for `asked`: in the place that it has already, or the next.
#[inline(always)]
pub fn note(peers: &mut HostPeers, inside: &Peer, asked: &Peer) {
    let known = peers.peers.iter().position(|it| leads_to(it, inside));
    let next = known.is_none();
    let place = known.unwrap_or((peers.next % HOST_PEERS as u32) as usize);
    if next {
        peers.next = peers.next.wrapping_add(1);
    }
    let Some(peer) = peers.peers.get_mut(place) else { return };
    *peer = HostPeer { inside: inside.addr, asked: asked.addr, inside_port: inside.port, asked_port: asked.port };
}

/// What a socket had asked for that was led to `inside`; none if it was not.
#[inline(always)]
#[must_use]
pub fn asked_for(peers: &HostPeers, inside: &Peer) -> Option<Peer> {
    let peer = peers.peers.iter().find(|it| leads_to(it, inside))?;
    Some(Peer { addr: peer.asked, port: peer.asked_port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::mapped;

    const INSIDE: [u32; 4] = mapped_words(u32::from_ne_bytes([10, 77, 0, 2]));
    const INSIDE6: [u32; 4] = [0xfd, 0, 0, 7];

    #[test]
    fn endpoints_of_runtimes_pass_listeners_by_but_for_those_apart() {
        const RUNTIME: u32 = endpoint_flags::RUNTIME;
        assert!([LOCALHOST, LOCALHOST6, INSIDE].into_iter().all(|addr| passes_listeners(RUNTIME, addr)));
        let resolver = mapped_words(u32::from_ne_bytes([127, 0, 0, 53]));
        assert!(!passes_listeners(RUNTIME, resolver) && !passes_listeners(!RUNTIME, LOCALHOST));
    }

    #[test]
    fn nothing_and_the_loopback_mean_the_host_itself() {
        let meant = |addr| Peer::meant(addr, [0, 80]).addr;
        assert_eq!((meant(mapped_words(0)), meant([0; 4])), (LOCALHOST, LOCALHOST6));
        assert_eq!((meant(INSIDE), meant(INSIDE6)), (INSIDE, INSIDE6));
        assert_eq!(Peer::meant([0; 4], [0, 80]).socket(6).addr, 1_u128.to_be_bytes());
        assert!(is_loopback(LOCALHOST) && is_loopback(LOCALHOST6) && is_loopback_v4([127, 0, 0, 53]));
        assert!(
            !is_loopback([0; 4]) && !is_loopback(INSIDE) && !is_loopback(INSIDE6) && !is_loopback_v4([128, 0, 0, 1])
        );
    }

    #[test]
    fn who_is_bound_to_the_loopback_or_to_an_interface_is_left_alone() {
        let (tcp, udp) = (Proto::Tcp as u8, Proto::Udp as u8);
        assert!(can_be_led(tcp, 0, false) && can_be_led(udp, 0, false));
        assert!(!can_be_led(tcp, 0, true) && !can_be_led(udp, 3, false));
        assert!(!can_be_led(Proto::Icmp as u8, 0, false));
    }

    #[test]
    fn endpoint_is_reached_by_the_family_that_was_asked_for() {
        let asked = |addr| Peer { addr, port: [0, 80] };
        let v6 = ipv6::of_words(INSIDE6);
        assert_eq!(address_inside(&asked(LOCALHOST), [10, 77, 0, 2], v6), INSIDE);
        assert_eq!(address_inside(&asked(LOCALHOST6), [10, 77, 0, 2], v6), INSIDE6);
        assert_eq!(
            asked(INSIDE).socket(17),
            HostSocket { addr: mapped([10, 77, 0, 2]), proto: 17, _pad: 0, port: [0, 80] }
        );
    }

    #[test]
    fn socket_knows_the_last_ports_that_it_was_led_to() {
        let mut peers = HostPeers::default();
        let pair = |number: u8| {
            let inside = if number.is_multiple_of(2) { INSIDE } else { INSIDE6 };
            (Peer { addr: inside, port: [1, number] }, Peer { addr: LOCALHOST6, port: [2, number] })
        };
        for number in 0..=HOST_PEERS as u8 {
            let (inside, asked) = pair(number);
            note(&mut peers, &inside, &asked);
            note(&mut peers, &inside, &asked);
            assert_eq!(asked_for(&peers, &inside), Some(asked));
        }
        assert_eq!(asked_for(&peers, &pair(0).0), None, "there is no place for more");
        assert!((1..=HOST_PEERS as u8).all(|number| asked_for(&peers, &pair(number).0) == Some(pair(number).1)));
        // The same port inside, by another address.
        let (inside, _) = pair(2);
        let other = Peer { addr: INSIDE6, port: [3, 4] };
        note(&mut peers, &inside, &other);
        assert_eq!(asked_for(&peers, &inside), Some(other));
        assert_eq!(asked_for(&HostPeers::default(), &Peer { addr: [0; 4], port: [0; 2] }), None);
    }
}
