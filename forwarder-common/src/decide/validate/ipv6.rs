//! Validates IPv6 of a namespace. What passes is left to the kernel, which forwards it: so all that the kernel would believe is looked at
//! here, the neighbour discovery too (RFC 6620 says why, of switches).

use super::discovery;
use crate::{
    abi::{Endpoint, endpoint_flags},
    decide::offload::{ChecksumState, PartialChecksum, check_field},
    types::verdict::{Code, DropReason, PuntReason},
    wire::{
        ethernet,
        extension::{self, Upper, header},
        icmpv6,
        ipv6::{self, is_same},
        l4::{self, Proto},
        ndisc,
        packet::{L3_OFF, PacketBytes},
    },
};

/// What is known of a frame besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its length, bytes.
    pub length: usize,
    /// Whether a device or the kernel cuts it into segments.
    pub is_segmented: bool,
}

/// What becomes of a frame of IPv6 from `endpoint`: the code of a punt to the kernel, or of the reason to drop it.
#[inline(always)]
#[must_use]
pub fn outbound<P: PacketBytes>(packet: &P, frame: Frame, endpoint: &Endpoint) -> Code {
    match classify(packet, frame, endpoint) {
        Ok(punt) => punt.into(),
        Err(reason) => reason.into(),
    }
}

/// See [`outbound`].
#[inline(always)]
fn classify<P: PacketBytes>(packet: &P, frame: Frame, endpoint: &Endpoint) -> Result<PuntReason, DropReason> {
    if ipv6::is_unspecified(endpoint.v6) {
        return Err(DropReason::Ipv6);
    }
    let ip = ipv6::parse(packet, L3_OFF)?;
    // One host is spoken to by its own hardware address: what a bridge floods gets past who asks whose it is.
    let [to] = packet.load::<1>(ethernet::field::DST)?;
    if is_martian_destination(ip.dst) || to & 1 != 0 && !ipv6::is_multicast(ip.dst) {
        return Err(DropReason::Martian);
    }
    let end = end(&ip, frame)?;
    let upper = extension::walk(packet, &ip, end)?;
    let icmp_kind = transport(packet, &upper, end)?;
    source(&ip, icmp_kind, endpoint)?;
    if is_of_router(icmp_kind) {
        return Err(DropReason::NdRouter);
    }
    if icmpv6::is_error(icmp_kind) && upper.proto == icmpv6::PROTO && !upper.is_later_fragment() {
        of_own(packet, &ip, &upper, end, endpoint)?;
    }
    if ndisc::is_discovery(icmp_kind) {
        discovery::outbound(packet, &ip, &upper, end, endpoint)?;
        return Ok(PuntReason::KernelIpv6);
    }
    Ok(if ipv6::is_multicast(ip.dst) {
        PuntReason::Multicast
    } else if ip.hop_limit <= 1 && !ipv6::is_link_local(ip.dst) {
        PuntReason::TtlExceeded
    } else {
        PuntReason::KernelIpv6
    })
}

/// Where the packet ends, as its header says, bytes from the start of the frame. A length of zero is that of BIG TCP, or of a packet that
/// has nothing behind its header.
///
/// # Errors
/// [`DropReason::Malformed`] if it would end elsewhere than in the frame.
#[inline(always)]
pub fn end(ip: &ipv6::Header, frame: Frame) -> Result<usize, DropReason> {
    if ip.payload_len == 0 && frame.is_segmented {
        return Ok(frame.length);
    }
    let is_possible = ip.payload_len != 0 || ip.next_header == header::NONE;
    if is_possible && ip.end() <= frame.length { Ok(ip.end()) } else { Err(DropReason::Malformed) }
}

/// What a device would do that finishes the `partial` checksum of a frame that passed [`outbound`].
#[inline(always)]
#[must_use]
pub fn checksum_state<P: PacketBytes>(packet: &P, frame: Frame, partial: PartialChecksum) -> ChecksumState {
    let state = || -> Result<ChecksumState, DropReason> {
        let ip = ipv6::parse(packet, L3_OFF)?;
        let upper = extension::walk(packet, &ip, end(&ip, frame)?)?;
        let (check, length) =
            if upper.is_later_fragment() { (0, 0) } else { (check_field(upper.proto), header_length(packet, &upper)?) };
        Ok(partial.state(upper.off, upper.off.wrapping_add(length), check, frame.is_segmented))
    };
    state().unwrap_or(ChecksumState::Misplaced)
}

/// How many bytes behind the chain are a transport header that is read here, or by the kernel when it translates.
#[inline(always)]
fn header_length<P: PacketBytes>(packet: &P, upper: &Upper) -> Result<usize, DropReason> {
    const TCP: u8 = Proto::Tcp as u8;
    const UDP: u8 = Proto::Udp as u8;
    Ok(match upper.proto {
        TCP => {
            let [words] = packet.load::<1>(upper.off.wrapping_add(12))?;
            usize::from(words >> 4) << 2
        }
        UDP | icmpv6::PROTO => 8,
        _ => 0,
    })
}

/// Checks the header behind the chain, where it is in this packet: the type of an ICMPv6 message, or 0, which no message has.
#[inline(always)]
fn transport<P: PacketBytes>(packet: &P, upper: &Upper, end: usize) -> Result<u8, DropReason> {
    const TCP: u8 = Proto::Tcp as u8;
    const UDP: u8 = Proto::Udp as u8;
    let least = match upper.proto {
        TCP => 20,
        UDP | icmpv6::PROTO => 8,
        _ => return Ok(0),
    };
    if upper.is_later_fragment() {
        return Ok(0);
    }
    if upper.off.wrapping_add(least) > end {
        return Err(if upper.fragment { DropReason::FragmentTiny } else { DropReason::Truncated });
    }
    let here = end.wrapping_sub(upper.off);
    let length = match upper.proto {
        TCP => {
            let [words, _] = packet.load::<2>(upper.off.wrapping_add(12))?;
            usize::from(words >> 4) << 2
        }
        UDP => usize::from(u16::from_be_bytes(packet.load::<2>(upper.off.wrapping_add(l4::field::UDP_LEN))?)),
        _ => {
            let [kind, _] = packet.load::<2>(upper.off)?;
            return Ok(kind);
        }
    };
    // The rest of a datagram may be in other fragments; its header is not.
    if length < least || length > here && !upper.fragment { Err(DropReason::Malformed) } else { Ok(0) }
}

/// Whether the endpoint may send from this source: its address. On its link also from the address that its interface gives itself, and
/// from none at all while it asks for one.
#[inline(always)]
fn source(ip: &ipv6::Header, icmp_kind: u8, endpoint: &Endpoint) -> Result<(), DropReason> {
    let to_group = ipv6::is_multicast(ip.dst);
    if ipv6::is_unspecified(ip.src) {
        let asks = matches!(icmp_kind, ndisc::kind::ROUTER_SOLICITATION | ndisc::kind::NEIGHBOUR_SOLICITATION);
        let may = to_group && (asks || icmpv6::is_listener_report(icmp_kind));
        return if may { Ok(()) } else { Err(DropReason::SpoofedSource) };
    }
    if endpoint.flags & endpoint_flags::ALLOW_SPOOF != 0 {
        return if is_martian_source(ip.src) { Err(DropReason::Martian) } else { Ok(()) };
    }
    if is_same(ip.src, endpoint.v6) {
        return Ok(());
    }
    let stays = to_group || ipv6::is_link_local(ip.dst) || ndisc::is_discovery(icmp_kind);
    if stays && is_same(ip.src, ipv6::link_local_of(endpoint.mac)) { Ok(()) } else { Err(DropReason::SpoofedSource) }
}

/// Checks an error: about what the receiver has sent to this very endpoint, as [`icmp_error::of_own`] of IPv4. The kernel believes one about any
/// of its conversations, and its routes to others keep the MTU that it tells. Nobody cuts an error into fragments.
///
/// [`icmp_error::of_own`]: crate::decide::icmp_error::of_own
#[inline(always)]
fn of_own<P: PacketBytes>(
    packet: &P,
    ip: &ipv6::Header,
    upper: &Upper,
    end: usize,
    endpoint: &Endpoint,
) -> Result<(), DropReason> {
    if endpoint.flags & endpoint_flags::ALLOW_SPOOF != 0 {
        return Ok(());
    }
    if upper.fragment {
        return Err(DropReason::IcmpType);
    }
    let embedded = upper.off.wrapping_add(icmpv6::LEN);
    if embedded.wrapping_add(ipv6::LEN) > end {
        return Err(DropReason::Truncated);
    }
    let sent_by = packet.load::<16>(embedded.wrapping_add(ipv6::field::SRC))?;
    let sent_to = packet.load::<16>(embedded.wrapping_add(ipv6::field::DST))?;
    let own = is_same(sent_to, endpoint.v6) || is_same(sent_to, ipv6::link_local_of(endpoint.mac));
    if own && is_same(sent_by, ip.dst) { Ok(()) } else { Err(DropReason::IcmpType) }
}

/// Whether a message of this type is for routers to send: who sends it otherwise leads packets, or whom bridges send groups to, to itself.
#[inline(always)]
const fn is_of_router(icmp_kind: u8) -> bool {
    ndisc::is_of_router(icmp_kind) || matches!(icmp_kind, icmpv6::kind::LISTENER_QUERY | icmpv6::kind::MULTICAST_ROUTER)
}

/// Whether no packet on the wire may go to `addr`: nobody, the loopback, addresses of IPv4, groups of an interface alone (RFC 4291 §2.5.3,
/// §2.5.5.2, §2.7). Site-local addresses are unicast as any other since RFC 4291 §2.5.7.
#[inline(always)]
#[must_use]
pub const fn is_martian_destination(addr: [u8; 16]) -> bool {
    ipv6::is_unspecified(addr)
        || ipv6::is_loopback(addr)
        || ipv6::is_mapped(addr)
        || ipv6::is_multicast_of_interface(addr)
}

/// Whether no packet on the wire may come from `addr`, that of nobody excepted: the same, and groups.
#[inline(always)]
#[must_use]
pub const fn is_martian_source(addr: [u8; 16]) -> bool {
    ipv6::is_multicast(addr) || ipv6::is_loopback(addr) || ipv6::is_mapped(addr)
}

#[cfg(test)]
mod tests;
