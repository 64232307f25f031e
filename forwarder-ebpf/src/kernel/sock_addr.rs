//! A socket of the host that connects, sends or asks who is at the other end (`BPF_PROG_TYPE_CGROUP_SOCK_ADDR`), and the address that it
//! gives or gets.

use core::{arch::asm, mem::offset_of, ptr};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_F_CURRENT_NETNS, bpf_sock, bpf_sock_addr, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2,
    },
    helpers::{bpf_get_netns_cookie, bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
    programs::SockAddrContext,
};
use forwarder_common::{
    abi::{HostPeers, is_v4},
    decide::host_access::{self, Peer},
    wire::l4::Proto,
};

use crate::kernel::{maps::HOST_PEERS, sock::LISTEN};

/// The context.
#[derive(Clone, Copy)]
pub(crate) struct SockAddr {
    ptr: *mut bpf_sock_addr,
}

/// Writes a field of the context, which takes a whole word: as `load_at!`.
macro_rules! store_at {
    ($base:expr, $off:expr, $value:expr) => {
        // SAFETY: the verifier refuses a program that writes what it may not.
        unsafe {
            asm!(
                "*(u32 *)({base} + {off}) = {value}",
                base = in(reg) $base,
                off = const $off,
                value = in(reg) $value as u64,
                options(nostack, preserves_flags),
            );
        }
    };
}

/// Where the words of an address of IPv6 stand, and those of the address that a socket is bound to.
const V6: usize = offset_of!(bpf_sock_addr, user_ip6);
const SOURCE_V6: usize = offset_of!(bpf_sock, src_ip6);

impl SockAddr {
    #[inline(always)]
    pub(crate) fn new(ctx: &SockAddrContext) -> Self {
        Self { ptr: ctx.as_ptr().cast() }
    }

    fields! {
        bpf_sock_addr;
        /// Protocol of the socket.
        pub(crate) protocol: u32,
    }

    /// Whether the socket is of the namespace with this cookie (`SO_NETNS_COOKIE`).
    #[inline(always)]
    pub(crate) fn is_of(self, cookie: u64) -> bool {
        // SAFETY: the context is valid.
        let own = unsafe { bpf_get_netns_cookie(self.ptr.cast()) };
        own == cookie
    }

    /// The port, network byte order.
    #[inline(always)]
    pub(crate) fn port(self) -> [u8; 2] {
        (load_at!("u32", self.ptr, offset_of!(bpf_sock_addr, user_port)) as u16).to_ne_bytes()
    }

    /// The address of IPv4, as a word of memory.
    #[inline(always)]
    pub(crate) fn v4(self) -> u32 {
        load_at!("u32", self.ptr, offset_of!(bpf_sock_addr, user_ip4)) as u32
    }

    /// The address of IPv6, as words of memory.
    #[inline(always)]
    pub(crate) fn v6(self) -> [u32; 4] {
        [
            load_at!("u32", self.ptr, V6) as u32,
            load_at!("u32", self.ptr, V6 + 4) as u32,
            load_at!("u32", self.ptr, V6 + 8) as u32,
            load_at!("u32", self.ptr, V6 + 12) as u32,
        ]
    }

    /// Replaces address and port.
    #[inline(always)]
    pub(crate) fn set_v4(self, addr: u32, port: [u8; 2]) {
        store_at!(self.ptr, offset_of!(bpf_sock_addr, user_ip4), addr);
        self.set_port(port);
    }

    /// The same of IPv6.
    #[inline(always)]
    pub(crate) fn set_v6(self, [a, b, c, d]: [u32; 4], port: [u8; 2]) {
        store_at!(self.ptr, V6, a);
        store_at!(self.ptr, V6 + 4, b);
        store_at!(self.ptr, V6 + 8, c);
        store_at!(self.ptr, V6 + 12, d);
        self.set_port(port);
    }

    #[inline(always)]
    fn set_port(self, port: [u8; 2]) {
        store_at!(self.ptr, offset_of!(bpf_sock_addr, user_port), u16::from_ne_bytes(port));
    }

    /// The interface that the socket is bound to (`SO_BINDTODEVICE`), 0 for none, and whether it is bound to an address of the loopback: of IPv4
    /// (`v4`), for which one of IPv6 that is bound to an address of IPv6 has one of the loopback (`LOOPBACK4_IPV6`, include/net/ipv6.h), or of
    /// IPv6.
    #[inline(always)]
    pub(crate) fn bound_to(self, v4: bool) -> (u32, bool) {
        // The verifier makes this a pointer to a socket.
        let socket = load_at!("u64", self.ptr, offset_of!(bpf_sock_addr, __bindgen_anon_1));
        let interface = load_at!("u32", socket, offset_of!(bpf_sock, bound_dev_if)) as u32;
        if v4 {
            let addr = load_at!("u32", socket, offset_of!(bpf_sock, src_ip4)) as u32;
            return (interface, host_access::is_loopback_v4(addr.to_ne_bytes()));
        }
        let addr = [
            load_at!("u32", socket, SOURCE_V6) as u32,
            load_at!("u32", socket, SOURCE_V6 + 4) as u32,
            load_at!("u32", socket, SOURCE_V6 + 8) as u32,
            load_at!("u32", socket, SOURCE_V6 + 12) as u32,
        ];
        (interface, host_access::is_loopback(addr))
    }

    /// What the socket remembers, if it does.
    #[inline(always)]
    pub(crate) fn peers(self) -> Option<&'static mut HostPeers> {
        let storage = HOST_PEERS.get_ptr_mut(&SockAddrContext::new(self.ptr));
        // SAFETY: memory of the socket, which lives until the program ends; any bits are valid. Threads that share a socket may write at the
        // same moment: at worst one of them is told what the other had asked for.
        unsafe { storage.as_mut() }
    }

    /// The same, made if need be.
    #[inline(always)]
    pub(crate) fn new_peers(self) -> Option<&'static mut HostPeers> {
        let storage = HOST_PEERS.get_or_insert_ptr_mut(&SockAddrContext::new(self.ptr), None);
        // SAFETY: as in `peers`; what is made is all zero.
        unsafe { storage.as_mut() }
    }

    /// Whether a program of the host itself listens at `peer`.
    #[inline(always)]
    pub(crate) fn host_listens(self, peer: Peer) -> bool {
        let Peer { addr, port } = peer;
        let (proto, dport) = (self.protocol() as u8, u16::from_ne_bytes(port));
        if let (true, [.., daddr]) = (is_v4(addr), addr) {
            let ipv4 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 { saddr: 0, daddr, sport: 0, dport };
            let mut sought = bpf_sock_tuple { __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 { ipv4 } };
            return self.listens(proto, &mut sought, size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>() as u32);
        }
        let ipv6 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 { saddr: [0; 4], daddr: addr, sport: 0, dport };
        let mut sought = bpf_sock_tuple { __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 { ipv6 } };
        self.listens(proto, &mut sought, size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2>() as u32)
    }

    #[inline(always)]
    fn listens(self, proto: u8, sought: &mut bpf_sock_tuple, size: u32) -> bool {
        let netns = i64::from(BPF_F_CURRENT_NETNS) as u64;
        // SAFETY: `sought` is initialised for `size` bytes; a socket that is found is released, and read before.
        unsafe {
            if proto == Proto::Tcp as u8 {
                let socket = bpf_skc_lookup_tcp(self.ptr.cast(), ptr::from_mut(sought), size, netns, 0);
                if socket.is_null() {
                    return false;
                }
                let listens = (&raw const (*socket).state).read_volatile() == LISTEN;
                bpf_sk_release(socket.cast());
                listens
            } else {
                let socket = bpf_sk_lookup_udp(self.ptr.cast(), ptr::from_mut(sought), size, netns, 0);
                if socket.is_null() {
                    return false;
                }
                bpf_sk_release(socket.cast());
                true
            }
        }
    }
}
