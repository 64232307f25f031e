//! Validates packets; what is refused for what it claims: frames with another's MAC, ARP for another, source routes, lengths that cannot
//! be. Global functions: only packets pay that open a flow, have IP options, or go on to the bridge. They read what is linear already, so
//! that their callers' pointers stay good.

use aya_ebpf::bindings::__sk_buff;
use forwarder_common::{
    abi::{Endpoint, endpoint_flags},
    decide::{offload::ChecksumState, validate},
    types::{
        checksum,
        verdict::{Code, DropReason, PuntReason},
    },
    wire::{
        ethernet, ipv4,
        options::kind,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::kernel::{
    packet::{
        bytes::Bytes,
        l3_off,
        options::{ABSENT, PRESENT, find},
        skb::Skb,
        verify_checksum::fwd_verify_checksum,
    },
    records,
};

/// The first byte of an IPv4 header without options.
const VERSION_4_LENGTH_20: u8 = 0x45;

/// What a check returns as a global function: see [`Code::checked`].
#[inline(always)]
fn raw(result: Result<(), DropReason>) -> u32 {
    match result {
        Ok(()) => 0,
        Err(reason) => reason as u32,
    }
}

/// Validates the IPv4 header at `l3` and what is left to a device: a wrong checksum is not made right by a translation, nor may a device
/// write over one.
#[inline(always)]
pub(crate) fn header(skb: Skb, l3: usize) -> Result<(), Code> {
    Code::checked(fwd_validate_header(skb.ptr(), l3 as u32))
}

/// Validates the lengths in a packet of a namespace that opens a flow.
#[inline(always)]
pub(crate) fn lengths(skb: Skb) -> Result<(), Code> {
    Code::checked(fwd_validate_lengths(skb.ptr()))
}

/// Validates the options of the IP header at `l3`, if it has any.
#[inline(always)]
pub(crate) fn options(skb: Skb, l3: usize) -> Result<(), Code> {
    Code::checked(fwd_validate_options(skb.ptr(), l3 as u32))
}

/// Validates an ARP frame of a namespace.
#[inline(always)]
pub(crate) fn arp(skb: Skb) -> Code {
    Code::from_raw(fwd_validate_arp(skb.ptr()))
}

/// Makes of a request for the gateway's hardware address the answer: the bridge would tell its own. Whether it did.
#[inline(always)]
pub(crate) fn answers_arp(skb: Skb) -> bool {
    fwd_answer_arp(skb.ptr()) != 0
}

/// Validates a frame of a namespace that goes on to the bridge for the reason with this code: the bridge would learn from its source.
/// That code, or that of the reason to drop the frame.
#[inline(always)]
pub(crate) fn punt(skb: Skb, code: Code) -> Code {
    Code::from_raw(fwd_validate_punt(skb.ptr(), code.raw()))
}

/// As [`arp`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_validate_arp(skb: *mut __sk_buff) -> u32 {
    let skb = Skb::from_ptr(skb);
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return DropReason::NoEndpoint as u32 };
    if endpoint.flags & endpoint_flags::ALLOW_SPOOF != 0 {
        return PuntReason::Arp as u32;
    }
    match validate::arp(&skb.linear(), endpoint.mac, endpoint.v4) {
        Ok(()) => PuntReason::Arp as u32,
        Err(reason) => reason as u32,
    }
}

/// As [`punt`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_validate_punt(skb: *mut __sk_buff, punt: u32) -> u32 {
    let skb = Skb::from_ptr(skb);
    let bytes = skb.linear();
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return punt };
    let code = if endpoint.flags & endpoint_flags::ALLOW_SPOOF == 0 {
        match bytes.load::<6>(ethernet::field::SRC) {
            Ok(source) if source == endpoint.mac => punt,
            _ => DropReason::SpoofedMac as u32,
        }
    } else {
        // What the kernel cuts and forwards is translated at the uplink, by its source: another's is not known there.
        match ipv4::parse(&bytes, L3_OFF) {
            Ok(ip) if ip.src != endpoint.v4 && punt == PuntReason::TooBig as u32 && !ip.dont_fragment() => {
                DropReason::Untranslated as u32
            }
            _ => punt,
        }
    };
    if code != punt {
        return code;
    }
    match to_bridge(&bytes, endpoint) {
        Ok(()) => code,
        Err(reason) => reason as u32,
    }
}

/// Addresses a frame to the bridge that is addressed to the gateway as the namespace sees it.
#[inline(always)]
fn to_bridge(bytes: &Bytes, endpoint: &Endpoint) -> Result<(), DropReason> {
    let Some(network) = records::network(endpoint.network) else { return Ok(()) };
    let bridge = network.gateway_mac;
    if bytes.load::<6>(ethernet::field::DST)? != endpoint.gateway_mac {
        return Ok(());
    }
    bytes.store(ethernet::field::DST, bridge)
}

/// As [`answers_arp`]: 1 if it did.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_answer_arp(skb: *mut __sk_buff) -> u32 {
    let skb = Skb::from_ptr(skb);
    let bytes = skb.linear();
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return 0 };
    let Some(network) = records::network(endpoint.network) else { return 0 };
    let (bridge, gateway) = (network.gateway_mac, network.gateway_v4);
    if bridge == endpoint.gateway_mac {
        return 0;
    }
    let answer = validate::arp_answer(&bytes, endpoint.gateway_mac, gateway);
    u32::from(answer.is_some_and(|answer| bytes.store(0, answer).is_ok()))
}

/// As [`header`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_validate_header(skb: *mut __sk_buff, l3: u32) -> u32 {
    let (skb, l3) = (Skb::from_ptr(skb), l3_off(l3));
    let bytes = skb.linear();
    let right = if matches!(bytes.load::<1>(l3), Ok([VERSION_4_LENGTH_20])) {
        checksum::verifies(bytes.header_sum(l3))
    } else {
        match ipv4::parse(&bytes, l3) {
            Ok(ip) => fwd_verify_checksum(skb.ptr(), l3 as u32, ip.len as u32) != 0,
            Err(reason) => return reason as u32,
        }
    };
    if !right {
        return DropReason::HeaderChecksum as u32;
    }
    if skb.checksum_state(l3) == ChecksumState::Misplaced as u32 { DropReason::ChecksumOffload as u32 } else { 0 }
}

/// As [`lengths`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_validate_lengths(skb: *mut __sk_buff) -> u32 {
    let bytes = Skb::from_ptr(skb).linear();
    raw(ipv4::parse(&bytes, L3_OFF).and_then(|ip| validate::lengths(&bytes, &ip)))
}

/// As [`options`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_validate_options(skb: *mut __sk_buff, l3: u32) -> u32 {
    let l3 = l3 & 0xf;
    let Ok(ip) = ipv4::parse(&Skb::from_ptr(skb).linear(), l3 as usize) else { return DropReason::Truncated as u32 };
    let length = ip.len.wrapping_sub(ipv4::MIN_LEN) as u32;
    let first = l3.wrapping_add(ipv4::MIN_LEN as u32);
    match find(skb, first, length, [kind::LOOSE, kind::STRICT]).0 {
        PRESENT => DropReason::SourceRoute as u32,
        ABSENT => 0,
        _ => DropReason::Malformed as u32,
    }
}
