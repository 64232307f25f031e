use std::{fs, path::Path};

use proptest::{prelude::*, sample::Index};

use crate::{PROPERTIES, seeds, seeds_v6};

/// One of these packets with a few bytes changed, perhaps cut short, behind parameters.
fn mutated(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), any::<u8>());
    (0..seeds.len(), any::<[u8; 7]>(), prop::collection::vec(change, 0..4), any::<Option<Index>>()).prop_map(
        move |(seed, parameters, changes, cut)| {
            let mut packet = seeds[seed].clone();
            for (at, byte) in changes {
                let at = at.index(packet.len());
                packet[at] = byte;
            }
            packet.truncate(cut.map_or(packet.len(), |cut| cut.index(packet.len())));
            // The IP header begins at the start of the packet.
            let [flags, rest @ ..] = parameters;
            [&[flags & 0xf][..], &rest, &packet].concat()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_bytes_keep_every_promise(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        for (_, property) in PROPERTIES {
            property(&bytes);
        }
    }

    #[test]
    fn mutated_packets_keep_every_promise(bytes in mutated(seeds()), ipv6 in mutated(seeds_v6())) {
        crate::translate(&bytes);
        crate::errors(&bytes);
        // The parser has one byte of parameters.
        crate::parse(&[&[0][..], &bytes[7..]].concat());
        crate::ipv6(&ipv6[6..]);
        crate::translate_ipv6(&ipv6);
        crate::errors_ipv6(&ipv6);
    }
}

#[test]
fn corpus_keeps_every_promise() {
    for (name, property) in PROPERTIES {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let inputs = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut count = 0;
        for input in inputs {
            property(&fs::read(input.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 10, "{name}: the corpus has {count} inputs");
    }
}

#[test]
fn every_shape_of_packet_reaches_the_translator() {
    let translated = |packet: &[u8]| {
        forwarder_common::wire::ipv4::parse(&packet, 0)
            .and_then(|ip| forwarder_common::wire::l4::parse(&packet, &ip))
            .is_ok()
    };
    let of_ipv6 = |packet: &[u8]| {
        use forwarder_common::wire::{extension, ipv6, l4};
        let ip = ipv6::parse(&packet, 0)?;
        l4::ipv6::parse_first(&packet, &extension::walk(&packet, &ip, ip.end())?, ip.end())
    };
    let count = seeds_v6().iter().filter(|packet| of_ipv6(packet).is_ok()).count();
    assert!(count >= 6, "only {count} seeds of IPv6 have ports");
    let count = seeds().iter().filter(|packet| translated(packet)).count();
    assert!(count >= 12, "only {count} seeds have ports");
}
