//! ICMP errors: the sums over and inside the embedded packet stay right, and the reverse restores it.

use forwarder_common::{
    decide::{
        icmp_error::{self, Embedded},
        rewrite::Side,
    },
    types::checksum,
    wire::{emit::finish_header, ipv4},
};

/// The first byte: bit 0 the side, bit 2 whether the sums are made right before. Then address and port, then the packet.
///
/// # Panics
/// A promise is broken.
pub fn errors(input: &[u8]) {
    let ([flags, a0, a1, a2, a3, p0, p1], packet) = crate::split::<7>(input);
    let side = if flags & 1 == 0 { Side::Source } else { Side::Destination };
    let mut before = packet.to_vec();
    let Some((ip, embedded)) = read(&before) else { return };
    if flags & 4 != 0 {
        finish_header(&mut before[embedded.ip.off..]);
        if let Some(message) = message(&before, &ip) {
            let at = embedded.icmp_off + 2;
            let mut message = message.to_vec();
            message[2..4].fill(0);
            before[at..at + 2].copy_from_slice(&checksum::full(&message));
        }
    }
    let (ip, embedded) = read(&before).expect("checksums do not matter to the parser");
    let mut after = before.clone();
    embedded.rewrite(side, [a0, a1, a2, a3], [p0, p1]).apply(&mut after).expect("the parser looked at all of it");
    let (_, there) = read(&after).expect("the headers stay");
    let right = |packet: &[u8]| checksum::full(&packet[embedded.ip.off..embedded.ip.payload_off()]) == [0, 0];
    assert!(!right(&before) || right(&after), "embedded header: {before:02x?} → {after:02x?}");
    let sums = |packet: &[u8]| message(packet, &ip).is_some_and(|message| checksum::full(message) == [0, 0]);
    if right(&before) && sums(&before) {
        assert!(sums(&after), "message: {before:02x?} → {after:02x?}");
    }
    let (addr, port) = match side {
        Side::Source => (embedded.ip.src, embedded.l4.src_port),
        Side::Destination => (embedded.ip.dst, embedded.l4.dst_port),
    };
    there.rewrite(side, addr, port).apply(&mut after).expect("as before");
    let (_, back) = read(&after).expect("the headers stay");
    let ends = |embedded: &Embedded| (embedded.ip.src, embedded.ip.dst, embedded.l4.src_port, embedded.l4.dst_port);
    assert_eq!(ends(&back), ends(&embedded), "{before:02x?} → {after:02x?}");
}

fn read(packet: &[u8]) -> Option<(ipv4::Header, Embedded)> {
    let ip = ipv4::parse(&packet, 0).ok()?;
    let inner = icmp_error::embedded_header(&packet, &ip).ok()?;
    Some((ip, icmp_error::parse(&packet, &ip, inner).ok()?))
}

/// The ICMP message, if it holds all that is translated.
fn message<'a>(packet: &'a [u8], ip: &ipv4::Header) -> Option<&'a [u8]> {
    let (_, embedded) = read(packet)?;
    let end = ip.off + usize::from(ip.total_len);
    let whole = end >= embedded.ip.payload_off() + 8 && end >= embedded.l4.check_off + 2;
    packet.get(ip.payload_off()..end).filter(|_| whole)
}
