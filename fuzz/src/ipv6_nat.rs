//! Translator of IPv6: checksums that were right stay right, in packets and inside of errors, the reverse restores them, and nothing else
//! changes.

use forwarder_common::{
    decide::{
        icmp_error::ipv6::{self as icmp_error, Embedded},
        rewrite::{HeaderChange as _, Rewrite, Side, Ttl, ipv6::HeaderRewrite},
    },
    types::checksum::{self, delta},
    wire::{
        extension::{self, Upper},
        icmpv6, ipv6,
        l4::{self, Proto},
    },
};

/// Parameters in front of the packet: flags, address (a quarter of it, four times), port.
const PARAMETERS: usize = 7;

struct Parameters {
    side: Side,
    hops: Ttl,
    /// Whether checksums are made right before.
    repairs: bool,
    addr: [u8; 16],
    port: [u8; 2],
}

/// The first byte: bit 0 the side, bit 1 whether the hop limit is decremented, bit 2 whether the checksum is made right before.
fn split(input: &[u8]) -> (Parameters, &[u8]) {
    let ([flags, a, b, c, d, p0, p1], packet) = crate::split::<PARAMETERS>(input);
    let side = if flags & 1 == 0 { Side::Source } else { Side::Destination };
    let hops = if flags & 2 == 0 { Ttl::Keep } else { Ttl::Decrement };
    let addr = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
    (Parameters { side, hops, repairs: flags & 4 != 0, addr, port: [p0, p1] }, packet)
}

/// The headers of a packet that is no longer than its header says.
fn headers(packet: &[u8]) -> Option<(ipv6::Header, Upper, l4::Header)> {
    let ip = ipv6::parse(&packet, 0).ok()?;
    if ip.end() > packet.len() {
        return None;
    }
    let upper = extension::walk(&packet, &ip, ip.end()).ok()?;
    let l4 = l4::ipv6::parse_first(&packet, &upper, ip.end()).ok()?;
    Some((ip, upper, l4))
}

/// Whether what `ip` covers of `proto` sums up with its checksum.
fn is_right(ip: &ipv6::Header, proto: u8, covered: &[u8]) -> bool {
    let length = u32::try_from(covered.len()).expect("no longer than a packet");
    checksum::full(&[&ip.pseudo_sum(proto, length), covered].concat()) == [0, 0]
}

/// Makes the checksum `at` bytes behind `off` right, over a message that ends at `end`.
fn repair(packet: &mut [u8], ip: &ipv6::Header, proto: u8, off: usize, at: usize, end: usize) {
    packet[off + at..off + at + 2].fill(0);
    let covered = &packet[off..end];
    let length = u32::try_from(covered.len()).expect("no longer than a packet");
    let check = checksum::full(&[&ip.pseudo_sum(proto, length), covered].concat());
    let check = if proto == Proto::Udp as u8 && check == [0, 0] { [0xff, 0xff] } else { check };
    packet[off + at..off + at + 2].copy_from_slice(&check);
}

const fn check_at(proto: Proto) -> usize {
    match proto {
        Proto::Tcp => l4::field::TCP_CHECK,
        Proto::Udp => l4::field::UDP_CHECK,
        Proto::Icmp => icmpv6::field::CHECK,
    }
}

/// # Panics
/// A promise is broken.
pub fn translate_ipv6(input: &[u8]) {
    let (Parameters { side, hops, repairs, addr, port }, packet) = split(input);
    let mut before = packet.to_vec();
    let Some((ip, upper, l4)) = headers(&before) else { return };
    if repairs {
        repair(&mut before, &ip, upper.proto, upper.off, check_at(l4.proto), ip.end());
    }
    let (ip, upper, l4) = headers(&before).expect("checksums do not matter to the parser");
    let change = Rewrite::ipv6(side, (&ip, &upper, &l4), addr, port, hops);
    let mut after = before.clone();
    change.apply(&mut after).expect("the parser looked at all of it");
    let (there, end, translated) = headers(&after).expect("a translated packet has the same headers");
    let unused = |packet: &[u8]| l4.proto == Proto::Udp && packet[change.check_off..change.check_off + 2] == [0, 0];
    let right = |packet: &[u8], ip| unused(packet) || is_right(ip, upper.proto, &packet[upper.off..ip.end()]);
    if right(&before, &ip) {
        assert!(right(&after, &there), "checksum: {before:02x?} → {after:02x?}");
    }
    assert_eq!(unused(&before), unused(&after), "an unused checksum stays unused, a used one used");
    let HeaderRewrite { hop_limit_off, addr_off, .. } = change.header;
    let places = [(hop_limit_off, 1), (addr_off, 16), (change.port_off, 2), (change.check_off, 2)];
    let written = |at: usize| places.iter().any(|&(start, length)| (start..start + length).contains(&at));
    let other = (0..before.len()).find(|&at| before[at] != after[at] && !written(at));
    assert_eq!((other, before.len()), (None, after.len()), "{change:?}");
    let mut back = after.clone();
    let old = (change.header.old_addr, change.old_port);
    Rewrite::ipv6(side, (&there, &end, &translated), old.0, old.1, Ttl::Keep)
        .apply(&mut back)
        .expect("as long as before");
    let in_question = |at: usize| at == hop_limit_off || (change.check_off..change.check_off + 2).contains(&at);
    let differs = (0..before.len()).find(|&at| before[at] != back[at] && !in_question(at));
    assert_eq!(differs, None, "{before:02x?} {back:02x?}");
}

/// The headers of an error and of what it embeds.
fn error(packet: &[u8]) -> Option<(ipv6::Header, Embedded)> {
    let ip = ipv6::parse(&packet, 0).ok()?;
    if ip.end() > packet.len() {
        return None;
    }
    let upper = extension::walk(&packet, &ip, ip.end()).ok()?;
    let inner = icmp_error::embedded_header(&packet, &upper, ip.end()).ok()?;
    Some((ip, icmp_error::parse(&packet, upper.off, ip.end(), inner).ok()?))
}

/// # Panics
/// A promise is broken.
pub fn errors_ipv6(input: &[u8]) {
    let (Parameters { side, hops, repairs, addr, port }, packet) = split(input);
    let mut before = packet.to_vec();
    let Some((ip, embedded)) = error(&before) else { return };
    let off = embedded.icmp_off;
    if repairs {
        repair(&mut before, &ip, icmpv6::PROTO, off, icmpv6::field::CHECK, ip.end());
    }
    let (ip, embedded) = error(&before).expect("checksums do not matter to the parser");
    let translated = |packet: &[u8], addr, port, hops| {
        let (ip, embedded) = error(packet).expect("the headers stay");
        let outer = HeaderRewrite::new(side, &ip, addr, hops);
        let mut packet = packet.to_vec();
        let own = if matches!(side, Side::Source) { embedded.ip.dst } else { embedded.ip.src };
        let (inner, around) = (delta(own, addr), delta(outer.old_addr, addr));
        let change = embedded.rewrite(side.opposite(), inner, port, around);
        change.apply(&mut packet, addr).expect("the parser looked at all of it");
        outer.apply(&mut packet).expect("the parser looked at all of it");
        packet
    };
    let after = translated(&before, addr, port, hops);
    let (there, inner) = error(&after).expect("the headers stay");
    let right = |packet: &[u8], ip: &ipv6::Header| is_right(ip, icmpv6::PROTO, &packet[off..ip.end()]);
    if right(&before, &ip) {
        assert!(right(&after, &there), "message: {before:02x?} → {after:02x?}");
    }
    let ends = |embedded: &Embedded| (embedded.ip.src, embedded.ip.dst, embedded.l4.src_port, embedded.l4.dst_port);
    let (moved, own) = match side {
        Side::Source => (there.src, inner.ip.dst),
        Side::Destination => (there.dst, inner.ip.src),
    };
    assert_eq!((moved, own), (addr, addr), "{before:02x?} → {after:02x?}");
    let old_port = if matches!(side, Side::Source) { embedded.l4.dst_port } else { embedded.l4.src_port };
    let old_addr = if matches!(side, Side::Source) { embedded.ip.dst } else { embedded.ip.src };
    let back = translated(&after, old_addr, old_port, Ttl::Keep);
    let (_, restored) = error(&back).expect("the headers stay");
    assert_eq!(ends(&restored), ends(&embedded), "{before:02x?} → {after:02x?}");
}
