//! The fast path of IPv6, as that of IPv4 above: in the programs of IPv6, in front of the slow path. It does what
//! [`from_ns`](crate::path::ipv6::from_ns) and [`from_uplink`](crate::path::ipv6::from_uplink) do.

use forwarder_common::{
    abi::{Config, FlowEnds, FlowHalf, FlowSlot, FlowVersion, ZONE_MAIN, feature},
    decide::offload::check_field,
    flow::{FlowKey, ipv6 as flow, is_route_old},
    types::{
        checksum::Checksum,
        direction::Direction,
        verdict::{DropReason, Verdict},
    },
    wire::{
        header_words::{
            self,
            ipv6::{self as words, TCP_HEADERS, UDP_HEADERS, at},
        },
        ipv6::LEN,
        l4::Proto,
    },
};

use super::Translation;
use crate::{
    kernel::{
        clock::now,
        counters::{self, Amount},
        devices::{is_host_veth, is_known_host_veth},
        maps::{FLOW_ENDS, config, secret},
        packet::{
            bytes::Bytes,
            checksum::{ChangeV6, by_helper_v6},
            skb::{Skb, ip_summed},
        },
        shared::Shared,
    },
    path::{apply::Action, at_ns, networks::is_outside_v6, rate},
    table::{
        lookup::{self, Cached},
        usage::{host_has_flows, is_published, may_be_external, publishes},
    },
};

/// Where the transport header begins, bytes.
const TRANSPORT: u64 = at::SOURCE_PORT as u64;

/// An address as two words of a frame.
type Words = [u64; 2];

/// The packet as words.
struct Packet {
    skb: Skb,
    bytes: Bytes,
    life: u64,
    source: Words,
    destination: Words,
    ports: u64,
    proto: u8,
    tcp_flags: u8,
    amount: Amount,
    /// What an MTU is compared with, bytes.
    size: u32,
    /// What is known about the checksum: see [`ip_summed`]. A partial one is that of the packet itself.
    ip_summed: u64,
}

/// One direction of a flow, whose addresses are those of the packet.
struct Flow {
    slot: Shared<FlowSlot>,
    half: Shared<FlowHalf>,
    version: FlowVersion,
    to: Translation,
    /// The address to be written.
    addr: Words,
    /// What it adds to a checksum.
    delta: u32,
}

/// A packet that leaves a namespace; `None` if it takes the slow path.
#[inline(always)]
pub(crate) fn outbound(skb: Skb) -> Option<Action> {
    let packet = read(skb)?;
    let (key, family) = packet.key(Direction::Outbound, skb.ifindex());
    let flow = find(&packet, Direction::Outbound, (&key, family), Cached::of(&key))?;
    let Flow { slot, to, .. } = &flow;
    let (now, config) = (now(), config()?);
    // The packet that looks the route up goes by the neighbour table, once a second, which keeps the entry there fresh.
    if is_route_old(slot.route_checked().read(), now, config.hz) || !flow.may_take(&packet, Direction::Outbound) {
        return None;
    }
    if rate::exceeds(config, to.counters, packet.amount.bytes) {
        counters::count(to.counters, Verdict::Dropped(rate::EXCEEDED), packet.amount);
        return Some(Action::DROP);
    }
    // Some byte of the one or of the other address is not zero.
    let straight = to.hop[0] | to.hop[2] != 0;
    flow.note(&packet, now);
    if straight {
        to.address(&packet.bytes);
    }
    let [first, second] = flow.addr;
    packet.bytes.store64::<{ at::SOURCE }>(first);
    packet.bytes.store64::<{ at::SOURCE + 8 }>(second);
    packet.bytes.store16::<{ at::SOURCE_PORT }>(to.port.into());
    packet.finish(packet.ports as u16, &flow);
    counters::count(to.counters, Verdict::Forwarded, packet.amount);
    if straight {
        return Some(Action::device(to.out_if));
    }
    let (next_hop, after) = (slot.next_hop().read(), slot.version().read_in_order());
    // Read after `may_take` had looked whose the slot is.
    if !after.is_same_flow(flow.version) {
        return Some(at_ns::drop(packet.skb, DropReason::Contended));
    }
    Some(Action::neighbour(to.out_if, next_hop))
}

/// A packet that arrives by an uplink with a link-layer header; `None` if it takes the slow path.
#[inline(always)]
pub(crate) fn inbound(skb: Skb) -> Option<Action> {
    let packet = read(skb)?;
    let (port, config) = ((packet.ports >> 16) as u16, config()?);
    let published = || publishes(config, packet.proto, port);
    // Addresses of networks have any port: where they are not translated, flows too.
    if !may_be_external(port) && is_outside_v6(packet.destination[0]) && !published() {
        return if packet.is_hosts(config) { Some(Action::NEXT) } else { None };
    }
    let (key, family) = packet.key(Direction::Inbound, ZONE_MAIN);
    let cached = Cached::of(&key);
    let Some(flow) = find(&packet, Direction::Inbound, (&key, family), cached) else {
        return if packet.is_hosts(config) && !published() && !cached.is_known() { Some(Action::NEXT) } else { None };
    };
    let Flow { slot, to, .. } = &flow;
    // Whether it may come in here, another interface than before, is asked on the slow path.
    if to.out_if == 0 || slot.arrives_by().read() != skb.ifindex() || !flow.may_take(&packet, Direction::Inbound) {
        return None;
    }
    flow.note(&packet, now());
    to.address(&packet.bytes);
    let [first, second] = flow.addr;
    packet.bytes.store64::<{ at::DESTINATION }>(first);
    packet.bytes.store64::<{ at::DESTINATION + 8 }>(second);
    packet.bytes.store16::<{ at::DESTINATION_PORT }>(to.port.into());
    packet.finish(port, &flow);
    counters::count(to.counters, Verdict::Delivered, packet.amount);
    counters::count(to.uplink_counters, Verdict::Forwarded, packet.amount);
    Some(rate::into_namespace(config, to.counters, to.out_if))
}

/// Reads the headers, if they are the common ones and whole.
#[inline(always)]
fn read(skb: Skb) -> Option<Packet> {
    let bytes = skb.linear();
    if !bytes.holds(UDP_HEADERS) || skb.vlan_present() != 0 || bytes.load16::<{ at::ETHERTYPE }>() != words::IPV6 {
        return None;
    }
    let (first, life) = (bytes.load32::<{ at::FIRST }>(), bytes.load32::<{ at::LIFE }>());
    if !words::is_plain(first, life) || !words::hop_limit_allows_hop(life) {
        return None;
    }
    let proto = words::next_header(life);
    let (headers, tcp_flags) = if proto == Proto::Udp as u8 {
        (LEN as u32 + 8, 0)
    } else if bytes.holds(TCP_HEADERS) {
        let (length, flags) = header_words::tcp(bytes.load16::<{ at::TCP_FLAGS }>());
        if length < 20 {
            return None;
        }
        (length.wrapping_add(LEN as u32), flags)
    } else {
        return None;
    };
    let total = words::payload_len(life).wrapping_add(LEN as u32);
    let (length, segment) = (skb.len().wrapping_sub(at::FIRST as u32), skb.gso_size());
    if total < headers || total > length {
        return None;
    }
    let (size, amount) = if segment == 0 {
        (total, Amount { packets: 1, bytes: total })
    } else {
        // Each segment repeats the headers.
        let segments = skb.gso_segs();
        if segments < 2 {
            return None;
        }
        let repeated = segments.wrapping_sub(1).wrapping_mul(headers);
        (segment.wrapping_add(headers), Amount { packets: segments, bytes: length.wrapping_add(repeated) })
    };
    let ip_summed = skb.ip_summed();
    if ip_summed == ip_summed::PARTIAL && !skb.is_partial_at::<TRANSPORT>(check_field(proto).into()) {
        return None;
    }
    let source = [bytes.load64::<{ at::SOURCE }>(), bytes.load64::<{ at::SOURCE + 8 }>()];
    let destination = [bytes.load64::<{ at::DESTINATION }>(), bytes.load64::<{ at::DESTINATION + 8 }>()];
    let ports = bytes.load32::<{ at::SOURCE_PORT }>();
    Some(Packet { skb, bytes, life, source, destination, ports, proto, tcp_flags, amount, size, ip_summed })
}

/// The words of an address as it is hashed.
#[inline(always)]
const fn halves([first, second]: Words) -> [u32; 4] {
    [first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32]
}

/// This direction of the established flow of a packet with `key` (see [`key`]), for which the flow cache has `cached`.
#[inline(always)]
fn find(packet: &Packet, direction: Direction, (key, family): (&FlowKey, u16), cached: Cached) -> Option<Flow> {
    let (index, slot, half, version) = lookup::established_as(direction, key, family, cached)?;
    let ends: Shared<FlowEnds> = Shared::element(&FLOW_ENDS, index)?;
    let internal: Words = [ends.double_word_at::<0>().read(), ends.double_word_at::<8>().read()];
    let remote: Words = [ends.double_word_at::<16>().read(), ends.double_word_at::<24>().read()];
    let external: Words = [ends.double_word_at::<32>().read(), ends.double_word_at::<40>().read()];
    let (from, to, addr, delta) = if direction.is_inbound() {
        (remote, external, internal, ends.word_at::<52>().read())
    } else {
        (internal, remote, external, ends.word_at::<48>().read())
    };
    if !is_same(from, packet.source) || !is_same(to, packet.destination) {
        return None;
    }
    Some(Flow { slot, half, version, to: Translation::read(half), addr, delta })
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(FlowEnds, internal) == 0 && offset_of!(FlowEnds, remote) == 16);
    assert!(offset_of!(FlowEnds, external) == 32 && offset_of!(FlowEnds, delta) == 48);
};

#[inline(always)]
const fn is_same([a, b]: Words, [c, d]: Words) -> bool {
    (a ^ c) | (b ^ d) == 0
}

impl Flow {
    /// Whether nothing about the packet or its flow asks for the slow path; it goes in `direction`. What was read of the flow belongs to it
    /// only if its version is still the same.
    #[inline(always)]
    fn may_take(&self, packet: &Packet, direction: Direction) -> bool {
        let (seen, after) = (self.slot.both_flags().read(), self.slot.version().read_in_order());
        let data =
            packet.proto == Proto::Udp as u8 || header_words::is_mere_data(packet.tcp_flags, seen.into(), direction);
        self.version == after && data && packet.size <= self.to.mtu
    }

    /// Notes the packet.
    #[inline(always)]
    fn note(&self, packet: &Packet, now: u32) {
        self.half.packets().add(packet.amount.packets.into());
        self.half.bytes().add(packet.amount.bytes.into());
        self.slot.see_at(now);
    }
}

/// Whether a packet at the egress of an uplink with a link-layer header is none of ours for sure: as [`super::departs_untouched`].
#[inline(always)]
pub(crate) fn departs_untouched(skb: Skb) -> bool {
    let bytes = skb.linear();
    if !bytes.holds(UDP_HEADERS) || skb.vlan_present() != 0 || bytes.load16::<{ at::ETHERTYPE }>() != words::IPV6 {
        return false;
    }
    let (first, life) = (bytes.load32::<{ at::FIRST }>(), bytes.load32::<{ at::LIFE }>());
    let source = [bytes.load64::<{ at::SOURCE }>(), bytes.load64::<{ at::SOURCE + 8 }>()];
    if !words::is_plain(first, life) || !is_outside_v6(source[0]) {
        return false;
    }
    // Mostly that is enough of what was redirected.
    let ingress = skb.came_in_by();
    if ingress != 0 && is_known_host_veth(ingress) {
        return true;
    }
    let ports = bytes.load32::<{ at::SOURCE_PORT }>();
    let published = is_published(words::next_header(life), ports as u16);
    if !published && !may_be_external(ports as u16) || ingress != 0 && is_host_veth(ingress) {
        return true;
    }
    let destination = [bytes.load64::<{ at::DESTINATION }>(), bytes.load64::<{ at::DESTINATION + 8 }>()];
    let swapped = (ports >> 16) | (ports & 0xffff) << 16;
    let (reply, _) = key((destination, source), swapped, words::next_header(life), Direction::Inbound, ZONE_MAIN);
    // Nobody has claimed the reply, and a look-up of sockets finds who will get it.
    !published && !host_has_flows() && !lookup::is_known(lookup::key_hash(&reply)) && skb.bound_to() == 0
}

/// What a flow is found by: a key, and more of the remote end, as [`Tuple::family`](forwarder_common::abi::Tuple::family) has it.
#[inline(always)]
fn key(
    (source, destination): (Words, Words),
    ports: u64,
    proto: u8,
    direction: Direction,
    entry: u32,
) -> (FlowKey, u16) {
    let secret = secret();
    let (source, destination) = (halves(source), halves(destination));
    let near = flow::fingerprint_of(source, &secret);
    let addresses = u64::from(near) | u64::from(flow::fingerprint_of(destination, &secret)) << 32;
    let family = flow::family_of(if direction.is_inbound() { source } else { destination }, &secret);
    (FlowKey::new(addresses, ports, entry, proto), family)
}

impl Packet {
    #[inline(always)]
    fn key(&self, direction: Direction, entry: u32) -> (FlowKey, u16) {
        key((self.source, self.destination), self.ports, self.proto, direction, entry)
    }

    /// Whether a packet of no flow is the host's for sure: not from or to a network of `fwd`, nor for a group that namespaces hear, nor the first of a flow that
    /// begins outside, by a port that is not published.
    #[inline(always)]
    fn is_hosts(&self, config: &Config) -> bool {
        let begins = config.features & (feature::EIF | feature::ANNOUNCED) != 0;
        let to_group = config.features & feature::MULTICAST != 0 && words::is_multicast(self.destination[0]);
        is_outside_v6(self.source[0]) && is_outside_v6(self.destination[0]) && !begins && !to_group
    }

    /// Takes a hop, and updates the transport checksum for the address and the port of `flow`, which was `old_port`.
    #[inline(always)]
    fn finish(&self, old_port: u16, flow: &Flow) {
        let Self { skb, bytes, proto, ip_summed, .. } = self;
        bytes.store32::<{ at::LIFE }>(words::one_hop(self.life));
        let tcp = *proto == Proto::Tcp as u8;
        let full = match *ip_summed {
            ip_summed::PARTIAL => false,
            ip_summed::NONE | ip_summed::UNNECESSARY => true,
            _ => {
                let off = if tcp { at::TCP_CHECK } else { at::UDP_CHECK };
                let ports = u32::from(old_port) | u32::from(flow.to.port) << 16;
                // The headers are writable and there, so it cannot fail.
                by_helper_v6(*skb, off, *proto, ChangeV6 { delta: flow.delta, ports, hops: true });
                return;
            }
        };
        let ports = if full { u64::from(!old_port).wrapping_add(flow.to.port.into()) } else { 0 };
        let sum = u64::from(flow.delta).wrapping_add(ports);
        let updated = |check: u64, proto: Proto| Checksum::new(check as u16).plus(sum, full, proto as u8).raw().into();
        if tcp {
            if bytes.holds(TCP_HEADERS) {
                bytes.store16::<{ at::TCP_CHECK }>(updated(bytes.load16::<{ at::TCP_CHECK }>(), Proto::Tcp));
            }
            return;
        }
        bytes.store16::<{ at::UDP_CHECK }>(updated(bytes.load16::<{ at::UDP_CHECK }>(), Proto::Udp));
    }
}
