//! Conversations between networks that conntrack knows, ended.
//!
//! Messages of ctnetlink (include/uapi/linux/netfilter/nfnetlink_conntrack.h).

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::{
    Failure, Socket,
    message::{Family, Message, attribute, bytes},
};
use fwd_base::Result;

// `CTA_*`, `CTA_TUPLE_*` and `CTA_IP_*`.
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const TUPLE_IP: u16 = 1;
const SOURCE: [u16; 2] = [1, 3];

/// Forgets each that was begun by one of the two and is answered by the other: what still comes of it is nobody's answer.
pub(super) fn end(subnets: [IpNet; 2]) -> Result<()> {
    let change = || -> Result<(), Failure> {
        let (socket, family) = (Socket::open()?, Family::of(matches!(subnets[0], IpNet::V4(_))));
        let found = socket.list(&Message::get_conversations(family))?;
        let between = found.iter().filter(|entry| is_between(entry.attributes(), subnets));
        between.map(|entry| deletion(entry, family)).try_for_each(|message| match socket.change(message) {
            // It has ended by itself.
            Err(failure) if failure.is_absence() => Ok(()),
            result => result,
        })
    };
    change().map_err(|failure| failure.doing("end", "what networks speak with each other"))
}

/// What names an entry of conntrack: as it was begun, in its zone, and that it is this one and no later one.
fn deletion(entry: &Message, family: Family) -> Message {
    let named = [TUPLE_ORIGINAL, ID, ZONE].into_iter().filter_map(|kind| {
        let value = attribute(entry.attributes(), kind)?;
        let nested = if kind == TUPLE_ORIGINAL { Message::NESTED } else { 0 };
        Some(bytes(kind | nested, &value))
    });
    Message::delete_conversation(family, named.collect())
}

/// Whether one of both has begun it, and the other answers.
fn is_between(entry: &[u8], [one, other]: [IpNet; 2]) -> bool {
    let ends = [TUPLE_ORIGINAL, TUPLE_REPLY].map(|tuple| source(entry, tuple));
    let [Some(begun), Some(answers)] = ends else { return false };
    (one.contains(&begun) && other.contains(&answers)) || (other.contains(&begun) && one.contains(&answers))
}

/// The source of packets of one direction.
fn source(entry: &[u8], tuple: u16) -> Option<IpAddr> {
    let addresses = attribute(&attribute(entry, tuple)?, TUPLE_IP)?;
    let [v4, v6] = SOURCE.map(|kind| attribute(&addresses, kind));
    let v4 = v4.and_then(|value| <[u8; 4]>::try_from(value).ok()).map(IpAddr::from);
    v4.or_else(|| v6.and_then(|value| <[u8; 16]>::try_from(value).ok()).map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::{DefaultNla, Emitable};

    use super::{super::super::message::nested, *};

    fn entry(begun: &[u8], answers: &[u8]) -> Vec<u8> {
        let kind = SOURCE[usize::from(begun.len() == 16)];
        let tuple = |tuple, address: &[u8]| nested(tuple, &[nested(TUPLE_IP, &[bytes(kind, address)])]);
        let all: Vec<DefaultNla> = vec![tuple(TUPLE_ORIGINAL, begun), tuple(TUPLE_REPLY, answers)];
        let mut buffer = vec![0; all.as_slice().buffer_len()];
        all.as_slice().emit(&mut buffer);
        buffer
    }

    #[test]
    fn conversation_is_between_two_networks_whoever_has_begun_it() {
        let nets = ["10.8.0.0/24", "10.9.0.0/24"].map(|net| net.parse().expect("a network"));
        for (begun, answers, is) in [
            ([10, 8, 0, 2], [10, 9, 0, 3], true),
            ([10, 9, 0, 3], [10, 8, 0, 2], true),
            ([10, 8, 0, 2], [10, 8, 0, 3], false),
            ([10, 8, 0, 2], [192, 0, 2, 1], false),
        ] {
            assert_eq!(is_between(&entry(&begun, &answers), nets), is, "{begun:?} {answers:?}");
        }
        let nets = ["fd00:8::/64", "fd00:9::/64"].map(|net| net.parse().expect("a network"));
        let [one, other] = ["fd00:8::2", "fd00:9::2"].map(|it| it.parse::<std::net::Ipv6Addr>().expect("one").octets());
        assert!(is_between(&entry(&one, &other), nets) && !is_between(&entry(&one, &one), nets));
        assert!(!is_between(&[], nets), "of what nothing is known");
    }
}
