//! Of IPv6: what is written is what is read.

use core::net::Ipv6Addr;
use std::{vec, vec::Vec};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    types::{checksum::full, verdict::DropReason},
    wire::{
        extension::{self, LONGEST, MOST, Upper, header},
        icmpv6, ipv6, ndisc,
    },
};

fn any_transport() -> impl Strategy<Value = Transport> {
    let sums = prop_oneof![Just(Sum::Complete), Just(Sum::Wrong), Just(Sum::Partial)];
    let icmp = (any::<u8>(), any::<u8>(), any::<[u8; 4]>(), sums.clone())
        .prop_map(|(kind, code, rest, sum)| Transport::Icmpv6(Icmp { kind, code, rest, sum }));
    let udp = (any::<u16>(), any::<u16>(), sums)
        .prop_map(|(src_port, dst_port, sum)| Transport::Udp(Udp { src_port, dst_port, length: None, sum }));
    prop_oneof![icmp, udp, prop_oneof![Just(47), Just(header::NONE)].prop_map(Transport::Other)]
}

/// A header that may stand anywhere.
fn any_extension() -> impl Strategy<Value = Extension> {
    prop_oneof![
        vec(any::<u8>(), 0..20).prop_map(Extension::Destination),
        (any::<u8>(), vec(any::<u8>(), 0..20)).prop_map(|(kind, data)| Extension::Routing {
            kind,
            segments_left: 0,
            data
        }),
    ]
}

prop_compose! {
    fn any_packet()(
        ends: [[u8; 16]; 2], traffic_class: u8, flow_label in 0_u32..1 << 20, hop_limit: u8,
        first in prop::option::of(vec(any::<u8>(), 0..20)), mut extensions in vec(any_extension(), 0..4),
        fragment in prop::option::of((0_u16..1 << 13, any::<bool>(), any::<u32>())),
        transport in any_transport(), payload in vec(any::<u8>(), 0..100),
    ) -> Ipv6Packet {
        let [src, dst] = ends.map(Ipv6Addr::from);
        extensions.splice(0..0, first.map(Extension::HopByHop));
        extensions.extend(fragment.map(|(start, more, id)| Extension::Fragment { start, more, id }));
        Ipv6Packet { src, dst, traffic_class, flow_label, hop_limit, payload_len: None, extensions, transport, payload }
    }
}

/// Bytes of its extension headers.
fn chain(packet: &Ipv6Packet) -> usize {
    let padded = |data: &[u8], before: usize| (data.len() + before).next_multiple_of(8);
    let lengths = packet.extensions.iter().map(|extension| match extension {
        Extension::HopByHop(options) | Extension::Destination(options) => padded(options, 2),
        Extension::Routing { data, .. } => padded(data, 4),
        Extension::Fragment { .. } => 8,
    });
    lengths.sum()
}

/// What the walk should say of the packet.
fn upper(packet: &Ipv6Packet) -> Upper {
    let (proto, off) = (packet.transport.proto(), ipv6::LEN + chain(packet));
    match packet.extensions.last() {
        Some(Extension::Fragment { start, more, id }) => {
            let fragmentation = start << 3 | u16::from(*more);
            Upper { proto, off, fragment: fragmentation != 0, fragmentation, id: *id, fragment_off: off - 8 }
        }
        _ => Upper { proto, off, fragment: false, fragmentation: 0, id: 0, fragment_off: 0 },
    }
}

proptest! {
    #[test]
    fn every_field_is_read_as_it_was_written(packet in any_packet()) {
        let bytes = packet.emit();
        let ip = ipv6::parse(&&bytes[..], 0).unwrap();
        let next_header = packet.extensions.first().map_or(packet.transport.proto(), Extension::number);
        let expected = ipv6::Header {
            src: packet.src.octets(),
            dst: packet.dst.octets(),
            next_header,
            hop_limit: packet.hop_limit,
            traffic_class: packet.traffic_class,
            flow_label: packet.flow_label,
            payload_len: (bytes.len() - ipv6::LEN) as u16,
            off: 0,
        };
        prop_assert_eq!((ip, ip.end()), (expected, bytes.len()));
        let found = extension::walk(&&bytes[..], &ip, bytes.len());
        prop_assert_eq!(found, if chain(&packet) <= LONGEST { Ok(upper(&packet)) } else { Err(DropReason::ExtensionHeaders) });
        let Ok(found) = found else { return Ok(()) };
        if let Transport::Icmpv6(Icmp { kind, code, rest, .. }) = packet.transport {
            let check = [bytes[found.off + 2], bytes[found.off + 3]];
            let read = icmpv6::parse(&&bytes[..], found.off, bytes.len());
            prop_assert_eq!(read, Ok(icmpv6::Header { kind, code, check, rest }));
        }
    }

    #[test]
    fn transport_checksum_covers_the_addresses(packet in any_packet()) {
        let (at, sum) = match packet.transport {
            Transport::Icmpv6(Icmp { sum, .. }) => (2, sum),
            Transport::Udp(Udp { sum, .. }) => (6, sum),
            _ => return Ok(()),
        };
        let bytes = packet.emit();
        let l4 = &bytes[ipv6::LEN + chain(&packet)..];
        let length = (l4.len() as u32).to_be_bytes();
        let pseudo = [&bytes[8..40], &length[..], &[0, 0, 0, packet.transport.proto()]].concat();
        let added = full(&[&pseudo, l4].concat());
        match sum {
            Sum::Complete => prop_assert_eq!(added, [0, 0]),
            Sum::Wrong => prop_assert_ne!(added, [0, 0]),
            _ => prop_assert_eq!(&l4[at..at + 2], full(&pseudo).map(|byte| !byte)),
        }
    }

    #[test]
    fn discovery_is_read_as_it_was_written(
        kind in ndisc::kind::ROUTER_SOLICITATION..=ndisc::kind::REDIRECT, flags: u8, ends: [[u8; 16]; 2],
        options in vec((any::<u8>(), any::<[u8; 6]>(), 0_usize..3), 0..5),
    ) {
        let [target, destination] = ends.map(Ipv6Addr::from);
        let bytes: Vec<u8> = options
            .iter()
            .flat_map(|&(kind, mac, units)| {
                let mut option = mac_option(kind, mac).to_vec();
                option.resize(8 + 8 * units, 7);
                option[1] = (1 + units) as u8;
                option
            })
            .collect();
        let message = Discovery { kind, flags, target, destination, options: bytes };
        let packet = Ipv6Packet::discovery(target, destination, &message).emit();
        let read = ndisc::parse(&&packet[..], ipv6::LEN, packet.len()).unwrap();
        prop_assert_eq!((read.kind, packet[7]), (kind, 255));
        if kind == ndisc::kind::NEIGHBOUR_ADVERTISEMENT {
            prop_assert_eq!(read.flags, flags);
        }
        if ndisc::length(kind) >= 24 {
            prop_assert_eq!(read.target, target.octets());
        }
        if kind == ndisc::kind::REDIRECT {
            prop_assert_eq!(read.destination, destination.octets());
        }
        let mut left = read.options;
        for (kind, mac, units) in options {
            let expected = ndisc::NdOption { kind, len: 8 + 8 * units, mac };
            prop_assert_eq!(left.read(&&packet[..]), Ok(expected));
        }
        prop_assert!(left.is_empty());
    }
}

fn walked(extensions: Vec<Extension>) -> Result<Upper, DropReason> {
    let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    let bytes = Ipv6Packet { extensions, ..Ipv6Packet::echo(src, dst, 7) }.emit();
    extension::walk(&&bytes[..], &ipv6::parse(&&bytes[..], 0)?, bytes.len())
}

#[test]
fn a_chain_ends_within_bounds() {
    let options = || Extension::Destination(vec![]);
    let fragment = || Extension::Fragment { start: 0, more: true, id: 1 };
    let most = MOST as usize;
    assert_eq!(walked(vec![options(); most]).map(|upper| upper.proto), Ok(icmpv6::PROTO));
    assert_eq!(walked(vec![options(); most + 1]), Err(DropReason::ExtensionHeaders));
    assert_eq!(walked(vec![Extension::Destination(vec![0; LONGEST - 2])]).map(|upper| upper.proto), Ok(icmpv6::PROTO));
    assert_eq!(walked(vec![Extension::Destination(vec![0; LONGEST])]), Err(DropReason::ExtensionHeaders));
    assert_eq!(walked(vec![fragment(), fragment()]), Err(DropReason::ExtensionHeaders));
    assert_eq!(walked(vec![options(), Extension::HopByHop(vec![])]), Err(DropReason::Malformed));
    let routing = |segments_left| vec![Extension::Routing { kind: 0, segments_left, data: vec![0; 20] }];
    assert_eq!(walked(routing(0)).map(|upper| upper.proto), Ok(icmpv6::PROTO));
    assert_eq!(walked(routing(1)), Err(DropReason::SourceRoute));
}

#[test]
fn what_is_cut_is_no_chain() {
    let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    let read = |packet: &Ipv6Packet, end| {
        let bytes = packet.emit();
        extension::walk(&&bytes[..], &ipv6::parse(&&bytes[..], 0).unwrap(), end)
    };
    let whole = Ipv6Packet::echo(src, dst, 7).extension(Extension::Destination(vec![0; 6]));
    assert_eq!(read(&whole, ipv6::LEN + 7), Err(DropReason::Truncated));
    assert!(read(&whole, ipv6::LEN + 8).is_ok());
    // The chain of a first fragment goes on in the next one.
    let first = Extension::Fragment { start: 0, more: true, id: 1 };
    let hidden = Ipv6Packet::echo(src, dst, 7).extension(first).extension(Extension::Destination(vec![0; 6]));
    assert_eq!(read(&hidden, ipv6::LEN + 8), Err(DropReason::ExtensionHeaders));
}

#[test]
fn options_of_no_length_or_behind_the_end_are_no_options() {
    let read = |options: &[u8]| {
        let message = Discovery::new(ndisc::kind::ROUTER_SOLICITATION, Ipv6Addr::UNSPECIFIED, options);
        let bytes = Ipv6Packet::discovery(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, &message).emit();
        let mut left = ndisc::parse(&&bytes[..], ipv6::LEN, bytes.len()).unwrap().options;
        left.read(&&bytes[..])
    };
    assert!(read(&mac_option(1, [2; 6])).is_ok());
    for wrong in [&[1, 0, 0, 0, 0, 0, 0, 0][..], &[1, 2, 0, 0, 0, 0, 0, 0], &[1, 1, 0, 0]] {
        assert_eq!(read(wrong), Err(DropReason::Malformed), "{wrong:?}");
    }
}
