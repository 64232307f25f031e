//! Translates and sends a packet whose flow was found by other means than ports of its own: see [`super::fragments`]; an ICMP error
//! is sent from here too.
//!
//! In steps that are global functions. They read the headers again, which costs little beside what such packets cost anyway. What they are
//! told is the flow's slot and
//! its version, which tells whether it is still the same flow.

use forwarder_common::{
    abi::{FlowVersion, Hook, Tuple},
    decide::{
        forward,
        offload::ChecksumState,
        rewrite::{Side, Ttl},
    },
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason, Verdict},
    },
    wire::{
        ipv4,
        l4::{self, Proto},
        packet::L3_OFF,
    },
};

use crate::{
    kernel::{
        counters::{self, Amount},
        packet::{NO_HEADER, l3_off, skb::Skb},
        slots,
    },
    path::{
        apply::{self, Action},
        at_ns, at_uplink, rate,
        slow::too_big,
    },
    table::{
        fragments,
        lookup::{self, Hit},
        state,
    },
};

/// Above the code of a verdict: the packet counts for the life of its flow, which that of an error does not.
const NOTED: u32 = 1 << 8;

/// Where the network header of a namespace's packet is.
const ETHERNET: u32 = L3_OFF as u32;

/// A packet that leaves a namespace: out by the uplink, or to the kernel.
#[inline(always)]
pub(crate) fn outbound(skb: Skb, tuple: &Tuple, slot: u32, version: FlowVersion) -> Action {
    let code = translate(skb, L3_OFF, tuple, (slot, version), Hook::FromNs);
    if code == PuntReason::TooBig.into() {
        return too_big::outbound(skb, slot, version);
    }
    if code != Code::FORWARDED {
        return at_ns::refuse(skb, code);
    }
    Action::from_tc_action(fwd_send(skb, ETHERNET, slot, version, code.raw() | NOTED))
}

/// A packet from outside: into its namespace, or to the host, translated.
#[inline(always)]
pub(crate) fn inbound(skb: Skb, l3: usize, tuple: &Tuple, slot: u32, version: FlowVersion) -> Action {
    let code = translate(skb, l3, tuple, (slot, version), Hook::FromUplink);
    if code.is_drop() {
        at_uplink::count_here(skb, l3, code);
        return Action::DROP;
    }
    Action::from_tc_action(fwd_send(skb, l3 as u32, slot, version, code.raw() | NOTED))
}

/// A packet that is on its way out by an uplink: one that the kernel forwarded, or the host's own. Returns the code of the verdict.
#[inline(always)]
pub(crate) fn departing(skb: Skb, l3: usize, tuple: &Tuple, slot: u32, version: FlowVersion) -> Code {
    let code = translate(skb, l3, tuple, (slot, version), Hook::ToUplink);
    if !code.is_drop() {
        fwd_note_out(skb, l3 as u32, slot, version);
    }
    code
}

global_fn! {
    /// See [`repeated`].
    fn fwd_repeated(skb: Skb, l3: u32) -> u32 = repeated;
    /// See [`translation`].
    fn fwd_translation(slot: u32, version: FlowVersion, direction: Direction) -> u64 = translation;
    /// See [`decide`].
    fn fwd_decide(skb: Skb, l3: u32, slot: u32, version: FlowVersion, hook: Hook) -> Code = decide;
    /// See [`note_out`].
    fn fwd_note_out(skb: Skb, l3: u32, slot: u32, version: FlowVersion) -> () = note_out;
    /// See [`send`].
    pub(crate) fn fwd_send(skb: Skb, l3: u32, slot: u32, version: FlowVersion, code: u32) -> i32 = send;
}

/// This direction of the flow in `slot`, if its version was `version`.
#[inline(always)]
fn flow(slot: u32, version: FlowVersion, direction: Direction) -> Option<Hit> {
    if version.is_none() {
        return None;
    }
    lookup::copy(direction, slot, version)
}

/// Length of the headers that each segment of a GSO packet repeats, as far as they are known, bytes: those of IP, and of TCP and UDP.
#[inline(always)]
fn repeated(skb: Skb, l3: u32) -> u32 {
    let bytes = skb.all_headers();
    let Ok(ip) = ipv4::parse(&bytes, l3_off(l3)) else { return 0 };
    let l4 = if l4::shows_ports(&ip) { l4::parse_first(&bytes, &ip).map_or(0, |l4| l4.len) } else { 0 };
    ip.len.wrapping_add(l4) as u32
}

/// What a packet with header `ip` adds to counters.
#[inline(always)]
fn amount(skb: Skb, ip: &ipv4::Header) -> Amount {
    if skb.gso_size() == 0 {
        return Amount { packets: 1, bytes: ip.total_len.into() };
    }
    let headers = fwd_repeated(skb, ip.off as u32);
    let segments = skb.segments(ip.off.wrapping_add(headers as usize));
    let Amount { bytes, .. } = Amount::whole(skb, ip.off);
    Amount { packets: segments, bytes: bytes.wrapping_add(segments.wrapping_sub(1).wrapping_mul(headers)) }
}

/// Decides what becomes of the packet, and translates it unless it is dropped, or left to the kernel on its way out. Returns the code of
/// the verdict.
#[inline(always)]
fn translate(skb: Skb, l3: usize, tuple: &Tuple, (slot, version): (u32, FlowVersion), hook: Hook) -> Code {
    let code = fwd_decide(skb, l3 as u32, slot, version, hook);
    if code.is_drop() {
        return code;
    }
    // Fragments are noted when it is clear whether they go on: the others of their packet go where the first one went.
    let (noted, mask) = match hook {
        Hook::FromNs => (code, fragments::id_mask(tuple)),
        Hook::ToUplink => (Code::FORWARDED, fragments::id_mask(tuple)),
        _ => (Code::DELIVERED, 0),
    };
    if let Err(refused) = fragments::check(skb, tuple, l3, noted) {
        return refused;
    }
    if matches!(hook, Hook::FromNs) && code != Code::FORWARDED {
        return code;
    }
    let to = fwd_translation(slot, version, hook.direction());
    if to == 0 {
        return DropReason::Contended.into();
    }
    let side = Side::of(hook.direction());
    let ttl = if code.is_punt() { Ttl::Keep } else { Ttl::Decrement };
    let (addr, port) = ((to as u32).to_ne_bytes(), ((to >> 32) as u16).to_ne_bytes());
    match apply::rewrite_masked(skb, l3, (side, ttl), mask, (addr, port)) {
        Ok(()) => code,
        Err(refused) => refused,
    }
}

/// Set in what [`translation`] returns.
const KNOWN: u64 = 1 << 48;

/// What packets of a flow are translated to: the address, above it the port, and [`KNOWN`]; 0 if the flow has gone.
#[inline(always)]
fn translation(slot: u32, version: FlowVersion, direction: Direction) -> u64 {
    let Some(Hit { addr, port, .. }) = flow(slot, version, direction) else { return 0 };
    u64::from(u32::from_ne_bytes(addr)) | u64::from(u16::from_ne_bytes(port)) << 32 | KNOWN
}

/// Decides what becomes of the packet. Returns the code of the verdict.
#[inline(always)]
fn decide(skb: Skb, l3: u32, slot: u32, version: FlowVersion, hook: Hook) -> Code {
    let Ok(ip) = ipv4::parse(&skb.all_headers(), l3_off(l3)) else { return DropReason::Truncated.into() };
    // Said here and not where it would be written: nothing is noted of what does not go on.
    if skb.checksum_state(ip.off) == ChecksumState::Misplaced as u32 {
        return DropReason::ChecksumOffload.into();
    }
    let Some(hit) = flow(slot, version, hook.direction()) else { return DropReason::Contended.into() };
    verdict(skb, &ip, &hit, hook)
}

/// What becomes of a packet: see [`forward`].
#[inline(always)]
fn verdict(skb: Skb, ip: &ipv4::Header, hit: &Hit, hook: Hook) -> Code {
    if matches!(hook, Hook::ToUplink) {
        let is_host = || slots::slot(hit.index).is_none_or(|slot| slot.endpoint().read() == 0);
        return forward::depart(skb.ifindex(), hit.out_if, is_host);
    }
    let size = match skb.gso_size() {
        0 => ip.total_len.into(),
        segment => segment.wrapping_add(fwd_repeated(skb, ip.off as u32)),
    };
    let packet = forward::Packet { ttl_expires: ip.ttl_expires(), size };
    forward::send(hook.direction(), packet, forward::Target { out_if: hit.out_if, mtu: hit.mtu.into() })
}

/// Notes a packet at its flow. Protocols without ports live as UDP does.
#[inline(always)]
fn note(direction: Direction, skb: Skb, ip: &ipv4::Header, hit: &Hit, amount: Amount) {
    let mut l4 =
        l4::Header { proto: Proto::Udp, src_port: [0; 2], dst_port: [0; 2], tcp_flags: 0, icmp_type: 0, len: 0 };
    if ip.proto == Proto::Tcp as u8 {
        // What makes other flows lasting is not enough for TCP, whose later fragments show no flags.
        l4.proto = Proto::Tcp;
        if ip.fragment_start() == 0 {
            l4.tcp_flags = l4::parse_first(&skb.all_headers(), ip).map_or(0, |l4| l4.tcp_flags);
        }
    }
    state::touch(direction, hit, ip, &l4, amount);
}

/// Notes an outbound packet at its flow.
#[inline(always)]
fn note_out(skb: Skb, l3: u32, slot: u32, version: FlowVersion) {
    if let Ok(ip) = ipv4::parse(&skb.headers(), l3_off(l3))
        && let Some(hit) = flow(slot, version, Direction::Outbound)
    {
        note(Direction::Outbound, skb, &ip, &hit, amount(skb, &ip));
    }
}

/// Sends a translated packet where its flow goes, or leaves it to the kernel, or drops it, as the verdict with this code says; counts
/// it. Returns what the program returns.
#[inline(always)]
fn send(skb: Skb, l3: u32, slot: u32, version: FlowVersion, code: u32) -> i32 {
    let Ok(ip) = ipv4::parse(&skb.headers(), l3_off(l3)) else { return Action::DROP.to_tc_action() };
    if code & 0xff == Code::FORWARDED.raw() {
        send_out(skb, &ip, slot, version, code)
    } else {
        send_in(skb, &ip, slot, version, code)
    }
    .to_tc_action()
}

#[inline(always)]
fn send_out(skb: Skb, ip: &ipv4::Header, slot: u32, version: FlowVersion, code: u32) -> Action {
    let Some(hit) = flow(slot, version, Direction::Outbound) else { return at_ns::drop(skb, DropReason::Contended) };
    let amount = amount(skb, ip);
    if code & NOTED != 0 {
        note(Direction::Outbound, skb, ip, &hit, amount);
    }
    counters::count(hit.counters.into(), Verdict::Forwarded, amount);
    match hit.next_hop() {
        Some(next_hop) => Action::neighbour(hit.out_if, next_hop),
        None => at_ns::drop(skb, DropReason::Contended),
    }
}

#[inline(always)]
fn send_in(skb: Skb, ip: &ipv4::Header, slot: u32, version: FlowVersion, code: u32) -> Action {
    let Some(hit) = flow(slot, version, Direction::Inbound) else {
        return at_uplink::drop(skb, ip.off, DropReason::Contended);
    };
    let amount = amount(skb, ip);
    if code & NOTED != 0 {
        note(Direction::Inbound, skb, ip, &hit, amount);
    }
    let code = Code::from_raw(code & 0xff);
    if code != Code::DELIVERED {
        counters::count_code(hit.uplink_counters.into(), code, amount);
        return Action::unsent(code);
    }
    let done =
        if ip.off == NO_HEADER { apply::add_ethernet(skb, hit.hop) } else { apply::set_macs(&skb.headers(), hit.hop) };
    if let Err(reason) = done {
        return at_uplink::drop(skb, ip.off, reason);
    }
    counters::count(hit.counters.into(), Verdict::Delivered, amount);
    counters::count(hit.uplink_counters.into(), Verdict::Forwarded, amount);
    rate::into_namespace_slowly(hit.counters.into(), hit.out_if)
}
