//! Translator: checksums that were right stay right, the reverse restores the packet, and nothing else changes.

use forwarder_common::{
    decide::rewrite::{Rewrite, Side, Ttl},
    types::checksum,
    wire::{
        emit::finish_header,
        ipv4,
        l4::{self, Proto},
    },
};

/// Parameters in front of the packet: flags, address, port.
const PARAMETERS: usize = 7;

/// The first byte: bit 0 the side, bit 1 whether the TTL is decremented, bit 2 whether the checksums are made right before,
/// bits 4–7 where the IP header begins. Then the new address and port, then the packet.
///
/// # Panics
/// A promise is broken.
pub fn translate(input: &[u8]) {
    let ([flags, a0, a1, a2, a3, p0, p1], packet) = crate::split::<PARAMETERS>(input);
    let side = if flags & 1 == 0 { Side::Source } else { Side::Destination };
    let ttl = if flags & 2 == 0 { Ttl::Keep } else { Ttl::Decrement };
    let mut before = packet.to_vec();
    let Some((ip, l4)) = headers(&before, usize::from(flags >> 4)) else { return };
    if flags & 4 != 0 {
        repair(&mut before, &ip, &l4);
    }
    let Some((ip, l4)) = headers(&before, ip.off) else { panic!("checksums do not matter to the parser") };
    let change = Rewrite::new(side, &ip, &l4, [a0, a1, a2, a3], [p0, p1], ttl);
    let mut after = before.clone();
    if change.apply(&mut after).is_none() {
        // The packet ends before its checksum.
        assert!(change.check_off + 2 > before.len(), "{change:?}");
        return;
    }
    let (there, reply) = headers(&after, ip.off).expect("a translated packet has the same headers");
    if right_ip(&before, &ip) {
        assert!(right_ip(&after, &there), "IP checksum: {before:02x?} → {after:02x?}");
    }
    if right_transport(&before, &ip, &l4) {
        assert!(right_transport(&after, &there, &reply), "transport checksum: {before:02x?} → {after:02x?}");
    }
    only_the_rewrite_changed(&before, &after, &change);
    restored(&before, &after, side, &change);
}

fn headers(packet: &[u8], off: usize) -> Option<(ipv4::Header, l4::Header)> {
    let ip = ipv4::parse(&packet, off).ok()?;
    let l4 = l4::parse(&packet, &ip).ok()?;
    Some((ip, l4))
}

/// The transport header and its payload, as long as the IP header says, with the pseudo-header in front. `None` if the packet
/// is not that long, or too short for its checksum.
fn covered(packet: &[u8], ip: &ipv4::Header, l4: &l4::Header) -> Option<Vec<u8>> {
    let length = usize::from(ip.total_len).checked_sub(ip.len)?;
    let transport = packet.get(ip.payload_off()..)?.get(..length)?;
    if length < checksum_at(l4) + 2 {
        return None;
    }
    let mut bytes = Vec::new();
    if l4.proto != Proto::Icmp {
        bytes.extend([ip.src, ip.dst].concat());
        bytes.extend([0, ip.proto]);
        bytes.extend(u16::try_from(length).expect("below the total length").to_be_bytes());
    }
    bytes.extend(transport);
    Some(bytes)
}

fn checksum_at(l4: &l4::Header) -> usize {
    match l4.proto {
        Proto::Tcp => 16,
        Proto::Udp => 6,
        Proto::Icmp => 2,
    }
}

fn right_ip(packet: &[u8], ip: &ipv4::Header) -> bool {
    packet.get(ip.off..ip.payload_off()).is_some_and(|header| checksum::full(header) == [0, 0])
}

/// Whether the transport checksum is right, or an unused one of UDP.
fn right_transport(packet: &[u8], ip: &ipv4::Header, l4: &l4::Header) -> bool {
    let at = ip.payload_off() + checksum_at(l4);
    let zero = packet.get(at..at + 2) == Some(&[0, 0]);
    // An ICMP message of nothing but zeros: there an update by differences, also the kernel's, cannot tell the two zeros of
    // one's complement apart (RFC 1624 §3).
    let empty =
        l4.proto == Proto::Icmp && covered(packet, ip, l4).is_some_and(|bytes| bytes.iter().all(|&byte| byte == 0));
    zero && (l4.proto == Proto::Udp || empty)
        || covered(packet, ip, l4).is_some_and(|bytes| checksum::full(&bytes) == [0, 0])
}

/// Whether the IP checksum and the transport checksum of the packet with its IP header at `off` are right. `None` if it is no
/// packet with ports.
#[must_use]
pub fn checksums(packet: &[u8], off: usize) -> Option<(bool, bool)> {
    let (ip, l4) = headers(packet, off)?;
    Some((right_ip(packet, &ip), right_transport(packet, &ip, &l4)))
}

/// Makes both checksums of the packet with its IP header at `off` right, if it is one with ports.
pub fn finish(packet: &mut [u8], off: usize) {
    if let Some((ip, l4)) = headers(packet, off) {
        repair(packet, &ip, &l4);
    }
}

/// Computes both checksums in full.
fn repair(packet: &mut [u8], ip: &ipv4::Header, l4: &l4::Header) {
    finish_header(&mut packet[ip.off..]);
    let at = ip.payload_off() + checksum_at(l4);
    if covered(packet, ip, l4).is_some() {
        packet[at..at + 2].fill(0);
        let check = covered(packet, ip, l4).map_or([0, 0], |bytes| checksum::full(&bytes));
        let check = if l4.proto == Proto::Udp && check == [0, 0] { [0xff, 0xff] } else { check };
        packet[at..at + 2].copy_from_slice(&check);
    }
}

fn only_the_rewrite_changed(before: &[u8], after: &[u8], change: &Rewrite) {
    let places = [
        (change.header.off + 8, 1),
        (change.header.off + 10, 2),
        (change.header.addr_off, 4),
        (change.port_off, 2),
        (change.check_off, 2),
    ];
    let written = |at: usize| places.iter().any(|&(start, length)| (start..start + length).contains(&at));
    let other = (0..before.len()).find(|&at| before[at] != after[at] && !written(at));
    assert_eq!((other, before.len()), (None, after.len()), "{change:?}");
}

/// Translating back gives the packet as it was, but for the TTL and what it does to the IP checksum.
fn restored(before: &[u8], after: &[u8], side: Side, change: &Rewrite) {
    let (ip, l4) = headers(after, change.header.off).expect("looked at before");
    let mut back = after.to_vec();
    let reverse = Rewrite::new(side, &ip, &l4, change.header.old_addr, change.old_port, Ttl::Keep);
    reverse.apply(&mut back).expect("as long as before");
    let same = |from: usize, to: usize| back.get(from..to) == before.get(from..to);
    let at = change.header.off;
    assert!(same(0, at + 8) && same(at + 9, at + 10) && same(at + 12, change.check_off), "{before:02x?} {back:02x?}");
    assert!(same(change.check_off + 2, before.len()), "{before:02x?} {back:02x?}");
    let check = |packet: &[u8]| [packet[change.check_off], packet[change.check_off + 1]];
    // One's complement has two zeros (RFC 1624 §3).
    let plain = |check: [u8; 2]| if check == [0xff, 0xff] { [0, 0] } else { check };
    assert_eq!(plain(check(before)), plain(check(&back)), "{before:02x?} {back:02x?}");
    if l4.proto == Proto::Udp {
        assert_eq!(check(before) == [0, 0], check(&back) == [0, 0], "an unused checksum stays unused, a used one used");
    }
}
