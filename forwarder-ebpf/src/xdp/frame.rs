//! The frame in the driver: `xdp_md`, direct access to its bytes, and what both directions do with it.

use core::{arch::asm, mem::offset_of};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT},
        xdp_md,
    },
    programs::XdpContext,
};
use forwarder_common::{
    checksum,
    packet::{L3_OFF, PacketBytes as _},
    rewrite::Rewrite,
    verdict::DropReason,
    wire::{
        ethernet::{self, ethertype},
        ipv4,
        l4::{self, Proto, tcp_flag},
    },
};

use crate::{apply, count::Amount, flow::store::Hit, maps::XDP_TARGETS, skb::Bytes};

/// On to the kernel, and so to the TC programs.
pub(crate) const PASS: u32 = XDP_PASS;
/// Away with it.
pub(super) const DROP: u32 = XDP_DROP;
/// To where a helper was told.
pub(super) const REDIRECT: u32 = XDP_REDIRECT;

/// A frame.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    ptr: *mut xdp_md,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self { ptr: ctx.as_ptr().cast() }
    }

    /// The frame whose context a global function was given.
    #[cfg(feature = "trace")]
    #[inline(always)]
    pub(crate) fn from_ptr(ptr: *mut xdp_md) -> Self {
        Self { ptr }
    }

    /// The context, for helpers.
    #[cfg(feature = "trace")]
    #[inline(always)]
    pub(crate) fn ptr(self) -> *mut xdp_md {
        self.ptr
    }

    fields! {
        xdp_md;
        /// The interface by which it came.
        pub(crate) ingress_ifindex: u32,
        /// Start of the linear bytes; the verifier makes it a packet pointer.
        data: usize,
        /// End of the linear bytes.
        data_end: usize,
    }

    /// The linear bytes.
    #[inline(always)]
    pub(super) fn bytes(self) -> Bytes {
        Bytes::between(self.data(), self.data_end())
    }
}

/// The headers of a packet that may be sent here.
#[derive(Clone, Copy)]
pub(super) struct Headers {
    pub(super) ip: ipv4::Header,
    pub(super) l4: l4::Header,
}

impl Headers {
    /// Reads them, if there is nothing about the packet that needs more than a translation: it is whole and in one piece, its
    /// IPv4 header has no options and a TTL to spare, it opens no connection, and its checksum is finished.
    #[inline(always)]
    pub(super) fn read(bytes: &Bytes) -> Result<Self, DropReason> {
        const ELSEWHERE: Result<Headers, DropReason> = Err(DropReason::Protocol);
        if bytes.load::<2>(ethernet::field::TYPE)? != ethertype::IPV4 {
            return ELSEWHERE;
        }
        let ip = ipv4::parse(bytes, L3_OFF)?;
        if ip.len != ipv4::MIN_LEN || ip.ttl_expires() || ip.total_len == 0 {
            return ELSEWHERE;
        }
        if !checksum::is_right(bytes.header_sum(L3_OFF)) {
            return ELSEWHERE;
        }
        // A frame in several buffers has the rest of the packet elsewhere.
        if usize::from(ip.total_len).wrapping_add(L3_OFF) > bytes.len() {
            return ELSEWHERE;
        }
        let l4 = l4::parse(bytes, &ip)?;
        if l4.tcp_flags & tcp_flag::SYN != 0 || is_unfinished(bytes, &ip, &l4)? {
            return ELSEWHERE;
        }
        Ok(Self { ip, l4 })
    }

    /// What it adds to counters.
    #[inline(always)]
    pub(super) fn amount(&self) -> Amount {
        Amount { packets: 1, bytes: self.ip.total_len.into() }
    }

    /// Whether it is larger than what the way of `hit` carries.
    #[inline(always)]
    pub(super) fn too_big(&self, hit: &Hit) -> bool {
        self.ip.total_len > hit.mtu
    }
}

/// Whether the transport checksum is still to be computed by a network card (`CHECKSUM_PARTIAL`, include/linux/skbuff.h), as
/// between virtual interfaces. A frame says nothing of it, and would leave so for good; but then the checksum field holds the sum
/// of the pseudo-header. One in 65,536 finished ones looks the same, and goes the longer way.
#[inline(always)]
fn is_unfinished(bytes: &Bytes, ip: &ipv4::Header, l4: &l4::Header) -> Result<bool, DropReason> {
    let field = match l4.proto {
        Proto::Tcp => l4::field::TCP_CHECK,
        Proto::Udp => l4::field::UDP_CHECK,
        // It has no pseudo-header: the kernel always computes it.
        Proto::Icmp => return Ok(false),
    };
    let check = bytes.load::<2>(ip.payload_off().wrapping_add(field))?;
    Ok(check == ip.pseudo_sum())
}

/// Whether the data path may send by an interface as XDP does. Notes it as the one to send by.
#[inline(always)]
pub(super) fn aim(interface: u32) -> bool {
    XDP_TARGETS.redirect(interface, PASS.into()).is_ok()
}

/// Applies a translation, and addresses the frame to `macs`, destination first.
#[inline(always)]
pub(super) fn rewrite(bytes: &Bytes, change: &Rewrite, macs: [u32; 3]) -> Result<(), DropReason> {
    let check = bytes.load::<2>(change.check_off)?;
    bytes.store(change.check_off, change.checked(check))?;
    bytes.store(change.ip_off.wrapping_add(ipv4::field::TTL), [change.ttl])?;
    bytes.store(change.ip_off.wrapping_add(ipv4::field::CHECK), change.ip_check)?;
    bytes.store(change.addr_off, change.new_addr)?;
    bytes.store(change.port_off, change.new_port)?;
    apply::set_macs(bytes, macs)
}
