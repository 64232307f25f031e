//! Packets of every header shape, from which the corpus and the random tests start.

use forwarder_common::types::checksum;

/// An IPv4 packet with right header checksum.
fn packet(proto: u8, options: usize, fragment: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let length = 20 + 4 * options;
    let total = u16::try_from(length + payload.len()).expect("small").to_be_bytes();
    let version = 0x45 + u8::try_from(options).expect("at most 10");
    let mut packet = vec![version, 0, total[0], total[1], 0x12, 0x34, fragment[0], fragment[1], 64, proto, 0, 0];
    packet.extend([10, 77, 0, 2, 203, 0, 113, 1]);
    packet.extend(std::iter::repeat_n(1, 4 * options));
    let check = checksum::full(&packet);
    packet[10..12].copy_from_slice(&check);
    packet.extend(payload);
    packet
}

fn tcp(flags: u8) -> Vec<u8> {
    let mut segment = vec![0x9c, 0x40, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, flags, 0x20, 0, 0x12, 0x34, 0, 0];
    segment.extend(*b"data");
    segment
}

fn udp(check: [u8; 2]) -> Vec<u8> {
    [&[0x9c, 0x40, 0, 53, 0, 12, check[0], check[1]][..], b"data"].concat()
}

fn icmp(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0x12, 0x34, 0, 7, 0, 1][..], rest].concat()
}

/// IPv4 packets: TCP with its flags, UDP with and without checksum, ICMP echoes and errors, options, fragments, protocols
/// without ports, and packets that are cut short.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    const WHOLE: [u8; 2] = [0x40, 0];
    let mut seeds: Vec<_> = [0x02, 0x12, 0x10, 0x11, 0x14].map(|flags| packet(6, 0, WHOLE, &tcp(flags))).into();
    seeds.extend([[0x12, 0x34], [0, 0], [0xff, 0xff]].map(|check| packet(17, 0, WHOLE, &udp(check))));
    seeds.extend([8, 0, 13].map(|kind| packet(1, 0, WHOLE, &icmp(kind, b"echo"))));
    for about in [packet(6, 0, WHOLE, &tcp(2)), packet(17, 1, WHOLE, &udp([1, 2])), packet(1, 0, WHOLE, &icmp(8, b""))]
    {
        seeds.extend([3, 11, 12].map(|kind| packet(1, 0, WHOLE, &icmp(kind, &about[..(about.len()).min(36)]))));
    }
    seeds.extend([1, 10].map(|options| packet(6, options, WHOLE, &tcp(0x10))));
    seeds.extend([[0x20, 0], [0x20, 5], [0, 5], [0x3f, 0xff]].map(|fragment| packet(17, 0, fragment, &udp([1, 2]))));
    seeds.extend([132, 47, 50, 136].map(|proto| packet(proto, 0, WHOLE, &udp([1, 2]))));
    // Ports in the padding behind the end of the packet.
    let mut padded = packet(17, 0, WHOLE, &udp([1, 2]));
    padded[3] = 24;
    seeds.push(padded);
    seeds.extend([1, 19, 21, 27].map(|length| packet(6, 0, WHOLE, &tcp(2))[..length].to_vec()));
    seeds
}
