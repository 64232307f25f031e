//! The headers of a frame that XDP may send, and how they are translated.

use forwarder_common::{
    decide::rewrite::Rewrite,
    types::{checksum, verdict::DropReason},
    wire::{
        ethernet::{self, ethertype},
        ipv4,
        l4::{self, Proto, tcp_flag},
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{counters::Amount, packet::bytes::Bytes},
    path::apply,
    table::lookup::Hit,
};

/// The headers of a packet that may be sent here.
#[derive(Clone, Copy)]
pub(crate) struct Headers {
    pub(crate) ip: ipv4::Header,
    pub(crate) l4: l4::Header,
}

impl Headers {
    /// Reads them, if there is nothing about the packet that needs more than a translation: it is whole and in one piece, its
    /// IPv4 header has no options and a TTL to spare, it opens no connection, and its checksum is full.
    #[inline(always)]
    pub(crate) fn read(bytes: &Bytes) -> Result<Self, DropReason> {
        const ELSEWHERE: Result<Headers, DropReason> = Err(DropReason::Protocol);
        if bytes.load::<2>(ethernet::field::TYPE)? != ethertype::IPV4 {
            return ELSEWHERE;
        }
        let ip = ipv4::parse(bytes, L3_OFF)?;
        if ip.len != ipv4::MIN_LEN || ip.ttl_expires() || ip.total_len == 0 {
            return ELSEWHERE;
        }
        if !checksum::verifies(bytes.header_sum(L3_OFF)) {
            return ELSEWHERE;
        }
        // A frame in several buffers has the rest of the packet elsewhere.
        if usize::from(ip.total_len).wrapping_add(L3_OFF) > bytes.len() {
            return ELSEWHERE;
        }
        let l4 = l4::parse(bytes, &ip)?;
        if l4.tcp_flags & tcp_flag::SYN != 0 || is_partial(bytes, &ip, &l4)? {
            return ELSEWHERE;
        }
        Ok(Self { ip, l4 })
    }

    /// What it adds to counters.
    #[inline(always)]
    pub(crate) fn amount(&self) -> Amount {
        Amount { packets: 1, bytes: self.ip.total_len.into() }
    }

    /// Whether it is larger than what the way of `hit` carries.
    #[inline(always)]
    pub(crate) fn too_big(&self, hit: &Hit) -> bool {
        self.ip.total_len > hit.mtu
    }
}

/// Whether the transport checksum is still to be computed by a network card (`CHECKSUM_PARTIAL`, include/linux/skbuff.h), as
/// between virtual interfaces. A frame says nothing of it, and would leave so for good; but then the checksum field holds the sum
/// of the pseudo-header. One in 65,536 full ones looks the same, and takes the slow path.
#[inline(always)]
fn is_partial(bytes: &Bytes, ip: &ipv4::Header, l4: &l4::Header) -> Result<bool, DropReason> {
    let field = match l4.proto {
        Proto::Tcp => l4::field::TCP_CHECK,
        Proto::Udp => l4::field::UDP_CHECK,
        // It has no pseudo-header: the kernel always computes it.
        Proto::Icmp => return Ok(false),
    };
    let check = bytes.load::<2>(ip.payload_off().wrapping_add(field))?;
    Ok(check == ip.pseudo_sum())
}

/// Applies a translation, and addresses the frame to `macs`, destination first.
#[inline(always)]
pub(crate) fn rewrite(bytes: &Bytes, change: &Rewrite, macs: [u32; 3]) -> Result<(), DropReason> {
    let check = bytes.load::<2>(change.check_off)?;
    bytes.store(change.check_off, change.checked(check))?;
    apply::rewrite_header(bytes, &change.header)?;
    bytes.store(change.port_off, change.new_port)?;
    apply::set_macs(bytes, macs)
}
