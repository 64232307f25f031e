//! The fast path: a common packet of an established flow, from top to bottom: words instead of bytes, one look at each thing, no
//! helper but the last. It does what [`super::from_ns`] and [`super::from_uplink`] do. Whatever is uncommon in the packet, the
//! flow or the moment is left to those, with nothing changed yet.

pub(crate) mod ipv6;

use forwarder_common::{
    abi::{Config, FlowHalf, FlowSlot, FlowVersion, ZONE_MAIN, feature},
    decide::offload::check_field,
    flow::{FlowKey, is_route_old},
    types::{
        checksum::{Change, Checksum},
        direction::Direction,
        verdict::{DropReason, Verdict},
    },
    wire::{
        header_words::{self, TCP_HEADERS, UDP_HEADERS, at},
        l4::Proto,
    },
};

use crate::{
    kernel::{
        clock::now,
        counters::{self, Amount},
        devices::{is_host_veth, is_known_host_veth},
        maps::config,
        packet::{
            bytes::Bytes,
            checksum,
            skb::{Skb, ip_summed},
        },
        shared::Shared,
    },
    path::{apply::Action, at_ns, networks::lies_outside, rate, transit},
    table::{
        lookup::{self, Cached},
        usage::{host_has_flows, may_be_external, publishes},
    },
};

/// Where the transport header begins, bytes.
const TRANSPORT: u64 = at::SOURCE_PORT as u64;

/// The packet as words.
struct Packet {
    skb: Skb,
    bytes: Bytes,
    first: u64,
    fragment: u64,
    life: u64,
    addresses: u64,
    ports: u64,
    proto: u8,
    tcp_flags: u8,
    amount: Amount,
    /// What an MTU is compared with, bytes.
    size: u32,
    /// What is known about the checksum: see [`ip_summed`]. A partial one is that of the packet itself.
    ip_summed: u64,
}

/// The translation of one direction of a flow, as words.
struct Translation {
    addr: u32,
    port: u16,
    mtu: u32,
    out_if: u32,
    hop: [u32; 3],
    counters: u32,
    uplink_counters: u32,
}

/// A packet that leaves a namespace; `None` if it takes the slow path.
#[inline(always)]
pub(crate) fn outbound(skb: Skb) -> Option<Action> {
    let packet = read(skb)?;
    let key = packet.key(skb.ifindex());
    let (slot, half, version) = lookup::established(Direction::Outbound, &key, Cached::of(&key))?;
    let to = Translation::read(half);
    let checked = slot.route_checked().read();
    let (now, config) = (now(), config()?);
    // The packet that looks the route up goes by the neighbour table, once a second, which keeps the entry there fresh.
    if is_route_old(checked, now, config.hz) || !may_go(&packet, &to, slot, version, Direction::Outbound) {
        return None;
    }
    if rate::exceeds(config, to.counters, packet.amount.bytes) {
        counters::count(to.counters, Verdict::Dropped(rate::EXCEEDED), packet.amount);
        return Some(Action::DROP);
    }
    // Some byte of the one or of the other address is not zero.
    let straight = to.hop[0] | to.hop[2] != 0;
    note(&packet, half, slot, now);
    if straight {
        to.address(&packet.bytes);
    }
    let (source, port) = (packet.addresses as u32, packet.ports as u16);
    packet.bytes.store32::<{ at::LIFE }>(header_words::one_hop(packet.life, source, to.addr));
    packet.bytes.store32::<{ at::SOURCE }>(to.addr.into());
    packet.bytes.store16::<{ at::SOURCE_PORT }>(to.port.into());
    update_checksum(&packet, &Change { old_addr: source, new_addr: to.addr, old_port: port, new_port: to.port });
    counters::count(to.counters, Verdict::Forwarded, packet.amount);
    if straight {
        return Some(Action::device(to.out_if));
    }
    let (next_hop, after) = (slot.next_hop().read(), slot.version().read_in_order());
    // That was read after `may_go` had looked whose the slot is: here, so that nothing has to be kept for what is rare.
    if !after.is_same_flow(version) {
        return Some(at_ns::drop(packet.skb, DropReason::Contended));
    }
    Some(Action::neighbour(to.out_if, next_hop))
}

/// A packet that arrives by an uplink with a link-layer header; `None` if it takes the slow path.
#[inline(always)]
pub(crate) fn inbound(skb: Skb) -> Option<Action> {
    let packet = read(skb)?;
    let key = packet.key(ZONE_MAIN);
    // What never left a cache entry belongs to no flow.
    let (port, config) = ((packet.ports >> 16) as u16, config()?);
    let external = may_be_external(port) || publishes(config, packet.proto, port);
    let Some(cached) = external.then(|| Cached::of(&key)).filter(|cached| cached.is_known()) else {
        return if is_hosts(config, &packet) { Some(Action::NEXT) } else { None };
    };
    let (slot, half, version) = lookup::established(Direction::Inbound, &key, cached)?;
    let to = Translation::read(half);
    // Whether it may come in here, another interface than before, is asked on the slow path.
    if to.out_if == 0
        || slot.arrives_by().read() != skb.ifindex()
        || !may_go(&packet, &to, slot, version, Direction::Inbound)
    {
        return None;
    }
    note(&packet, half, slot, now());
    let (destination, port) = ((packet.addresses >> 32) as u32, (packet.ports >> 16) as u16);
    to.address(&packet.bytes);
    packet.bytes.store32::<{ at::LIFE }>(header_words::one_hop(packet.life, destination, to.addr));
    packet.bytes.store32::<{ at::DESTINATION }>(to.addr.into());
    packet.bytes.store16::<{ at::DESTINATION_PORT }>(to.port.into());
    update_checksum(&packet, &Change { old_addr: destination, new_addr: to.addr, old_port: port, new_port: to.port });
    counters::count(to.counters, Verdict::Delivered, packet.amount);
    counters::count(to.uplink_counters, Verdict::Forwarded, packet.amount);
    Some(rate::into_namespace(config, to.counters, to.out_if))
}

/// Whether a packet at the egress of an uplink with a link-layer header is none of ours for sure: redirected by [`outbound`], or of the
/// host itself, or forwarded by it, with a port that no flow has.
#[inline(always)]
pub(crate) fn departs_untouched(skb: Skb) -> bool {
    let bytes = skb.linear();
    if !bytes.holds(UDP_HEADERS) || skb.vlan_present() != 0 || bytes.load16::<{ at::ETHERTYPE }>() != header_words::IPV4
    {
        return false;
    }
    let (addresses, Some(config)) = (bytes.load64::<{ at::SOURCE }>(), config()) else { return false };
    if !lies_outside(config, addresses as u32) {
        return false;
    }
    // Mostly that is enough of what was redirected.
    let ingress = skb.came_in_by();
    if ingress != 0 && is_known_host_veth(ingress) {
        return true;
    }
    let (first, fragment) = (bytes.load32::<{ at::FIRST }>(), bytes.load32::<{ at::FRAGMENT }>());
    let proto = header_words::proto(bytes.load32::<{ at::LIFE }>());
    if !header_words::is_unfragmented_without_options(first, fragment) || !header_words::is_tcp_or_udp(proto) {
        return false;
    }
    let ports = bytes.load32::<{ at::SOURCE_PORT }>();
    let published = publishes(config, proto, ports as u16);
    if !published && !may_be_external(ports as u16) || ingress != 0 && is_host_veth(ingress) {
        return true;
    }
    // Nobody has claimed the reply, and a look-up of sockets finds who will get it.
    let reply = FlowKey::new(addresses.rotate_left(32), (ports >> 16) | (ports & 0xffff) << 16, ZONE_MAIN, proto);
    !published && !host_has_flows() && !lookup::is_known(lookup::key_hash(&reply)) && skb.bound_to() == 0
}

/// Whether a packet of no flow is the host's for sure: not from or to a network of `fwd`, nor the first of a flow that begins outside, nor
/// for a group that namespaces hear, nor for somebody else.
#[inline(always)]
fn is_hosts(config: &Config, packet: &Packet) -> bool {
    let (source, destination) = (packet.addresses as u32, (packet.addresses >> 32) as u32);
    let begins = config.features & (feature::EIF | feature::ANNOUNCED) != 0
        || publishes(config, packet.proto, (packet.ports >> 16) as u16);
    let to_group = config.features & feature::MULTICAST != 0 && header_words::is_multicast(destination);
    let outside = lies_outside(config, source) && lies_outside(config, destination);
    outside && !begins && !to_group && !transit::is_possible(destination)
}

/// Reads the headers, if they are the common ones and whole.
#[inline(always)]
fn read(skb: Skb) -> Option<Packet> {
    let bytes = skb.linear();
    if !bytes.holds(UDP_HEADERS) || skb.vlan_present() != 0 || bytes.load16::<{ at::ETHERTYPE }>() != header_words::IPV4
    {
        return None;
    }
    let (first, life) = (bytes.load32::<{ at::FIRST }>(), bytes.load32::<{ at::LIFE }>());
    let fragment = bytes.load32::<{ at::FRAGMENT }>();
    if !header_words::is_unfragmented_without_options(first, fragment) || !header_words::ttl_allows_hop(life) {
        return None;
    }
    let proto = header_words::proto(life);
    let (headers, tcp_flags) = if proto == Proto::Udp as u8 {
        (20 + 8, 0)
    } else if proto == Proto::Tcp as u8 && bytes.holds(TCP_HEADERS) {
        let (length, flags) = header_words::tcp(bytes.load16::<{ at::TCP_FLAGS }>());
        if length < 20 {
            return None;
        }
        (length.wrapping_add(20), flags)
    } else {
        return None;
    };
    let total = header_words::total_len(first);
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
    let (addresses, ports) = (bytes.load64::<{ at::SOURCE }>(), bytes.load32::<{ at::SOURCE_PORT }>());
    let ip_summed = skb.ip_summed();
    if ip_summed == ip_summed::PARTIAL && !skb.is_partial_at::<TRANSPORT>(check_field(proto).into()) {
        return None;
    }
    Some(Packet { skb, bytes, first, fragment, life, addresses, ports, proto, tcp_flags, amount, size, ip_summed })
}

impl Packet {
    #[inline(always)]
    fn key(&self, entry: u32) -> FlowKey {
        FlowKey::new(self.addresses, self.ports, entry, self.proto)
    }
}

impl Translation {
    /// Reads it by words: see the assertions below.
    #[inline(always)]
    fn read(half: Shared<FlowHalf>) -> Self {
        let (port, counters) = (half.word_at::<24>().read(), half.word_at::<44>().read());
        Self {
            addr: half.word_at::<20>().read(),
            port: port as u16,
            mtu: port >> 16,
            out_if: half.word_at::<28>().read(),
            hop: [half.word_at::<32>().read(), half.word_at::<36>().read(), half.word_at::<40>().read()],
            counters: counters & 0xffff,
            uplink_counters: counters >> 16,
        }
    }

    /// Addresses the frame.
    #[inline(always)]
    fn address(&self, bytes: &Bytes) {
        let [first, second, third] = self.hop;
        bytes.store64::<0>(u64::from(first) | u64::from(second) << 32);
        bytes.store32::<8>(third.into());
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(FlowHalf, addr) == 20 && offset_of!(FlowHalf, port) == 24 && offset_of!(FlowHalf, mtu) == 26);
    assert!(offset_of!(FlowHalf, out_if) == 28 && offset_of!(FlowHalf, hop) == 32);
    assert!(offset_of!(FlowHalf, counters) == 44 && offset_of!(FlowHalf, uplink_counters) == 46);
};

/// Whether nothing about the packet or its flow asks for the slow path; it goes in `direction`. What was read of
/// the flow belongs to it only if its version is still `version`.
#[inline(always)]
fn may_go(
    packet: &Packet,
    to: &Translation,
    slot: Shared<FlowSlot>,
    version: FlowVersion,
    direction: Direction,
) -> bool {
    let (seen, after) = (slot.both_flags().read(), slot.version().read_in_order());
    let data = packet.proto == Proto::Udp as u8 || header_words::is_mere_data(packet.tcp_flags, seen.into(), direction);
    let right = header_words::verify_ip_checksum(packet.first, packet.fragment, packet.life, packet.addresses);
    version == after && data && right && packet.size <= to.mtu
}

/// Notes the packet at its flow.
#[inline(always)]
fn note(packet: &Packet, half: Shared<FlowHalf>, slot: Shared<FlowSlot>, now: u32) {
    half.packets().add(packet.amount.packets.into());
    half.bytes().add(packet.amount.bytes.into());
    slot.see_at(now);
}

/// Updates the transport checksum as `bpf_l4_csum_replace` would, and mostly without it.
#[inline(always)]
fn update_checksum(packet: &Packet, change: &Change) {
    let Packet { skb, bytes, proto, ip_summed, .. } = packet;
    let tcp = *proto == Proto::Tcp as u8;
    let full = match *ip_summed {
        ip_summed::PARTIAL => false,
        ip_summed::NONE | ip_summed::UNNECESSARY => true,
        _ => {
            let off = if tcp { at::TCP_CHECK } else { at::UDP_CHECK };
            checksum::by_helper(*skb, off, *proto, change);
            return;
        }
    };
    let updated = |check: Checksum, proto: Proto| {
        if full { check.after(change, proto as u8) } else { check.partial_after(change, proto as u8) }
    };
    if tcp {
        if bytes.holds(TCP_HEADERS) {
            let check = Checksum::new(bytes.load16::<{ at::TCP_CHECK }>() as u16);
            bytes.store16::<{ at::TCP_CHECK }>(updated(check, Proto::Tcp).raw().into());
        }
        return;
    }
    let check = Checksum::new(bytes.load16::<{ at::UDP_CHECK }>() as u16);
    if !check.is_unused(Proto::Udp as u8) {
        bytes.store16::<{ at::UDP_CHECK }>(updated(check, Proto::Udp).raw().into());
    }
}
