//! Addresses that the host does not have and answers for at an uplink: the link is told of them, so that who knew them elsewhere knows better at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use forwarder_common::{
    decide::validate::discovery,
    wire::{
        ethernet::ethertype,
        icmpv6,
        ndisc::{HOP_LIMIT, MAC_OPTION, flag},
    },
};

use fwd_base::Result;
use fwd_kernel::{frame, netlink::Mac};

/// The address of all hosts on the link (RFC 4291 §2.7.1), and the hardware address of that group (RFC 2464 §7).
const ALL_NODES: ([u8; 16], Mac) = (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets(), [0x33, 0x33, 0, 0, 0, 1]);

/// Who speaks for the addresses.
pub(super) struct Speaker {
    /// The interface.
    pub index: u32,
    /// Its hardware address.
    pub mac: Mac,
    /// Its address of the link, if it has one. From an endpoint's own address the programs would let nothing of the host leave
    /// (`path/ipv6/guard.rs`).
    pub link: Option<Ipv6Addr>,
}

/// Tells the link that these addresses have the hardware address of the speaker now.
///
/// # Errors
/// A frame cannot be sent.
pub(super) fn tell(speaker: &Speaker, addresses: impl IntoIterator<Item = IpAddr>) -> Result<()> {
    let Speaker { index, mac, link } = *speaker;
    addresses.into_iter().try_for_each(|address| match address {
        IpAddr::V4(address) => frame::send(index, &announcement(mac, address)),
        IpAddr::V6(address) => frame::send(index, &advertisement(mac, link.unwrap_or(address), address)),
    })
}

/// An announcement of ARP (RFC 5227 §3): a request for the address from the address itself, to all.
fn announcement(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    // Ethernet and IPv4, with the lengths of their addresses; a request (RFC 826).
    const REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
    let address = address.octets();
    [&[0xff; 6][..], &mac, &ethertype::ARP, &REQUEST, &mac, &address, &[0; 6], &address].concat()
}

/// An unsolicited advertisement (RFC 4861 §7.2.6), which replaces what is known: nobody else has the address.
fn advertisement(mac: Mac, from: Ipv6Addr, address: Ipv6Addr) -> Vec<u8> {
    const LENGTH: u8 = 24 + MAC_OPTION as u8;
    let ((all, to), [from, address]) = (ALL_NODES, [from, address].map(|it| it.octets()));
    let (head, option) = discovery::advertisement_from(from, (mac, address), all, flag::OVERRIDE, true);
    let ip = [0x60, 0, 0, 0, 0, LENGTH, icmpv6::PROTO, HOP_LIMIT];
    [&to[..], &mac, &ethertype::IPV6, &ip, &from, &all, &head, &address, &option].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 7];

    #[test]
    fn link_is_told_of_ipv4_by_a_request_from_the_address_itself() {
        let frame = announcement(MAC, [192, 0, 2, 7].into());
        assert_eq!(frame.len(), 42);
        assert_eq!(frame.get(28..32), Some(&[192, 0, 2, 7][..]));
        assert_eq!((frame.get(28..32), frame.get(22..28)), (frame.get(38..42), Some(&MAC[..])));
    }

    #[test]
    fn link_is_told_of_ipv6_by_an_advertisement_that_replaces_what_is_known() {
        let [from, own] = ["fe80::7", "2001:db8::7"].map(|it| it.parse::<Ipv6Addr>().expect("an address"));
        let frame = advertisement(MAC, from, own);
        let (addresses, message) = (&frame[22..54], &frame[54..]);
        assert_eq!((message.len(), &message[..2], message[4]), (32, &[136, 0][..], 0x20));
        assert_eq!((&message[8..24], &message[26..]), (&own.octets()[..], &MAC[..]));
        assert_eq!(addresses[..16], from.octets());
        // RFC 8200 §8.1: the addresses, the length and the number of the protocol, and the message.
        let covered = [addresses, &[0, 0, 0, 32, 0, 0, 0, 58], message].concat();
        let sum: u32 = covered.chunks(2).map(|it| u32::from(it[0]) << 8 | u32::from(it[1])).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }
}
