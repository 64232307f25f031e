//! Translates and sends a packet whose flow was found by other means than ports of its own: see [`super::unusual`]; an ICMP error
//! is sent from here too.
//!
//! In steps that are global functions: the verifier looks at each once, each has a stack of its own, and the programs stay small.
//! They read the headers again, which costs little beside what such packets cost anyway. What they are told is the flow's slot and
//! its word, which tells whether it is still the same flow.

use aya_ebpf::bindings::__sk_buff;
use forwarder_common::{
    packet::L3_OFF,
    rewrite::{Readdress, Rewrite, Side, Ttl},
    verdict::{DropReason, PuntReason, Verdict, is_drop},
    wire::{
        ipv4,
        l4::{self, Proto, has_ports},
    },
};

use super::{NO_HEADER, from_ns, from_uplink, l3_off};
use crate::{
    apply::{self, Action},
    count::{self, Amount},
    flow::{
        life, now,
        store::{self, Hit},
    },
    skb::Skb,
};

/// The ways on which packets come by: out of a namespace, in from outside, and out by the kernel.
pub(super) const OUT: u32 = 0;
pub(super) const IN: u32 = 1;
pub(super) const FORWARDED: u32 = 2;

/// Above the way: the TTL stays.
const KEEP_TTL: u32 = 1 << 8;

/// Where the network header of a namespace's packet is.
const ETHERNET: u32 = L3_OFF as u32;

/// A packet that leaves a namespace: out by the uplink, or to the kernel.
#[inline(always)]
pub(super) fn outbound(skb: Skb, slot: u32, word: u32) -> Action {
    let code = fwd_judge(skb.ptr(), ETHERNET, slot, word, OUT);
    if code != Verdict::Forwarded.code() {
        return from_ns::stays(skb, code);
    }
    let refused = fwd_translate(skb.ptr(), ETHERNET, slot, word, OUT);
    if refused != 0 {
        return from_ns::stays(skb, refused);
    }
    fwd_note_out(skb.ptr(), ETHERNET, slot, word);
    Action::performed(fwd_send(skb.ptr(), ETHERNET, slot, word, code))
}

/// A packet from outside: into its namespace, or to the host, translated.
#[inline(always)]
pub(super) fn inbound(skb: Skb, l3: usize, slot: u32, word: u32) -> Action {
    fwd_note_back(skb.ptr(), l3 as u32, slot, word);
    let mut code = fwd_judge(skb.ptr(), l3 as u32, slot, word, IN);
    if !is_drop(code) {
        let ttl = if code == Verdict::Delivered.code() { 0 } else { KEEP_TTL };
        let refused = fwd_translate(skb.ptr(), l3 as u32, slot, word, IN | ttl);
        code = if refused == 0 { code } else { refused };
    }
    Action::performed(fwd_send(skb.ptr(), l3 as u32, slot, word, code))
}

/// A packet that is on its way out by an uplink: one that the kernel forwarded, or the host's own. Returns the code of the verdict.
#[inline(always)]
pub(super) fn departing(skb: Skb, l3: usize, slot: u32, word: u32) -> u32 {
    fwd_note_out(skb.ptr(), l3 as u32, slot, word);
    let code = fwd_judge(skb.ptr(), l3 as u32, slot, word, FORWARDED);
    if is_drop(code) {
        return code;
    }
    let refused = fwd_translate(skb.ptr(), l3 as u32, slot, word, OUT | KEEP_TTL);
    if refused == 0 { code } else { refused }
}

/// The flow in `slot` on a way, if its word was `word`, which is 0 if there was none.
#[inline(always)]
fn flow(slot: u32, word: u32, way: u32) -> Option<Hit> {
    if word == 0 {
        return None;
    }
    if way == IN { store::copy::<true>(slot, word) } else { store::copy::<false>(slot, word) }
}

/// Whether the ports stand in this packet.
#[inline(always)]
fn shows_ports(ip: &ipv4::Header) -> bool {
    has_ports(ip.proto) && ip.fragment_start() == 0
}

/// Length of the headers that each segment of a GSO packet repeats, as far as they are known, bytes: those of IP, and of TCP and UDP.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_repeated(skb: *mut __sk_buff, l3: u32) -> u32 {
    let bytes = Skb::from_ptr(skb).all_headers();
    let Ok(ip) = ipv4::parse(&bytes, l3_off(l3)) else { return 0 };
    let l4 = if shows_ports(&ip) { l4::parse_first(&bytes, &ip).map_or(0, |l4| l4.len) } else { 0 };
    ip.len.wrapping_add(l4) as u32
}

/// What a packet with header `ip` adds to counters.
#[inline(always)]
fn amount(skb: Skb, ip: &ipv4::Header) -> Amount {
    if skb.gso_size() == 0 {
        return Amount { packets: 1, bytes: ip.total_len.into() };
    }
    let headers = fwd_repeated(skb.ptr(), ip.off as u32);
    let segments = skb.segments(ip.off.wrapping_add(headers as usize));
    let Amount { bytes, .. } = Amount::whole(skb, ip.off);
    Amount { packets: segments, bytes: bytes.wrapping_add(segments.wrapping_sub(1).wrapping_mul(headers)) }
}

/// What becomes of the packet: the code of the verdict.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_judge(skb: *mut __sk_buff, l3: u32, slot: u32, word: u32, way: u32) -> u32 {
    let skb = Skb::from_ptr(skb);
    let ip = match ipv4::parse(&skb.headers(), l3_off(l3)) {
        Ok(ip) => ip,
        Err(reason) => return Verdict::Dropped(reason).code(),
    };
    let Some(hit) = flow(slot, word, way) else { return Verdict::Dropped(DropReason::Contended).code() };
    if way == FORWARDED {
        return match hit.out_if == skb.ifindex() {
            // SAFETY: `hit` points into the slot array.
            true if unsafe { (*hit.slot).shared.endpoint } == 0 => Verdict::Punted(PuntReason::HostFlow),
            true => Verdict::Punted(PuntReason::Translated),
            false => Verdict::Dropped(DropReason::RouteNotViaUplink),
        }
        .code();
    }
    let size = match skb.gso_size() {
        0 => ip.total_len.into(),
        segment => segment.wrapping_add(fwd_repeated(skb.ptr(), ip.off as u32)),
    };
    if hit.out_if == 0 {
        Verdict::Punted(PuntReason::HostFlow)
    } else if ip.ttl_expires() {
        Verdict::Punted(PuntReason::TtlExceeded)
    } else if size > u32::from(hit.mtu) {
        Verdict::Punted(PuntReason::TooBig)
    } else if way == IN {
        Verdict::Delivered
    } else {
        Verdict::Forwarded
    }
    .code()
}

/// Translates the packet on its way, above which stands whether the TTL stays. Returns 0 or the code of the reason to drop it.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_translate(skb: *mut __sk_buff, l3: u32, slot: u32, word: u32, way: u32) -> u32 {
    let ttl = if way & KEEP_TTL != 0 { Ttl::Keep } else { Ttl::Decrement };
    let way = way & 0xff;
    let side = if way == IN { Side::Destination } else { Side::Source };
    let done = match flow(slot, word, way) {
        Some(Hit { addr, port, .. }) => translate(Skb::from_ptr(skb), l3_off(l3), (side, ttl), (addr, port)),
        None => Err(DropReason::Contended),
    };
    match done {
        Ok(()) => 0,
        Err(reason) => Verdict::Dropped(reason).code(),
    }
}

#[inline(always)]
fn translate(skb: Skb, l3: usize, how: (Side, Ttl), to: ([u8; 4], [u8; 2])) -> Result<(), DropReason> {
    let ((side, ttl), (addr, port)) = (how, to);
    let bytes = skb.all_headers();
    let ip = ipv4::parse(&bytes, l3)?;
    if shows_ports(&ip) {
        let l4 = l4::parse_first(&bytes, &ip)?;
        return apply::rewrite(skb, &bytes, &Rewrite::new(side, &ip, &l4, addr, port, ttl));
    }
    apply::readdress(skb, &bytes, &Readdress::new(side, &ip, addr, ttl))
}

/// Notes a packet at its flow. Protocols without ports live as UDP does.
#[inline(always)]
fn note<const BACK: bool>(skb: Skb, l3: u32, slot: u32, word: u32) -> u32 {
    let bytes = skb.all_headers();
    let Ok(ip) = ipv4::parse(&bytes, l3_off(l3)) else { return 0 };
    let Some(hit) = flow(slot, word, if BACK { IN } else { OUT }) else { return 0 };
    let mut l4 =
        l4::Header { proto: Proto::Udp, src_port: [0; 2], dst_port: [0; 2], tcp_flags: 0, icmp_type: 0, len: 0 };
    if ip.proto == Proto::Tcp as u8 {
        // What makes other flows lasting is not enough for TCP, whose later fragments show no flags.
        l4.proto = Proto::Tcp;
        if ip.fragment_start() == 0 {
            l4.tcp_flags = l4::parse_first(&bytes, &ip).map_or(0, |l4| l4.tcp_flags);
        }
    }
    life::touch::<BACK>(&hit, &l4, now(), amount(skb, &ip));
    1
}

/// Notes an outbound packet at its flow.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_note_out(skb: *mut __sk_buff, l3: u32, slot: u32, word: u32) -> u32 {
    note::<false>(Skb::from_ptr(skb), l3, slot, word)
}

/// Notes a packet from outside at its flow.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_note_back(skb: *mut __sk_buff, l3: u32, slot: u32, word: u32) -> u32 {
    note::<true>(Skb::from_ptr(skb), l3, slot, word)
}

/// Sends a translated packet where its flow goes, or leaves it to the kernel, or drops it, as the verdict with this code says; counts
/// it. Returns what the program returns.
#[inline(never)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn fwd_send(skb: *mut __sk_buff, l3: u32, slot: u32, word: u32, code: u32) -> i32 {
    let (skb, l3) = (Skb::from_ptr(skb), l3_off(l3));
    let Ok(ip) = ipv4::parse(&skb.headers(), l3) else { return Action::DROP.perform() };
    let amount = amount(skb, &ip);
    if code == Verdict::Forwarded.code() {
        let Some(hit) = flow(slot, word, OUT) else { return from_ns::drop(skb, DropReason::Contended).perform() };
        count::count(hit.counters.into(), Verdict::Forwarded, amount);
        let next_hop = hit.next_hop();
        return Action::neighbour(hit.out_if, next_hop).perform();
    }
    let Some(hit) = flow(slot, word, IN) else { return from_uplink::drop(skb, l3, DropReason::Contended).perform() };
    if code != Verdict::Delivered.code() {
        count::count_code(hit.uplink_counters.into(), code, amount);
        return if is_drop(code) { Action::DROP } else { Action::NEXT }.perform();
    }
    let done =
        if l3 == NO_HEADER { apply::add_ethernet(skb, hit.hop) } else { apply::set_macs(&skb.headers(), hit.hop) };
    if let Err(reason) = done {
        return from_uplink::drop(skb, l3, reason).perform();
    }
    count::count(hit.counters.into(), Verdict::Delivered, amount);
    count::count(hit.uplink_counters.into(), Verdict::Forwarded, amount);
    Action::peer(hit.out_if).perform()
}
