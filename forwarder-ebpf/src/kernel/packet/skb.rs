//! The packet in the kernel: `__sk_buff` and direct access to its bytes.

use core::{arch::asm, ffi::c_void, mem::offset_of, ptr};

use aya_ebpf::{
    EbpfContext,
    bindings::__sk_buff,
    helpers::{
        bpf_csum_update, bpf_l4_csum_replace, bpf_skb_change_head, bpf_skb_change_tail, bpf_skb_change_type,
        bpf_skb_load_bytes, bpf_skb_pull_data, bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use forwarder_common::{
    decide::offload::{ChecksumState, PartialChecksum},
    wire::{ipv4, l4},
};

use super::bytes::Bytes;
use crate::kernel::global::Argument;

/// Bytes that must be in the linear part before headers are read: Ethernet, IPv4 and TCP without options.
const HEADERS: u32 = 14 + 20 + 20;
/// Bytes that are made linear when there are IP options or an embedded packet: 14 + 60 + 8 + 60, and of an
/// embedded segment as much as reaches to the end of its checksum, 18.
const ALL_HEADERS: u32 = 160;

/// Values of `skb->ip_summed` (include/linux/skbuff.h).
pub(crate) mod ip_summed {
    /// The checksum in the packet is full; nobody verified it.
    pub(crate) const NONE: u64 = 0;
    /// It is full, and the device verified it.
    pub(crate) const UNNECESSARY: u64 = 1;
    /// It is partial, and a device completes it: so far it is the sum over the pseudo-header.
    pub(crate) const PARTIAL: u64 = 3;
}

/// Declares getters of fields that the kernel shows to no program through the context.
///
/// The loader replaces the instructions of each by a read of `struct sk_buff` where the kernel offers `bpf_cast_to_kern_ctx` (Linux
/// 6.2), which costs nothing: the verifier turns it into a move. They are three moves by which the place is found, and what is
/// said otherwise.
macro_rules! kernel_fields {
    ($($(#[$doc:meta])* $vis:vis $name:ident: $first:literal, $second:literal, $third:literal, $otherwise:literal;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        $vis fn $name(self) -> u64 {
            let value: u64;
            // SAFETY: moves between registers; what replaces them (`forwarder::dataplane::kernel_fields`) calls a function with the
            // context, which leaves the registers 1 to 5 undefined, and reads fields of the packet that it returns.
            unsafe {
                asm!(
                    concat!("r0 = ", $first),
                    concat!("r0 = ", $second),
                    concat!("r0 = ", $third),
                    concat!("r0 = ", $otherwise),
                    inlateout("r1") self.ptr => _,
                    lateout("r0") value,
                    lateout("r2") _,
                    lateout("r3") _,
                    lateout("r4") _,
                    lateout("r5") _,
                    options(readonly, nostack),
                );
            }
            value
        }
    )*};
}

/// A packet.
#[derive(Clone, Copy)]
pub(crate) struct Skb {
    ptr: *mut __sk_buff,
}

impl Skb {
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Self {
        Self { ptr: ctx.as_ptr().cast() }
    }

    /// The interface that the sending socket is bound to (`SO_BINDTODEVICE`), 0 for none.
    #[inline(always)]
    pub(crate) fn bound_to(self) -> u32 {
        // The verifier makes this a pointer to a socket that may be null.
        let socket = load_at!("u64", self.ptr, offset_of!(__sk_buff, __bindgen_anon_2));
        // `bound_dev_if` is the first field of `struct bpf_sock`.
        if socket == 0 { 0 } else { load_at!("u32", socket, 0) as u32 }
    }

    /// Whether the frame was sent to others as well (`PACKET_BROADCAST`, `PACKET_MULTICAST` in include/uapi/linux/if_packet.h), perhaps to a
    /// directed broadcast.
    #[inline(always)]
    pub(crate) fn is_for_many(self) -> bool {
        matches!(self.pkt_type(), 1 | 2)
    }

    fields! {
        __sk_buff;
        /// Length with the link-layer header, if there is one, bytes.
        pub(crate) len: u32,
        /// Whom the frame was sent to (`PACKET_*`, include/uapi/linux/if_packet.h).
        pub(crate) pkt_type: u32,
        /// What the kernel takes the packet for: an Ethernet type, network byte order.
        pub(crate) protocol: u16,
        /// Whether the packet has a VLAN tag, which stands beside the data: 1 or 0.
        pub(crate) vlan_present: u32,
        /// That tag, host byte order.
        pub(crate) vlan_tci: u32,
        /// The interface of the hook.
        pub(crate) ifindex: u32,
        /// The interface by which the packet came into this namespace, 0 for the host's own.
        pub(crate) ingress_ifindex: u32,
        /// Segments of a GSO packet, where they were counted.
        pub(crate) gso_segs: u32,
        /// Payload of each segment of a GSO packet, bytes; 0 for others.
        pub(crate) gso_size: u32,
        /// Start of the linear bytes; the verifier makes it a packet pointer.
        data: usize,
        /// End of the linear bytes.
        data_end: usize,
    }

    /// The context, for helpers.
    #[inline(always)]
    pub(crate) fn ptr(self) -> *mut __sk_buff {
        self.ptr
    }

    kernel_fields! {
        /// What the kernel knows about the transport checksum; see [`ip_summed`]. As it stands it says 4, which is none of them.
        pub(crate) ip_summed: 0x5355_4d31, 0x5355_4d32, 0x5355_4d33, 4;
        /// Where the sum of a partial checksum begins, from the start of the buffer, and (16 bits above) where it goes from there.
        csum: 0x4353_4d31, 0x4353_4d32, 0x4353_4d33, 0;
        /// Bytes between the start of the buffer and the packet.
        headroom: 0x524f_4d31, 0x524f_4d32, 0x524f_4d33, 0;
    }

    /// What a device still has to write, if [`Skb::ip_summed`] says so.
    #[inline(always)]
    pub(crate) fn partial_checksum(self) -> PartialChecksum {
        let csum = self.csum();
        PartialChecksum { start: (csum & 0xffff) as i64 - self.headroom() as i64, offset: (csum >> 16) as u32 }
    }

    /// Whether a partial checksum begins at `START` bytes, and goes `offset` bytes behind that.
    #[inline(always)]
    pub(crate) fn is_partial_at<const START: u64>(self, offset: u64) -> bool {
        self.csum() == self.headroom().wrapping_add(START) | offset << 16
    }

    /// What the checksum that is left to a device makes of that of the transport header behind the IPv4 header at `l3`: [`ChecksumState`]
    /// as a number.
    #[inline(always)]
    pub(crate) fn checksum_state(self, l3: usize) -> u32 {
        if self.ip_summed() == ip_summed::PARTIAL {
            fwd_checksum_state(self, l3 as u32)
        } else {
            ChecksumState::Full as u32
        }
    }

    /// Segments of a packet with so many bytes of headers: 1 if it is no GSO packet.
    #[inline(always)]
    pub(crate) fn segments(self, headers: usize) -> u32 {
        let size = self.gso_size();
        if size == 0 {
            return 1;
        }
        let counted = self.gso_segs();
        if counted != 0 { counted } else { fwd_segments(self.len().wrapping_sub(headers as u32), size) }
    }

    /// The linear bytes as they are.
    #[inline(always)]
    pub(crate) fn linear(self) -> Bytes {
        Bytes { data: self.data(), end: self.data_end() }
    }

    /// Where the linear bytes begin and end.
    #[inline(always)]
    #[allow(dead_code, reason = "the measuring programs read words at once")]
    pub(crate) fn range(self) -> (usize, usize) {
        (self.data(), self.data_end())
    }

    /// The linear bytes, which hold at least the headers of a packet without options.
    #[inline(always)]
    pub(crate) fn headers(self) -> Bytes {
        self.at_least(HEADERS)
    }

    /// The linear bytes, which hold all headers that can be there.
    #[inline(always)]
    pub(crate) fn all_headers(self) -> Bytes {
        self.at_least(ALL_HEADERS)
    }

    /// The linear bytes, which hold at least the first `wanted`, if the packet has as many.
    #[inline(always)]
    pub(crate) fn at_least(self, wanted: u32) -> Bytes {
        let bytes = self.linear();
        let here = bytes.end.wrapping_sub(bytes.data) as u32;
        if here >= wanted || here >= self.len() {
            return bytes;
        }
        let wanted = if self.len() < wanted { self.len() } else { wanted };
        // SAFETY: see `copy`. A failure leaves the packet as it is, and the reads that follow fail.
        unsafe { bpf_skb_pull_data(self.ptr, wanted) };
        self.linear()
    }

    /// Copies the first `length` bytes at `off` into `to`, no more than it holds; whether they are there.
    #[inline(always)]
    pub(crate) fn copy<T>(self, off: u32, to: &mut T, length: u32) -> bool {
        // SAFETY: the context is that of the running program; the verifier refuses a length beyond `to`, and the helper an offset beyond the
        // packet.
        unsafe { bpf_skb_load_bytes(self.ptr.cast(), off, ptr::from_mut(to).cast(), length) == 0 }
    }

    /// Writes `bytes` at `off`, wherever in the packet that is. Bytes taken before are stale.
    #[inline(always)]
    pub(crate) fn write<const N: usize>(self, off: u32, bytes: &[u8; N]) -> bool {
        // SAFETY: see `copy`.
        unsafe { bpf_skb_store_bytes(self.ptr.cast(), off, ptr::from_ref(bytes).cast(), N as u32, 0) == 0 }
    }

    /// Updates the transport checksum at `off` for a change from `old` to `new`; `flags` are those of the helper. Bytes taken before are
    /// stale.
    #[inline(always)]
    pub(crate) fn replace_checksum(self, off: u32, old: u32, new: u32, flags: u64) -> bool {
        // SAFETY: see `copy`.
        unsafe { bpf_l4_csum_replace(self.ptr, off, old.into(), new.into(), flags) == 0 }
    }

    /// Adds `sum` to the sum that a device has computed over all of the packet (`CHECKSUM_COMPLETE`), if one has.
    #[inline(always)]
    pub(crate) fn add_to_sum(self, sum: u32) {
        // SAFETY: see `copy`. Without such a sum there is nothing to be done, which is what an error says.
        unsafe { bpf_csum_update(self.ptr, sum) };
    }

    /// Cuts the packet to `length` bytes, with the link-layer header; if it is to be cut into segments, it is not any more. Bytes taken before
    /// are stale.
    #[inline(always)]
    pub(crate) fn cut(self, length: u32) -> bool {
        // SAFETY: see `copy`.
        unsafe { bpf_skb_change_tail(self.ptr, length, 0) == 0 }
    }

    /// Changes whom the frame was sent to, as in [`Skb::pkt_type`]; the kernel refuses nothing up to `PACKET_OTHERHOST`.
    #[inline(always)]
    pub(crate) fn set_pkt_type(self, to: u32) {
        // SAFETY: see `copy`.
        unsafe { bpf_skb_change_type(self.ptr, to) };
    }

    /// Makes room for a link-layer header of `length` bytes. Bytes taken before are stale. A failure leaves the packet as it is.
    #[inline(always)]
    pub(crate) fn add_head(self, length: u32) -> bool {
        // SAFETY: see `copy`.
        unsafe { bpf_skb_change_head(self.ptr, length, 0) == 0 }
    }
}

global_fn! {
    /// As [`Skb::checksum_state`], of a partial checksum.
    fn fwd_checksum_state(skb: Skb, l3: u32) -> u32 = checksum_state;
    /// See [`segments`].
    fn fwd_segments(payload: u32, size: u32) -> u32 = segments;
}

#[inline(always)]
fn checksum_state(skb: Skb, l3: u32) -> u32 {
    /// What is behind it is never read as a transport header.
    const LONGEST_UNKNOWN: usize = 20;
    let bytes = skb.linear();
    let Ok(ip) = ipv4::parse(&bytes, (l3 & 0xf) as usize) else { return ChecksumState::Misplaced as u32 };
    let transport = if !l4::has_ports(ip.proto) || ip.fragment_start() != 0 {
        0
    } else {
        l4::parse_first(&bytes, &ip).map_or(LONGEST_UNKNOWN, |l4| l4.len)
    };
    skb.partial_checksum().of(&ip, transport, skb.gso_size() != 0) as u32
}

/// Segments of `size` bytes in `payload`: what comes from a virtual machine's host or a TUN device was not counted
/// (`SKB_GSO_DODGY`, virtio_net_hdr_to_skb in include/linux/virtio_net.h).
#[inline(always)]
fn segments(payload: u32, size: u32) -> u32 {
    payload.wrapping_add(size.wrapping_sub(1)).checked_div(size).unwrap_or(1)
}

impl Argument for Skb {
    type Raw = *mut __sk_buff;

    #[inline(always)]
    fn raw(self) -> *mut __sk_buff {
        self.ptr
    }

    #[inline(always)]
    fn given(ptr: *mut __sk_buff) -> Option<Self> {
        Some(Self { ptr })
    }
}

impl EbpfContext for Skb {
    fn as_ptr(&self) -> *mut c_void {
        self.ptr.cast()
    }
}
