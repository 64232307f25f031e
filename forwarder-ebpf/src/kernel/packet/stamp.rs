//! By which interface a packet came in that leaves by an uplink.
//!
//! Mostly the kernel has noted that. It has not of a packet that a netkit pair's program redirects while a namespace sends it: such a packet
//! looks like the host's own. So that program writes the number of its interface into the packet's control buffer (`skb->cb`, of which
//! programs of traffic control have 20 bytes), which nothing overwrites between a redirection and the egress of the interface.
//!
//! Nobody else can write the same, so the mark needs not be secret. Whoever is in a namespace passes that program, which writes last, and what
//! came in by any other interface has that noted. In a packet of the host's own sockets those bytes are of its IP layer: of what its parser
//! has found of IP options at most (`struct inet_skb_parm`), where no length or position of an option is as large as a byte of the mark; of
//! IPv6, positions of extension headers (`struct inet6_skb_parm`), and of a packet that is sent there are none. TCP, which keeps
//! numbers there that a peer knows (`struct tcp_skb_cb`), clears them in what it hands to the IP layer.

use core::{arch::asm, mem::offset_of};

use aya_ebpf::bindings::__sk_buff;

use super::skb::Skb;

/// What stands before the number.
const MARK: u32 = 0xf066_7764;
/// Where, bytes: the second and third word for programs.
const MARK_OFF: usize = offset_of!(__sk_buff, cb) + 4;
const NUMBER_OFF: usize = offset_of!(__sk_buff, cb) + 8;

impl Skb {
    /// Notes that the packet came in by the interface of the hook.
    #[inline(always)]
    pub(crate) fn stamp(self) {
        // SAFETY: these fields of the context are the programs' own.
        unsafe {
            asm!(
                "*(u32 *)({skb} + {mark_off}) = {mark}",
                "*(u32 *)({skb} + {number_off}) = {number}",
                skb = in(reg) self.ptr(),
                mark = in(reg) u64::from(MARK),
                number = in(reg) u64::from(self.ifindex()),
                mark_off = const MARK_OFF,
                number_off = const NUMBER_OFF,
                options(nostack, preserves_flags),
            );
        }
    }

    /// The interface by which a packet that leaves came into this namespace, 0 for the host's own. What is stamped is to be believed of
    /// endpoints alone.
    #[inline(always)]
    pub(crate) fn came_in_by(self) -> u32 {
        let ingress = self.ingress_ifindex();
        if ingress == 0 && load_at!("u32", self.ptr(), MARK_OFF) as u32 == MARK {
            return load_at!("u32", self.ptr(), NUMBER_OFF) as u32;
        }
        ingress
    }
}
