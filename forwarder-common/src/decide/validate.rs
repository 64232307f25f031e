//! Validates what a namespace sends; what no well-behaved one does: ARP for others, impossible addresses, lengths that contradict each
//! other. IPv6 in [`ipv6`].

pub mod discovery;
pub mod ipv6;

use crate::{
    abi::{Endpoint, endpoint_flags},
    types::verdict::{Code, DropReason, PuntReason},
    wire::{
        ethernet, ipv4,
        l4::{self, Proto},
        packet::{L3_OFF, PacketBytes},
    },
};

/// Ethernet, IPv4, and the lengths of their addresses (RFC 826).
const ARP_OF_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// Checks an ARP frame of the endpoint with address `mac` and `addr`: it may speak for nobody else. A probe has no sender
/// address (RFC 5227 §1.1).
///
/// # Errors
/// [`DropReason::Truncated`], [`DropReason::Malformed`] if it is not about IPv4 on Ethernet, [`DropReason::ArpSpoof`].
#[inline(always)]
pub fn arp<P: PacketBytes>(frame: &P, mac: [u8; 6], addr: [u8; 4]) -> Result<(), DropReason> {
    let arp = ethernet::LEN;
    if frame.load::<6>(arp)? != ARP_OF_IPV4 {
        return Err(DropReason::Malformed);
    }
    let sender_mac = frame.load::<6>(arp.wrapping_add(8))?;
    let sender = frame.load::<4>(arp.wrapping_add(14))?;
    let _target: [u8; 4] = frame.load::<4>(ARP_TARGET)?;
    let honest = frame.load::<6>(ethernet::field::SRC)? == mac && sender_mac == mac;
    if honest && (sender == addr || sender == [0; 4]) { Ok(()) } else { Err(DropReason::ArpSpoof) }
}

/// What becomes of an ARP frame of an endpoint: the code of [`PuntReason::Arp`], or of a drop as [`arp`] says, unless it may speak for others.
#[inline(always)]
#[must_use]
pub fn arp_of<P: PacketBytes>(frame: &P, endpoint: &Endpoint) -> Code {
    if is_for_bridges(frame) {
        return DropReason::BridgeGroup.into();
    }
    if endpoint.flags & endpoint_flags::ALLOW_SPOOF != 0 {
        return PuntReason::Arp.into();
    }
    match arp(frame, endpoint.mac, endpoint.v4) {
        Ok(()) => PuntReason::Arp.into(),
        Err(reason) => reason.into(),
    }
}

/// Whether a frame is addressed to bridges themselves (IEEE 802.1D §7.12.6): what else they do not forward the kernel's takes up as if it
/// had come in by its port, so that no rule for the bridge sees it (`br_handle_frame` in net/bridge/br_input.c).
#[inline(always)]
fn is_for_bridges<P: PacketBytes>(frame: &P) -> bool {
    // Of a frame that is cut there is an address to compare, too: of bytes that are not there LLVM would compare whatever a register has.
    let [a, b, c, d, e, f] = frame.load::<6>(ethernet::field::DST).unwrap_or_default();
    [a, b, c, d, e] == [0x01, 0x80, 0xc2, 0, 0] && f <= 0x0f
}

/// What becomes of a frame of an endpoint that goes on to the bridge with the code `punt`: that code, or that of the reason to drop it. The
/// bridge would learn from its source; and what the kernel cuts and forwards is translated at the uplink by its source, where another's is
/// not known.
#[inline(always)]
#[must_use]
pub fn to_bridge<P: PacketBytes>(frame: &P, endpoint: &Endpoint, punt: Code) -> Code {
    if is_for_bridges(frame) {
        return DropReason::BridgeGroup.into();
    }
    if endpoint.flags & endpoint_flags::ALLOW_SPOOF == 0 {
        return match frame.load::<6>(ethernet::field::SRC) {
            Ok(source) if source == endpoint.mac => punt,
            _ => DropReason::SpoofedMac.into(),
        };
    }
    match ipv4::parse(frame, L3_OFF) {
        Ok(ip) if ip.src != endpoint.v4 && punt == PuntReason::TooBig.into() && !ip.dont_fragment() => {
            DropReason::Untranslated.into()
        }
        _ => punt,
    }
}

/// Length of an ARP frame about IPv4 on Ethernet, bytes.
pub const ARP_FRAME: usize = ethernet::LEN + 28;

/// Where an ARP frame says whose hardware address is asked for, bytes.
pub const ARP_TARGET: usize = ethernet::LEN + 24;

/// The answer to an ARP request for `addr`, which has the hardware address `mac`; `None` if the frame is no such request, or the hardware address
/// is not known yet: who asks asks again, and believes what he is told for a minute.
#[inline(always)]
#[must_use]
pub fn arp_answer<P: PacketBytes>(frame: &P, mac: [u8; 6], addr: [u8; 4]) -> Option<[u8; ARP_FRAME]> {
    const REQUEST: [u8; 2] = [0, 1];
    let arp = ethernet::LEN;
    let is_request = frame.load::<6>(arp).ok()? == ARP_OF_IPV4 && frame.load::<2>(arp.wrapping_add(6)).ok()? == REQUEST;
    if mac == [0; 6] || !is_request || frame.load::<4>(ARP_TARGET).ok()? != addr {
        return None;
    }
    let [d0, d1, d2, d3, d4, d5] = frame.load::<6>(arp.wrapping_add(8)).ok()?;
    let [s0, s1, s2, s3] = frame.load::<4>(arp.wrapping_add(14)).ok()?;
    let ([m0, m1, m2, m3, m4, m5], [a0, a1, a2, a3]) = (mac, addr);
    Some([
        d0, d1, d2, d3, d4, d5, m0, m1, m2, m3, m4, m5, 8, 6, // to who asked, from whom he asked for
        0, 1, 8, 0, 6, 4, 0, 2, // a reply
        m0, m1, m2, m3, m4, m5, a0, a1, a2, a3, // has the address
        d0, d1, d2, d3, d4, d5, s0, s1, s2, s3,
    ])
}

/// Whether a packet of no flow from outside may have its addresses: `source` and `destination` say which is in a network of `fwd`. Nobody
/// out there has one.
///
/// # Errors
/// [`DropReason::DirectToEndpoint`], [`DropReason::Martian`].
#[inline(always)]
pub const fn foreign(source: bool, destination: bool) -> Result<(), DropReason> {
    if destination {
        Err(DropReason::DirectToEndpoint)
    } else if source {
        Err(DropReason::Martian)
    } else {
        Ok(())
    }
}

/// Whether no packet on the wire may go to `addr` (RFC 1812 §5.3.7): this network, and the loopback. 240.0.0.0/4, which is reserved
/// (RFC 1112 §4), is none of them: the kernel routes it as any other (`ip_route_input_slow` in net/ipv4/route.c).
#[inline(always)]
#[must_use]
pub const fn is_martian_destination(addr: [u8; 4]) -> bool {
    matches!(addr[0], 0 | 127)
}

/// Whether no packet on the wire may come from `addr`: the same, multicast, and the limited broadcast.
#[inline(always)]
#[must_use]
pub const fn is_martian_source(addr: [u8; 4]) -> bool {
    is_martian_destination(addr) || ipv4::is_multicast_or_broadcast(addr)
}

/// Checks the lengths within the transport header of a packet that opens a flow. BIG TCP has no total length.
///
/// # Errors
/// [`DropReason::Malformed`] for a UDP length below 8 or beyond the packet, or a TCP header beyond it; [`DropReason::Truncated`].
#[inline(always)]
pub fn lengths<P: PacketBytes>(packet: &P, ip: &ipv4::Header) -> Result<(), DropReason> {
    let l4 = l4::parse(packet, ip)?;
    if ip.total_len == 0 {
        return Ok(());
    }
    let payload = usize::from(ip.total_len).wrapping_sub(ip.len);
    let length = match l4.proto {
        Proto::Udp => {
            usize::from(u16::from_be_bytes(packet.load::<2>(ip.payload_off().wrapping_add(l4::field::UDP_LEN))?))
        }
        Proto::Tcp | Proto::Icmp => l4.len,
    };
    if length < 8 || length > payload { Err(DropReason::Malformed) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
    const ADDR: [u8; 4] = [10, 77, 0, 2];

    fn frame(from: [u8; 6], sender_mac: [u8; 6], sender: [u8; 4]) -> Vec<u8> {
        [&[0xff; 6][..], &from, &[8, 6], &ARP_OF_IPV4, &[0, 1], &sender_mac, &sender, &[0; 6], &[10, 77, 0, 1]].concat()
    }

    #[test]
    fn arp_speaks_for_its_endpoint_alone() {
        let judge = |frame: &[u8]| arp(&frame, MAC, ADDR);
        let other = [2, 0, 0, 0, 0, 8];
        assert_eq!(judge(&frame(MAC, MAC, ADDR)), Ok(()));
        assert_eq!(judge(&frame(MAC, MAC, [0; 4])), Ok(()), "a probe");
        for lie in [frame(MAC, MAC, [10, 77, 0, 1]), frame(MAC, other, ADDR), frame(other, MAC, ADDR)] {
            assert_eq!(judge(&lie), Err(DropReason::ArpSpoof));
        }
        let mut foreign = frame(MAC, MAC, ADDR);
        foreign[19] = 16;
        assert_eq!(judge(&foreign), Err(DropReason::Malformed));
        assert_eq!(judge(&frame(MAC, MAC, ADDR)[..41]), Err(DropReason::Truncated));
    }

    #[test]
    fn request_for_an_address_is_answered_by_its_owner() {
        let (gateway, other) = ([2, 0x67, 10, 77, 0, 1], [10, 77, 0, 9]);
        let request = frame(MAC, MAC, ADDR);
        let answer = arp_answer(&request.as_slice(), gateway, [10, 77, 0, 1]).expect("it is answered");
        let expected =
            [&MAC[..], &gateway, &[8, 6], &ARP_OF_IPV4, &[0, 2], &gateway, &[10, 77, 0, 1], &MAC, &ADDR].concat();
        assert_eq!(answer.as_slice(), expected);
        assert_eq!(arp_answer(&request.as_slice(), gateway, other), None);
        assert_eq!(arp_answer(&answer.as_slice(), gateway, ADDR), None, "a reply is no request");
        assert_eq!(arp_answer(&request.as_slice(), [0; 6], [10, 77, 0, 1]), None, "it is not known");
        for length in 0..request.len() {
            assert_eq!(arp_answer(&&request[..length], gateway, [10, 77, 0, 1]), None);
        }
    }

    fn endpoint(flags: u32) -> Endpoint {
        Endpoint { v4: ADDR, mac: MAC, flags, ..crate::decide::route::tests::endpoint(0) }
    }

    fn packet(from: [u8; 6], source: [u8; 4], fragmentation: [u8; 2]) -> Vec<u8> {
        let rest = [&[0x45, 0, 0, 20, 0, 1], &fragmentation[..], &[64, 17, 0, 0], &source, &[198, 51, 100, 7]].concat();
        [&[0xff; 6][..], &from, &[8, 0], &rest].concat()
    }

    #[test]
    fn the_bridge_sees_an_endpoints_own_address_alone() {
        let (may, other) = (endpoint_flags::ALLOW_SPOOF, [2, 0, 0, 0, 0, 8]);
        let judge = |frame: &[u8], flags| to_bridge(&frame, &endpoint(flags), PuntReason::ToHost.into());
        assert_eq!(judge(&packet(MAC, ADDR, [0, 0]), 0), PuntReason::ToHost.into());
        assert_eq!(judge(&packet(other, ADDR, [0, 0]), 0), DropReason::SpoofedMac.into());
        assert_eq!(judge(&[0; 11], 0), DropReason::SpoofedMac.into());
        assert_eq!(judge(&packet(other, [10, 77, 0, 9], [0, 0]), may), PuntReason::ToHost.into());
    }

    #[test]
    fn what_the_kernel_would_cut_comes_from_the_endpoints_own_address() {
        let judge = |source, fragmentation| {
            let frame = packet(MAC, source, fragmentation);
            to_bridge(&frame.as_slice(), &endpoint(endpoint_flags::ALLOW_SPOOF), PuntReason::TooBig.into())
        };
        let (other, dont_fragment) = ([10, 77, 0, 9], [0x40, 0]);
        assert_eq!(judge(other, [0, 0]), DropReason::Untranslated.into());
        assert_eq!(judge(other, dont_fragment), PuntReason::TooBig.into(), "the kernel answers");
        assert_eq!(judge(ADDR, [0, 0]), PuntReason::TooBig.into());
    }

    #[test]
    fn who_may_spoof_may_speak_arp_for_others() {
        let lie = frame(MAC, MAC, [10, 77, 0, 1]);
        assert_eq!(arp_of(&lie.as_slice(), &endpoint(0)), DropReason::ArpSpoof.into());
        assert_eq!(arp_of(&lie.as_slice(), &endpoint(endpoint_flags::ALLOW_SPOOF)), PuntReason::Arp.into());
        assert_eq!(arp_of(&frame(MAC, MAC, ADDR).as_slice(), &endpoint(0)), PuntReason::Arp.into());
    }

    #[test]
    fn nothing_goes_past_the_rules_of_the_bridge() {
        let code = DropReason::BridgeGroup.into();
        for (last, may) in [(0, 0), (3, 0), (0x0e, endpoint_flags::ALLOW_SPOOF), (0x0f, 0)] {
            let group = [0x01, 0x80, 0xc2, 0, 0, last];
            let addressed = |mut frame: Vec<u8>| {
                frame[..6].copy_from_slice(&group);
                frame
            };
            let punt = addressed(packet(MAC, ADDR, [0, 0]));
            assert_eq!(to_bridge(&punt.as_slice(), &endpoint(may), PuntReason::ToHost.into()), code, "{group:02x?}");
            assert_eq!(arp_of(&addressed(frame(MAC, MAC, ADDR)).as_slice(), &endpoint(may)), code, "{group:02x?}");
        }
        for other in [[0x01, 0x80, 0xc2, 0, 0, 0x10], [0x01, 0, 0x5e, 0, 0, 1]] {
            let mut frame = frame(MAC, MAC, ADDR);
            frame[..6].copy_from_slice(&other);
            assert_eq!(arp_of(&frame.as_slice(), &endpoint(0)), PuntReason::Arp.into());
        }
    }

    #[test]
    fn martians_are_told_by_their_addresses() {
        for addr in [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1]] {
            assert!(is_martian_destination(addr) && is_martian_source(addr), "{addr:?}");
        }
        for addr in [[224, 0, 0, 1], [255, 255, 255, 255]] {
            assert!(!is_martian_destination(addr) && is_martian_source(addr), "{addr:?}");
        }
        for addr in [[1, 1, 1, 1], [126, 0, 0, 1], [128, 0, 0, 1], [223, 0, 0, 1], [240, 0, 0, 1], [255, 255, 255, 254]]
        {
            assert!(!is_martian_destination(addr) && !is_martian_source(addr), "{addr:?}");
        }
    }
}
