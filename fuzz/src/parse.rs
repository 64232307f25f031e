//! Parsers: headers are where they are said to be, and nothing is read behind the end.

use forwarder_common::{
    decide::{icmp_error, rewrite::Side},
    wire::{
        ipv4,
        l4::{self, Proto},
    },
};

/// The first byte chooses where the IP header begins (0 to 15), the rest is the packet.
///
/// # Panics
/// A header says something else than its bytes.
pub fn parse(input: &[u8]) {
    let ([off], packet) = crate::split(input);
    let off = usize::from(off & 0xf);
    let Ok(ip) = ipv4::parse(&packet, off) else { return };
    let header = &packet[off..];
    assert_eq!((ip.off, ip.len), (off, usize::from(header[0] & 0xf) * 4));
    assert!((20..=60).contains(&ip.len), "{ip:?}");
    assert!(ip.total_len == 0 || usize::from(ip.total_len) >= ip.len, "{ip:?}");
    assert_eq!((&ip.src[..], &ip.dst[..], ip.ttl, ip.proto), (&header[12..16], &header[16..20], header[8], header[9]));
    if let Ok(l4) = l4::parse(&packet, &ip) {
        assert_eq!(l4.proto as u8, ip.proto);
        let transport = &packet[ip.payload_off()..];
        let (ports, least) = match l4.proto {
            Proto::Icmp => ([&transport[4..6], &transport[4..6]], 8),
            Proto::Udp => ([&transport[..2], &transport[2..4]], 8),
            Proto::Tcp => ([&transport[..2], &transport[2..4]], 20),
        };
        assert_eq!([&l4.src_port[..], &l4.dst_port], ports);
        assert!((least..=60).contains(&l4.len), "{l4:?}");
    }
    // Whatever it says: it returns.
    let embedded = icmp_error::embedded_header(&packet, &ip).and_then(|inner| icmp_error::parse(&packet, &ip, inner));
    if let Ok(embedded) = embedded {
        assert!(embedded.ip.off >= ip.payload_off() + 8, "{embedded:?}");
        let mut copy = packet.to_vec();
        let written = embedded.rewrite(Side::Source, [1; 4], [2; 2]).apply(&mut copy);
        assert!(written.is_some(), "what is read of an embedded packet can be written: {packet:02x?}");
    }
}
