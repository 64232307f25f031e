//! Translates and sends a packet whose flow was found by other means than ports of its own: see [`super::unusual`].
//!
//! Global functions: the verifier looks at each once, and the programs stay small. They read the headers again, which costs
//! little beside what such packets cost anyway.

use aya_ebpf::bindings::__sk_buff;
use forwarder_common::{
    abi::Tuple,
    packet::L3_OFF,
    rewrite::{Readdress, Rewrite, Side, Ttl},
    verdict::{DropReason, PuntReason, Verdict},
    wire::{
        ipv4,
        l4::{self, Proto, has_ports},
    },
};

use super::{NO_HEADER, from_ns, l3_off};
use crate::{
    apply::{self, Action},
    count::{self, Amount},
    flow::{
        life, now,
        store::{self, Hit},
    },
    skb::Skb,
};

/// What a program returns that has redirected its packet (`TC_ACT_REDIRECT`).
pub(super) const REDIRECT: i32 = 7;

/// A packet whose flow is known.
struct Found {
    skb: Skb,
    ip: ipv4::Header,
    hit: Hit,
}

impl Found {
    /// The packet with direction `BACK` (otherwise outbound) of the flow in `slot`, which must be that of `tuple`.
    #[inline(always)]
    fn new<const BACK: bool>(skb: Skb, tuple: *const Tuple, slot: u32, l3: u32) -> Result<Self, DropReason> {
        // SAFETY: the verifier checks that callers pass a whole tuple; it may be null as far as it knows.
        let tuple = unsafe { tuple.as_ref() }.ok_or(DropReason::Contended)?;
        let ip = ipv4::parse(&skb.all_headers(), l3_off(l3))?;
        let hit = store::load::<BACK>(slot, tuple).ok_or(DropReason::Contended)?;
        Ok(Self { skb, ip, hit })
    }

    /// What it adds to counters.
    #[inline(always)]
    fn amount(&self) -> Amount {
        if self.skb.gso_size() != 0 {
            let headers = self.headers();
            let segments = self.skb.segments(self.ip.off.wrapping_add(headers));
            let Amount { bytes, .. } = Amount::whole(self.skb, self.ip.off);
            let repeated = segments.wrapping_sub(1).wrapping_mul(headers as u32);
            return Amount { packets: segments, bytes: bytes.wrapping_add(repeated) };
        }
        Amount { packets: 1, bytes: self.ip.total_len.into() }
    }

    /// Whether it is larger than the way out allows. What a segment repeats is known of TCP and UDP; of others, the IP header at
    /// least.
    #[inline(always)]
    fn too_big(&self) -> bool {
        let size = match self.skb.gso_size() {
            0 => self.ip.total_len.into(),
            segment => segment.wrapping_add(self.headers() as u32),
        };
        size > u32::from(self.hit.mtu)
    }

    /// Length of the headers that each segment of a GSO packet repeats, as far as they are known, bytes.
    #[inline(always)]
    fn headers(&self) -> usize {
        let l4 = match self.has_ports() {
            true => l4::parse_first(&self.skb.all_headers(), &self.ip).map_or(0, |l4| l4.len),
            false => 0,
        };
        self.ip.len.wrapping_add(l4)
    }

    /// Whether the ports stand in this packet.
    #[inline(always)]
    fn has_ports(&self) -> bool {
        has_ports(self.ip.proto) && self.ip.fragment_start() == 0
    }

    #[inline(always)]
    fn translate(&self, side: Side, ttl: Ttl) -> Result<(), DropReason> {
        let Self { skb, ip, hit } = self;
        let bytes = skb.all_headers();
        if self.has_ports() {
            let l4 = l4::parse_first(&bytes, ip)?;
            return apply::rewrite(*skb, &bytes, &Rewrite::new(side, ip, &l4, hit.addr, hit.port, ttl));
        }
        apply::readdress(*skb, &bytes, &Readdress::new(side, ip, hit.addr, ttl))
    }
}

/// Notes a packet at its flow. Protocols without ports live as UDP does.
#[inline(always)]
fn note<const BACK: bool>(skb: Skb, tuple: *const Tuple, slot: u32, l3: u32) -> u32 {
    let Ok(found) = Found::new::<BACK>(skb, tuple, slot, l3) else { return 0 };
    // What makes other flows lasting is not enough for TCP, whose later fragments show no flags.
    let proto = if found.ip.proto == Proto::Tcp as u8 { Proto::Tcp } else { Proto::Udp };
    let mut l4 = l4::Header { proto, src_port: [0, 0], dst_port: [0, 0], tcp_flags: 0, icmp_type: 0, len: 0 };
    if found.has_ports()
        && let Ok(header) = l4::parse_first(&skb.all_headers(), &found.ip)
    {
        l4 = header;
    }
    life::touch::<BACK>(&found.hit, &l4, now(), found.amount());
    1
}

/// Notes an outbound packet at its flow. By itself, because ending a flow needs stack.
#[inline(never)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn fwd_note_out(skb: *mut __sk_buff, tuple: *const Tuple, slot: u32, l3: u32) -> u32 {
    note::<false>(Skb::from_ptr(skb), tuple, slot, l3)
}

/// Notes a packet from outside at its flow.
#[inline(never)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn fwd_note_back(skb: *mut __sk_buff, tuple: *const Tuple, slot: u32, l3: u32) -> u32 {
    note::<true>(Skb::from_ptr(skb), tuple, slot, l3)
}

/// Sends a packet of a namespace out by the uplink. Returns what the program returns.
#[inline(never)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn fwd_send_out(skb: *mut __sk_buff, tuple: *const Tuple, slot: u32) -> i32 {
    let skb = Skb::from_ptr(skb);
    match send_out(skb, tuple, slot) {
        Ok(action) => action,
        Err(reason) => from_ns::drop(skb, reason),
    }
    .perform()
}

#[inline(always)]
fn send_out(skb: Skb, tuple: *const Tuple, slot: u32) -> Result<Action, DropReason> {
    let found = Found::new::<false>(skb, tuple, slot, L3_OFF as u32)?;
    if found.ip.ttl_expires() {
        return Ok(from_ns::punt(skb, PuntReason::TtlExceeded));
    }
    if found.too_big() {
        return Ok(from_ns::punt(skb, PuntReason::TooBig));
    }
    found.translate(Side::Source, Ttl::Decrement)?;
    count::count(found.hit.counters.into(), Verdict::Forwarded, found.amount());
    let next_hop = found.hit.next_hop();
    Ok(Action::neighbour(found.hit.out_if, next_hop))
}

/// Delivers a packet from outside into its namespace. Returns what the program returns.
#[inline(never)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn fwd_send_in(skb: *mut __sk_buff, tuple: *const Tuple, slot: u32, l3: u32) -> i32 {
    let skb = Skb::from_ptr(skb);
    match send_in(skb, tuple, slot, l3) {
        Ok(action) => action,
        Err(reason) => {
            let Amount { packets, bytes } = Amount::whole(skb, l3_off(l3));
            count::fwd_count_at_uplink(skb.ifindex(), 0, Verdict::Dropped(reason).code(), packets, bytes);
            Action::DROP
        }
    }
    .perform()
}

#[inline(always)]
fn send_in(skb: Skb, tuple: *const Tuple, slot: u32, l3: u32) -> Result<Action, DropReason> {
    let found = Found::new::<true>(skb, tuple, slot, l3)?;
    let punt = if found.hit.out_if == 0 {
        PuntReason::HostFlow
    } else if found.ip.ttl_expires() {
        PuntReason::TtlExceeded
    } else if found.too_big() {
        PuntReason::TooBig
    } else {
        found.translate(Side::Destination, Ttl::Decrement)?;
        if found.ip.off == NO_HEADER {
            apply::add_ethernet(skb, found.hit.hop)?;
        } else {
            apply::set_macs(&skb.headers(), found.hit.hop)?;
        }
        count::count(found.hit.counters.into(), Verdict::Delivered, found.amount());
        count::count(found.hit.uplink_counters.into(), Verdict::Forwarded, found.amount());
        return Ok(Action::peer(found.hit.out_if));
    };
    found.translate(Side::Destination, Ttl::Keep)?;
    count::count(found.hit.uplink_counters.into(), Verdict::Punted(punt), found.amount());
    Ok(Action::NEXT)
}

/// Translates a packet that is on its way out by an uplink: one that the kernel forwarded, or the host's own. Returns the code of
/// the verdict.
#[inline(never)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn fwd_translate_here(skb: *mut __sk_buff, tuple: *const Tuple, slot: u32, l3: u32) -> u32 {
    match translate_here(Skb::from_ptr(skb), tuple, slot, l3) {
        Ok(reason) => Verdict::Punted(reason).code(),
        Err(reason) => Verdict::Dropped(reason).code(),
    }
}

#[inline(always)]
fn translate_here(skb: Skb, tuple: *const Tuple, slot: u32, l3: u32) -> Result<PuntReason, DropReason> {
    let found = Found::new::<false>(skb, tuple, slot, l3)?;
    if found.hit.out_if != skb.ifindex() {
        return Err(DropReason::RouteNotViaUplink);
    }
    found.translate(Side::Source, Ttl::Keep)?;
    // SAFETY: `Found::new` saw that it is not null.
    let host = unsafe { (*tuple).ifindex } == 0;
    Ok(if host { PuntReason::HostFlow } else { PuntReason::Translated })
}
