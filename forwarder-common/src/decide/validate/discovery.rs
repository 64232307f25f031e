//! Validates neighbour discovery of a namespace, as ARP is: it may speak for nobody else.

use crate::{
    abi::{Endpoint, endpoint_flags},
    types::{checksum, verdict::DropReason},
    wire::{
        extension::Upper,
        icmpv6,
        ipv6::{self, is_same},
        ndisc::{self, HOP_LIMIT, MAC_OPTION, MOST_OPTIONS, Message, flag, kind, option},
        packet::{L3_OFF, PacketBytes},
    },
};

/// Checks a message of neighbour discovery behind the headers `ip` and `upper`, which ends at `end`: it says of no address but the
/// endpoint's own that it is at the endpoint's MAC, and of no other MAC. What routers say is refused before.
///
/// # Errors
/// [`DropReason::NdSpoof`]; [`DropReason::ExtensionHeaders`] in fragments (RFC 6980); [`DropReason::Malformed`] for what every receiver
/// discards (RFC 4861 §6.1.1, §7.1), and for more options than [`MOST_OPTIONS`]; [`DropReason::Truncated`].
#[inline(always)]
pub(super) fn outbound<P: PacketBytes>(
    packet: &P,
    ip: &ipv6::Header,
    upper: &Upper,
    end: usize,
    endpoint: &Endpoint,
) -> Result<(), DropReason> {
    if upper.fragment {
        return Err(DropReason::ExtensionHeaders);
    }
    let message = ndisc::parse(packet, upper.off, end)?;
    if ip.hop_limit != HOP_LIMIT || ipv6::is_multicast(message.target) {
        return Err(DropReason::Malformed);
    }
    if endpoint.flags & endpoint_flags::ALLOW_SPOOF != 0 {
        return Ok(());
    }
    let is_claim = message.kind == kind::NEIGHBOUR_ADVERTISEMENT
        || message.kind == kind::NEIGHBOUR_SOLICITATION && ipv6::is_unspecified(ip.src);
    if is_claim && !is_own(message.target, endpoint) {
        return Err(DropReason::NdSpoof);
    }
    options(packet, &message, endpoint)
}

/// Whether `addr` is one of the endpoint's.
#[inline(always)]
fn is_own(addr: [u8; 16], endpoint: &Endpoint) -> bool {
    is_same(addr, endpoint.v6) || is_same(addr, ipv6::link_local_of(endpoint.mac))
}

/// Checks the hardware addresses among the options.
#[inline(always)]
fn options<P: PacketBytes>(packet: &P, message: &Message, endpoint: &Endpoint) -> Result<(), DropReason> {
    let mut options = message.options;
    let mut count = 0;
    while count < MOST_OPTIONS {
        if options.is_empty() {
            return Ok(());
        }
        let found = options.read(packet)?;
        let names_mac = matches!(found.kind, option::SOURCE_MAC | option::TARGET_MAC);
        if names_mac && (found.len != MAC_OPTION || found.mac != endpoint.mac) {
            return Err(DropReason::NdSpoof);
        }
        count = u32::wrapping_add(count, 1);
    }
    if options.is_empty() { Ok(()) } else { Err(DropReason::Malformed) }
}

/// Where the message begins in a frame without extension headers, bytes.
pub const MESSAGE: usize = L3_OFF + ipv6::LEN;
/// Where it says whose hardware address is asked for.
pub const TARGET: usize = MESSAGE + 8;
/// Where its option begins.
pub const OPTION: usize = MESSAGE + ndisc::length(kind::NEIGHBOUR_SOLICITATION);

/// What makes of a solicitation the advertisement that answers it: the rest of the frame stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To whom: the hardware address at the start of the frame.
    pub to_mac: [u8; 6],
    /// The destination address.
    pub to: [u8; 16],
    /// The first eight bytes of the message.
    pub head: [u8; 8],
    /// The option behind the target: the hardware address.
    pub option: [u8; MAC_OPTION],
    /// Whether there is room for one: a solicitation of one neighbour alone may have none (RFC 4861 §7.2.4).
    pub has_option: bool,
}

/// The answer to the solicitation in `frame`, which was validated, for `addr`, which has the hardware address `mac`; `None` if it asks for
/// nothing of the kind, or says more than common ones do. `is_router` tells whether a router has the address.
#[inline(always)]
#[must_use]
pub fn answer<P: PacketBytes>(frame: &P, mac: [u8; 6], addr: [u8; 16], is_router: bool) -> Option<Answer> {
    const BARE: u16 = ndisc::length(kind::NEIGHBOUR_SOLICITATION) as u16;
    const WITH_MAC: u16 = BARE + MAC_OPTION as u16;
    let ip = ipv6::parse(frame, L3_OFF).ok()?;
    let is_common = ip.next_header == icmpv6::PROTO && matches!(ip.payload_len, BARE | WITH_MAC);
    // Who has no address yet is told by nobody that this one is taken: it is refused.
    if !is_common || ipv6::is_unspecified(ip.src) {
        return None;
    }
    let message = ndisc::parse(frame, MESSAGE, ip.end()).ok()?;
    if message.kind != kind::NEIGHBOUR_SOLICITATION || !is_same(message.target, addr) {
        return None;
    }
    let has_option = ip.payload_len == WITH_MAC;
    let to_mac = frame.load::<6>(crate::wire::ethernet::field::SRC).ok()?;
    let router = if is_router { flag::ROUTER } else { 0 };
    let flags = router | flag::SOLICITED | flag::OVERRIDE;
    let (head, option) = advertisement((mac, addr), ip.src, flags, has_option);
    Some(Answer { to_mac, to: ip.src, head, option, has_option })
}

/// What says to the address `to` that `addr` has the hardware address `mac`, with these [`flag`]s, from that address itself: the first eight bytes of
/// the message, and the option behind the target, if it `has_option`.
#[inline(always)]
#[must_use]
pub const fn advertisement(
    (mac, addr): ([u8; 6], [u8; 16]),
    to: [u8; 16],
    flags: u8,
    has_option: bool,
) -> ([u8; 8], [u8; MAC_OPTION]) {
    advertisement_from(addr, (mac, addr), to, flags, has_option)
}

/// The same from another address, of whoever speaks for the one that has it (RFC 4861 §7.2.8).
#[inline(always)]
#[must_use]
pub const fn advertisement_from(
    from: [u8; 16],
    (mac, addr): ([u8; 6], [u8; 16]),
    to: [u8; 16],
    flags: u8,
    has_option: bool,
) -> ([u8; 8], [u8; MAC_OPTION]) {
    const BARE: u32 = ndisc::length(kind::NEIGHBOUR_SOLICITATION) as u32;
    const WITH_MAC: u32 = BARE + MAC_OPTION as u32;
    let [m0, m1, m2, m3, m4, m5] = mac;
    let option = [option::TARGET_MAC, 1, m0, m1, m2, m3, m4, m5];
    let (first, second) = ([kind::NEIGHBOUR_ADVERTISEMENT, 0, 0, 0], [flags, 0, 0, 0]);
    let pseudo = checksum::pseudo_sum_v6(from, to, icmpv6::PROTO, if has_option { WITH_MAC } else { BARE });
    let option_sum = if has_option {
        checksum::word_of([option::TARGET_MAC, 1, m0, m1]) + checksum::word_of([m2, m3, m4, m5])
    } else {
        0
    };
    let covered = checksum::words_of(addr)
        + checksum::word_of(first)
        + checksum::word_of(second)
        + u16::from_ne_bytes(pseudo) as u64
        + option_sum;
    let [c0, c1] = checksum::of_sum(covered);
    ([kind::NEIGHBOUR_ADVERTISEMENT, 0, c0, c1, flags, 0, 0, 0], option)
}
