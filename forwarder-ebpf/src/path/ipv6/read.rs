//! Reads a packet of IPv6, for all that follows: into the map `PACKET6`.

use forwarder_common::{
    decide::{
        forward,
        fragment::Piece,
        validate::ipv6::{self as validate, Frame},
    },
    flow::ipv6 as flow,
    types::{
        direction::Direction,
        verdict::{Code, DropReason},
    },
    wire::{
        extension, icmpv6, ipv6,
        l4::{self, Proto},
    },
};

use crate::{
    kernel::{
        counters::Amount,
        maps::{PACKET6, secret},
        packet::{anywhere::Anywhere, l3_off, skb::Skb},
        scratch::{Packet6, scratch},
    },
    table::state::Segment,
};

/// Bytes that each segment repeats, of those of TCP without options.
pub(super) const HEADERS: usize = ipv6::LEN + 20;

/// Of a later fragment there is no transport header.
const WITHOUT: l4::Header =
    l4::Header { proto: Proto::Udp, src_port: [0; 2], dst_port: [0; 2], tcp_flags: 0, icmp_type: 0, len: 0 };

global_fn! {
    /// See [`read`].
    pub(super) fn fwd_read6(skb: Skb, l3: u32, direction: Direction, entry: u32) -> Result<(), Code> = read;
}

/// Reads a packet with its network header at `l3` that goes in `direction`, and whose tuple says that it entered by `entry`.
///
/// The code of an error is that of the reason for which the packet has no flow of its own: [`DropReason::Fragment`] of a later fragment,
/// which lacks nothing but its ports, [`DropReason::Protocol`], [`DropReason::IcmpType`] of messages that are neither echo (outbound) nor
/// its answer (inbound), or whatever is wrong with it.
#[inline(always)]
fn read(skb: Skb, l3: u32, direction: Direction, entry: u32) -> Result<(), Code> {
    let packet = scratch(&PACKET6).ok_or(DropReason::Contended)?;
    // All of the header at once, and no copy of the addresses: the stack is short.
    if !skb.copy(l3_off(l3) as u32, packet, ipv6::LEN as u32) {
        return Err(DropReason::Truncated.into());
    }
    let ip = packet.header(l3)?;
    let bytes = Anywhere(skb);
    let end = end(skb, &ip)?;
    let upper = extension::walk(&bytes, &ip, end)?;
    packet.l3 = l3;
    packet.upper_off = upper.off as u32;
    packet.fragment_off = 0;
    packet.number = upper.proto;
    // What has none must not have those of the packet before it: its route may depend on them.
    packet.tuple.sport = [0; 2];
    packet.tuple.dport = [0; 2];
    if upper.fragment {
        let Piece { range, last } = Piece::ipv6(&upper, end)?;
        packet.fragment_off = upper.fragment_off as u32;
        packet.fragment_id = upper.id;
        packet.range = u32::from(range.start) | u32::from(range.end) << 16;
        packet.last = last.into();
    }
    let later = upper.is_later_fragment();
    if later && !l4::ipv6::has_ports(upper.proto) {
        return Err(DropReason::Protocol.into());
    }
    let l4 = if later { WITHOUT } else { l4::ipv6::parse_first(&bytes, &upper, end)? };
    let asks = l4.icmp_type == icmpv6::kind::ECHO_REQUEST;
    if !later && l4.proto as u8 == Proto::Icmp as u8 && asks == direction.is_inbound() {
        return Err(DropReason::IcmpType.into());
    }
    packet.l4_len = l4.len as u32;
    packet.length = end.wrapping_sub(ip.off) as u32;
    packet.tcp_flags = l4.tcp_flags;
    packet.icmp_type = l4.icmp_type;
    packet.name(direction, (l4.src_port, l4.dst_port), entry);
    // The first one had the ports.
    if later { Err(DropReason::Fragment.into()) } else { Ok(()) }
}

/// Where the packet with the header `ip` ends, bytes from the start of the frame.
#[inline(always)]
pub(super) fn end(skb: Skb, ip: &ipv6::Header) -> Result<usize, DropReason> {
    validate::end(ip, Frame { length: skb.len() as usize, is_segmented: skb.gso_size() != 0 })
}

impl Packet6 {
    /// The header, which begins at `l3`.
    #[inline(always)]
    fn header(&self, l3: u32) -> Result<ipv6::Header, DropReason> {
        let first = u32::from_be_bytes(self.first);
        if first >> 28 != 6 {
            return Err(DropReason::Malformed);
        }
        Ok(ipv6::Header {
            src: self.src,
            dst: self.dst,
            next_header: self.next_header,
            hop_limit: self.hop_limit,
            traffic_class: (first >> 20) as u8,
            flow_label: first & 0xf_ffff,
            payload_len: u16::from_be_bytes(self.payload_len),
            off: l3_off(l3),
        })
    }

    /// Makes the tuple, of the addresses and the protocol that were read.
    #[inline(always)]
    pub(super) fn name(&mut self, direction: Direction, ports: ([u8; 2], [u8; 2]), entry: u32) {
        self.tuple = flow::tuple_of(direction, self.words(), ports, entry, self.number, &secret());
    }

    /// Makes of it what it answers, as far as its route is asked for.
    #[inline(always)]
    pub(super) fn turn(&mut self) {
        core::mem::swap(&mut self.src, &mut self.dst);
        core::mem::swap(&mut self.tuple.sport, &mut self.tuple.dport);
    }

    /// Length of all headers, which each segment repeats, bytes.
    #[inline(always)]
    fn headers(&self) -> u32 {
        self.upper_off.wrapping_add(self.l4_len).wrapping_sub(self.l3)
    }

    /// What is asked of it before it is sent.
    #[inline(always)]
    pub(super) fn asked(&self, skb: Skb) -> forward::Packet {
        let segment = skb.gso_size();
        let size = if segment == 0 { self.length } else { segment.wrapping_add(self.headers()) };
        forward::Packet { ttl_expires: self.hop_limit <= 1, size }
    }

    /// What it adds to counters.
    #[inline(always)]
    pub(super) fn amount(&self, skb: Skb) -> Amount {
        Amount::behind(skb, self.l3 as usize, self.headers(), self.length)
    }

    /// What its flow notes of it.
    #[inline(always)]
    pub(super) fn segment(&self) -> Segment {
        Segment { headers: self.headers(), proto: self.tuple.proto, flags: self.tcp_flags }
    }
}
