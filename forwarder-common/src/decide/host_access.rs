//! Programs of the host that ask for a published port by an address of the host, its loopback among them: which of them are led to the
//! endpoint, and what they take for the other end then.
//!
//! The kernel asks before a socket connects or sends (`BPF_CGROUP_INET4_CONNECT` and others, include/uapi/linux/bpf.h), so that the
//! packets are of the endpoint's address from the first on, and nothing has to be translated: no packet with an address of the loopback
//! ever leaves it.

use crate::{
    abi::{HOST_PEERS, HostPeers, Tuple},
    wire::l4::Proto,
};

/// What a socket asks for: the tuple of a packet from nowhere to `addr` and `port`.
#[inline(always)]
#[must_use]
pub const fn asked(proto: u8, addr: [u8; 4], port: [u8; 2]) -> Tuple {
    Tuple { saddr: [0; 4], daddr: meant(addr), sport: [0; 2], dport: port, ifindex: 0, proto, query: 0, family: 0 }
}

/// The address that is meant: to ask for none means the loopback (`ip_route_output_key_hash_rcu`, net/ipv4/route.c).
#[inline(always)]
const fn meant(addr: [u8; 4]) -> [u8; 4] {
    if u32::from_ne_bytes(addr) == 0 { LOCALHOST } else { addr }
}

/// What `::1` stands for, where a socket of IPv6 asks.
pub const LOCALHOST: [u8; 4] = [127, 0, 0, 1];

/// `::1`, as words of memory.
pub const LOCALHOST6: [u32; 4] = [0, 0, 0, 1_u32.to_be()];

/// Whether an address of IPv6, as words of memory, is `::1`, or `::`, by which a socket means it (`tcp_v6_connect`, net/ipv6/tcp_ipv6.c).
#[inline(always)]
#[must_use]
pub const fn is_localhost6([a, b, c, d]: [u32; 4]) -> bool {
    let [.., one] = LOCALHOST6;
    (a | b | c) == 0 && (d == one || d == 0)
}

/// Whether an address is of the loopback (RFC 1122 §3.2.1.3).
#[inline(always)]
#[must_use]
pub const fn is_loopback(addr: [u8; 4]) -> bool {
    let [first, ..] = addr;
    first == 127
}

/// Whether a socket can be led elsewhere: it is of TCP or UDP, and bound to no interface (0) and to no address of the loopback, from which
/// it would reach nobody.
#[inline(always)]
#[must_use]
pub const fn can_be_led(proto: u8, interface: u32, source: [u8; 4]) -> bool {
    (proto == Proto::Tcp as u8 || proto == Proto::Udp as u8) && interface == 0 && !is_loopback(source)
}

/// An address and a port as one word, with [`IPV6`] if it was asked for by `::1`. It is never 0.
#[inline(always)]
#[must_use]
pub const fn word(addr: [u8; 4], port: [u8; 2], ipv6: bool) -> u64 {
    let (addr, port) = (u32::from_ne_bytes(addr) as u64, u16::from_ne_bytes(port) as u64);
    let family = if ipv6 { IPV6 } else { 0 };
    addr | port << 32 | SET | family
}

/// Set in every [`word`].
const SET: u64 = 1 << 48;
/// Set in a [`word`]: `::1` was asked for.
pub const IPV6: u64 = 1 << 49;

/// The address of a [`word`].
#[inline(always)]
#[must_use]
pub const fn address(word: u64) -> [u8; 4] {
    (word as u32).to_ne_bytes()
}

/// The port of a [`word`], network byte order.
#[inline(always)]
#[must_use]
pub const fn port(word: u64) -> [u8; 2] {
    ((word >> 32) as u16).to_ne_bytes()
}

/// Where a socket notes that it was led to `inside`: the place that it has already, or the next. None where the same stands there.
#[inline(always)]
#[must_use]
pub fn place(peers: &HostPeers, inside: u64, asked: u64) -> Option<usize> {
    let known = peers.inside.iter().position(|it| *it == inside);
    match known {
        Some(place) if peers.asked.get(place) == Some(&asked) => None,
        Some(place) => Some(place),
        None => Some((peers.next % HOST_PEERS as u64) as usize),
    }
}

/// What a socket had asked for that was led to `inside`; none if it was not.
#[inline(always)]
#[must_use]
pub fn asked_for(peers: &HostPeers, inside: u64) -> Option<u64> {
    let place = peers.inside.iter().position(|it| *it == inside)?;
    peers.asked.get(place).copied().filter(|asked| *asked != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: [u8; 4] = [10, 77, 0, 2];

    fn note(peers: &mut HostPeers, inside: u64, asked: u64) {
        if let Some(place) = place(peers, inside, asked) {
            (peers.inside[place], peers.asked[place]) = (inside, asked);
            peers.next += 1;
        }
    }

    #[test]
    fn nothing_and_the_loopback_mean_the_host_itself() {
        assert_eq!(asked(6, [0; 4], [0, 80]).daddr, LOCALHOST);
        assert_eq!(asked(6, [192, 0, 2, 7], [0, 80]).daddr, [192, 0, 2, 7]);
        assert!(is_loopback([127, 0, 0, 53]) && !is_loopback([128, 0, 0, 1]));
        assert!(is_localhost6(LOCALHOST6) && is_localhost6([0; 4]) && !is_localhost6([0, 0, 0, 2_u32.to_be()]));
    }

    #[test]
    fn who_is_bound_to_the_loopback_or_to_an_interface_is_left_alone() {
        let (tcp, udp) = (Proto::Tcp as u8, Proto::Udp as u8);
        assert!(can_be_led(tcp, 0, [0; 4]) && can_be_led(udp, 0, [192, 0, 2, 7]));
        assert!(!can_be_led(tcp, 0, [127, 0, 0, 1]) && !can_be_led(udp, 3, [0; 4]));
        assert!(!can_be_led(Proto::Icmp as u8, 0, [0; 4]));
    }

    #[test]
    fn words_tell_address_port_and_family() {
        for ipv6 in [false, true] {
            let word = word(INSIDE, [0x1f, 0x90], ipv6);
            assert_eq!((address(word), port(word), word & IPV6 != 0), (INSIDE, [0x1f, 0x90], ipv6));
        }
        assert_ne!(word([0; 4], [0; 2], false), 0);
    }

    #[test]
    fn socket_knows_the_last_ports_that_it_was_led_to() {
        let mut peers = HostPeers::default();
        let pair = |number: u8| (word(INSIDE, [0, number], false), word(LOCALHOST, [1, number], false));
        for number in 0..=HOST_PEERS as u8 {
            let (inside, asked) = pair(number);
            note(&mut peers, inside, asked);
            note(&mut peers, inside, asked);
            assert_eq!(asked_for(&peers, inside), Some(asked));
        }
        assert_eq!(asked_for(&peers, pair(0).0), None, "there is no place for more");
        assert!((1..=HOST_PEERS as u8).all(|number| asked_for(&peers, pair(number).0) == Some(pair(number).1)));
        // The same port inside, by another address.
        let (inside, _) = pair(2);
        let other = word([192, 0, 2, 7], [1, 2], false);
        note(&mut peers, inside, other);
        assert_eq!(asked_for(&peers, inside), Some(other));
        assert_eq!(asked_for(&HostPeers::default(), 0), None);
    }
}
