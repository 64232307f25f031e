//! Validates packets; what is refused for what it claims: frames with another's MAC, ARP for another, source routes, lengths that cannot
//! be. Global functions: only packets pay that open a flow, have IP options, or go on to the bridge. They read what is linear already, so
//! that their callers' pointers stay good.

use forwarder_common::{
    abi::{Endpoint, endpoint_flags, mapped},
    decide::{bridgeless, icmp_error, offload::ChecksumState, validate},
    types::{
        checksum,
        verdict::{Code, DropReason},
    },
    wire::{
        ethernet, ipv4,
        options::kind,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        devices::fwd_is_there,
        packet::{
            bytes::Bytes,
            l3_off,
            options::{ABSENT, PRESENT, find},
            skb::Skb,
            verify_checksum::fwd_verify_checksum,
        },
        records,
    },
    path::bridgeless::answers_for,
};

/// The first byte of an IPv4 header without options.
const VERSION_4_LENGTH_20: u8 = 0x45;

/// Validates the IPv4 header at `l3` and what is left to a device: a wrong checksum is not made right by a translation, nor may a device
/// write over one.
#[inline(always)]
pub(crate) fn header(skb: Skb, l3: usize) -> Result<(), Code> {
    fwd_validate_header(skb, l3 as u32)
}

/// Validates the options of the IP header at `l3`, if it has any.
#[inline(always)]
pub(crate) fn options(skb: Skb, l3: usize) -> Result<(), Code> {
    fwd_validate_options(skb, l3 as u32)
}

global_fn! {
    /// See [`header`].
    fn fwd_validate_header(skb: Skb, l3: u32) -> Result<(), Code> = header_at;
    /// See [`options`].
    fn fwd_validate_options(skb: Skb, l3: u32) -> Result<(), Code> = options_at;
    /// See [`lengths`].
    pub(crate) fn fwd_validate_lengths(skb: Skb) -> Result<(), Code> = lengths;
    /// See [`icmp`].
    pub(crate) fn fwd_validate_icmp(skb: Skb) -> Result<(), Code> = icmp;
    /// See [`arp`].
    pub(crate) fn fwd_validate_arp(skb: Skb) -> Code = arp;
    /// See [`answer_arp`].
    pub(crate) fn fwd_answer_arp(skb: Skb) -> bool = answer_arp;
    /// See [`punt`].
    pub(crate) fn fwd_validate_punt(skb: Skb, code: Code) -> Code = punt;
}

/// Validates an ARP frame of a namespace.
#[inline(always)]
fn arp(skb: Skb) -> Code {
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return DropReason::NoEndpoint.into() };
    validate::arp_of(&skb.linear(), endpoint)
}

/// Validates ICMP of a namespace that is about no flow: see [`icmp_error::of_own`].
#[inline(always)]
fn icmp(skb: Skb) -> Result<(), Code> {
    let endpoint = records::endpoint(skb.ifindex()).ok_or(DropReason::NoEndpoint)?;
    if endpoint.flags & endpoint_flags::ALLOW_SPOOF != 0 {
        return Ok(());
    }
    let bytes = skb.linear();
    Ok(ipv4::parse(&bytes, L3_OFF).and_then(|ip| icmp_error::of_own(&bytes, &ip, endpoint.v4))?)
}

/// Validates a frame of a namespace that goes on to the bridge for the reason with this code: the bridge would learn from its source.
/// That code, or that of the reason to drop the frame.
#[inline(always)]
fn punt(skb: Skb, punt: Code) -> Code {
    let bytes = skb.linear();
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return punt };
    let code = validate::to_bridge(&bytes, endpoint, punt);
    if code != punt {
        return code;
    }
    match to_bridge(&bytes, endpoint, code) {
        Ok(code) => code,
        Err(reason) => reason.into(),
    }
}

/// Addresses a frame to the bridge that is addressed to the gateway as the namespace sees it. The code `punt`, or that of a drop where nobody else is at
/// the bridge.
#[inline(always)]
fn to_bridge(bytes: &Bytes, endpoint: &Endpoint, punt: Code) -> Result<Code, DropReason> {
    let without = bridgeless::is_bridgeless(endpoint.flags);
    // The number of a bridge that was deleted may be another interface's.
    let Some(network) = records::network(endpoint.network).filter(|_| !without || fwd_is_there(endpoint.network))
    else {
        return Ok(if without { DropReason::NoBridge.into() } else { punt });
    };
    let bridge = network.gateway_mac;
    let mut to = bytes.load::<6>(ethernet::field::DST)?;
    if to == endpoint.gateway_mac {
        bytes.store(ethernet::field::DST, bridge)?;
        to = bridge;
    }
    Ok(if without { bridgeless::to_host(to, bridge, punt) } else { punt })
}

/// Makes of a request for the gateway's hardware address the answer: the bridge would tell its own; and of one for a neighbour's, where there is no
/// bridge. Whether it did.
#[inline(always)]
fn answer_arp(skb: Skb) -> bool {
    let bytes = skb.linear();
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return false };
    let Some(network) = records::network(endpoint.network) else { return false };
    let (bridge, gateway) = (network.gateway_mac, network.gateway_v4);
    if bridge == endpoint.gateway_mac {
        return false;
    }
    let asked = bytes.load::<4>(validate::ARP_TARGET).unwrap_or_default();
    let addr = if answers_for(skb, endpoint, mapped(asked)) { asked } else { gateway };
    let answer = validate::arp_answer(&bytes, endpoint.gateway_mac, addr);
    answer.is_some_and(|answer| bytes.store(0, answer).is_ok())
}

#[inline(always)]
fn header_at(skb: Skb, l3: u32) -> Result<(), Code> {
    let l3 = l3_off(l3);
    let bytes = skb.linear();
    let right = if matches!(bytes.load::<1>(l3), Ok([VERSION_4_LENGTH_20])) {
        checksum::verifies(bytes.header_sum(l3))
    } else {
        let ip = ipv4::parse(&bytes, l3)?;
        fwd_verify_checksum(skb, l3 as u32, ip.len as u32, 0)
    };
    if !right {
        return Err(DropReason::HeaderChecksum.into());
    }
    let misplaced = skb.checksum_state(l3) == ChecksumState::Misplaced as u32;
    if misplaced { Err(DropReason::ChecksumOffload.into()) } else { Ok(()) }
}

/// Validates the lengths in a packet of a namespace that opens a flow.
#[inline(always)]
fn lengths(skb: Skb) -> Result<(), Code> {
    let bytes = skb.linear();
    Ok(ipv4::parse(&bytes, L3_OFF).and_then(|ip| validate::lengths(&bytes, &ip))?)
}

#[inline(always)]
fn options_at(skb: Skb, l3: u32) -> Result<(), Code> {
    let l3 = l3 & 0xf;
    let Ok(ip) = ipv4::parse(&skb.linear(), l3 as usize) else { return Err(DropReason::Truncated.into()) };
    let length = ip.len.wrapping_sub(ipv4::MIN_LEN) as u32;
    let first = l3.wrapping_add(ipv4::MIN_LEN as u32);
    match find(skb, first, length, [kind::LOOSE, kind::STRICT]).0 {
        PRESENT => Err(DropReason::SourceRoute.into()),
        ABSENT => Ok(()),
        _ => Err(DropReason::Malformed.into()),
    }
}
