//! Sockets of the host, and what its own NAT translates: a port that they use is not ours.

use core::{arch::asm, ptr};

use aya_ebpf::{
    bindings::{
        BPF_F_CURRENT_NETNS, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2,
    },
    helpers::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};
use forwarder_common::{
    abi::{Addr, Tuple},
    flow::ipv6 as flow,
    wire::{ipv6::words, l4::Proto},
};

use crate::kernel::{maps::PACKET6, packet::skb::Skb, scratch::scratch};

global_fn! {
    /// See [`host_uses`].
    pub(crate) fn fwd_host_uses(skb: Skb, reply: &Tuple) -> bool = host_uses;
    /// As [`fwd_host_uses`], of IPv6: the packet is in the map `PACKET6`.
    fn fwd_host_uses6(skb: Skb, reply: &Tuple) -> bool = host_uses_ipv6;
    /// See [`host_converses`].
    pub(crate) fn fwd_host_converses(skb: Skb, tuple: &Tuple) -> bool = host_converses;
    /// Whether a socket of UDP of the host has the port from which a datagram leaves for a `group`, at the `address` that it leaves from or at that of the
    /// group itself; addresses and ports (the source's first) in network byte order. One that is bound to an interface is not found.
    pub(crate) fn fwd_host_speaks(skb: Skb, address: u32, group: u32, ports: u32) -> bool = host_speaks;
    /// As [`fwd_host_speaks`], of IPv6.
    pub(crate) fn fwd_host_speaks6(skb: Skb, address: &Addr, group: &Addr, ports: u32) -> bool = host_speaks_ipv6;
    /// See [`host_gets_ipv6`].
    pub(crate) fn fwd_host_gets6(skb: Skb, by_peer: bool) -> bool = host_gets_ipv6;
}

/// Whether the host would get the packet with tuple `reply`: as [`fwd_host_uses`], of either family.
#[inline(always)]
pub(crate) fn host_uses_either(skb: Skb, reply: &Tuple) -> bool {
    if reply.family == 0 { fwd_host_uses(skb, reply) } else { fwd_host_uses6(skb, reply) }
}

/// Whether a socket of the host would get the packet with tuple `reply` (listening, connected, or waiting out its time), or a
/// conversation that the kernel keeps track of. A socket bound to the uplink is found only from hooks of the uplink.
#[inline(always)]
fn host_uses(skb: Skb, reply: &Tuple) -> bool {
    is_used::<IPV4>(skb, ipv4(reply), reply.proto, false)
}

/// Whether a packet with `tuple` is of a conversation of the host: as [`host_uses`], but for sockets that anybody may write to.
#[inline(always)]
fn host_converses(skb: Skb, tuple: &Tuple) -> bool {
    is_used::<IPV4>(skb, ipv4(tuple), tuple.proto, true)
}

/// As [`host_uses`], of the flow of IPv6 that is to be made for the packet in the map `PACKET6`, whose addresses the reply has.
#[inline(always)]
fn host_uses_ipv6(skb: Skb, reply: &Tuple) -> bool {
    let Some(packet) = scratch(&PACKET6) else { return true };
    let tuple = ipv6(words(packet.dst), words(packet.external), reply);
    is_used::<IPV6>(skb, tuple, flow::number(reply.proto), false)
}

/// As [`host_uses`] and (`by_peer`) [`host_converses`], of the packet in the map `PACKET6`.
#[inline(always)]
fn host_gets_ipv6(skb: Skb, by_peer: bool) -> bool {
    let Some(packet) = scratch(&PACKET6) else { return true };
    let tuple = ipv6(words(packet.src), words(packet.dst), &packet.tuple);
    is_used::<IPV6>(skb, tuple, packet.number, by_peer)
}

#[inline(always)]
fn host_speaks(skb: Skb, address: u32, group: u32, ports: u32) -> bool {
    let answer = |daddr| {
        let ends = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
            saddr: group,
            daddr,
            sport: dport(ports),
            dport: sport(ports),
        };
        bpf_sock_tuple { __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 { ipv4: ends } }
    };
    has_udp::<IPV4>(skb, &mut answer(address), false) || has_udp::<IPV4>(skb, &mut answer(group), false)
}

#[inline(always)]
fn host_speaks_ipv6(skb: Skb, address: &Addr, group: &Addr, ports: u32) -> bool {
    let answer = |daddr: &Addr| bpf_sock_tuple {
        __bindgen_anon_1: ipv6_ends(words(*group), words(*daddr), (dport(ports), sport(ports))),
    };
    has_udp::<IPV6>(skb, &mut answer(address), false) || has_udp::<IPV6>(skb, &mut answer(group), false)
}

/// Of both ports as they stand in a packet that of its source.
#[inline(always)]
const fn sport(ports: u32) -> u16 {
    ports as u16
}

/// The other one.
#[inline(always)]
const fn dport(ports: u32) -> u16 {
    (ports >> 16) as u16
}

/// Between these addresses, by the ports of `tuple`.
#[inline(always)]
fn ipv6(saddr: [u32; 4], daddr: [u32; 4], tuple: &Tuple) -> bpf_sock_tuple__bindgen_ty_1 {
    ipv6_ends(saddr, daddr, (u16::from_ne_bytes(tuple.sport), u16::from_ne_bytes(tuple.dport)))
}

/// Between these addresses and ports.
#[inline(always)]
fn ipv6_ends(saddr: [u32; 4], daddr: [u32; 4], (sport, dport): (u16, u16)) -> bpf_sock_tuple__bindgen_ty_1 {
    bpf_sock_tuple__bindgen_ty_1 { ipv6: bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 { saddr, daddr, sport, dport } }
}

#[inline(always)]
fn ipv4(tuple: &Tuple) -> bpf_sock_tuple__bindgen_ty_1 {
    bpf_sock_tuple__bindgen_ty_1 {
        ipv4: bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
            saddr: u32::from_ne_bytes(tuple.saddr),
            daddr: u32::from_ne_bytes(tuple.daddr),
            sport: u16::from_ne_bytes(tuple.sport),
            dport: u16::from_ne_bytes(tuple.dport),
        },
    }
}

/// How long a tuple of each family is: by that the helpers tell them apart.
const IPV4: usize = size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>();
const IPV6: usize = size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2>();

#[inline(always)]
fn is_used<const SIZE: usize>(skb: Skb, tuple: bpf_sock_tuple__bindgen_ty_1, proto: u8, by_peer: bool) -> bool {
    let mut tuple = bpf_sock_tuple { __bindgen_anon_1: tuple };
    let netns = i64::from(BPF_F_CURRENT_NETNS) as u64;
    // SAFETY: `tuple` is initialised for `SIZE` bytes; a socket that is found is released, and read before. Not the same field of both kinds:
    // for the verifier one instruction would read different pointers.
    let found = unsafe {
        if proto == Proto::Tcp as u8 {
            let socket = bpf_skc_lookup_tcp(skb.ptr().cast(), &raw mut tuple, SIZE as u32, netns, 0);
            if socket.is_null() {
                false
            } else {
                let listens = (&raw const (*socket).state).read_volatile() == LISTEN;
                bpf_sk_release(socket.cast());
                !(by_peer && listens)
            }
        } else if proto == Proto::Udp as u8 {
            has_udp::<SIZE>(skb, &mut tuple, by_peer)
        } else {
            return false;
        }
    };
    found || is_tracked::<SIZE>(skb) && conntrack_has::<SIZE>(skb, &mut tuple, proto)
}

/// Whether a socket of UDP would get a datagram with this tuple; `by_peer` one that is connected to whom it comes from.
#[inline(always)]
fn has_udp<const SIZE: usize>(skb: Skb, tuple: &mut bpf_sock_tuple, by_peer: bool) -> bool {
    let netns = i64::from(BPF_F_CURRENT_NETNS) as u64;
    // SAFETY: as of [`is_used`].
    unsafe {
        let socket = bpf_sk_lookup_udp(skb.ptr().cast(), tuple, SIZE as u32, netns, 0);
        if socket.is_null() {
            return false;
        }
        let connected = (&raw const (*socket).dst_port).read_volatile() != 0;
        bpf_sk_release(socket.cast());
        !by_peer || connected
    }
}

/// Declares whether netfilter has a hook that sees what the host sends (`hooks_ipv4[NF_INET_LOCAL_OUT]` of the packet's namespace, or that of
/// IPv6): conntrack has one there as long as any rule uses it. (Where packets arrive, every host with a bridge may have one.) A look-up in its
/// table is one of the dearest things that the first packet of a flow can do, so hosts without such rules do not ask.
///
/// The loader replaces the moves as those of `kernel_fields!`, by which the way leads from the packet to its device, and its namespace. As they
/// stand they say that there may be one.
macro_rules! netfilter_hooks {
    ($($name:ident: $first:literal, $second:literal, $third:literal;)*) => {$(
        #[inline(always)]
        fn $name(skb: Skb) -> bool {
            let any: u64;
            // SAFETY: moves between registers; what replaces them (`forwarder::dataplane::kernel_fields`) calls a function with the context, which
            // leaves the registers 1 to 5 undefined, and reads pointers of the kernel.
            unsafe {
                asm!(
                    concat!("r0 = ", $first),
                    concat!("r0 = ", $second),
                    concat!("r0 = ", $third),
                    "r0 = 1",
                    "r0 = r0",
                    "r0 = r0",
                    "r0 = r0",
                    inlateout("r1") skb.ptr() => _,
                    lateout("r0") any,
                    lateout("r2") _,
                    lateout("r3") _,
                    lateout("r4") _,
                    lateout("r5") _,
                    options(readonly, nostack),
                );
            }
            any != 0
        }
    )*};
}

netfilter_hooks! {
    hooks_ipv4: "0x4e463431", "0x4e463432", "0x4e463433";
    hooks_ipv6: "0x4e463631", "0x4e463632", "0x4e463633";
}

/// Whether conntrack may know anything of the family with tuples of this size.
#[inline(always)]
fn is_tracked<const SIZE: usize>(skb: Skb) -> bool {
    if SIZE == IPV4 { hooks_ipv4(skb) } else { hooks_ipv6(skb) }
}

/// The state of a socket of TCP that takes connections (`BPF_TCP_LISTEN`, include/uapi/linux/bpf.h).
pub(crate) const LISTEN: u32 = 10;

/// Of conntrack's directions the one of answers (`IP_CT_DIR_REPLY`).
const REPLY: u8 = 1;

/// `struct bpf_ct_opts`, as it was before Linux 6.10, which later ones take as well (net/netfilter/nf_conntrack_bpf.c).
#[repr(C)]
struct Options {
    /// -1 for that of the packet.
    netns: i32,
    error: i32,
    proto: u8,
    /// Which direction of the conversation was found.
    direction: u8,
    reserved: [u8; 2],
}

/// Of the bits of a conversation's status the one that says that it was answered (`IPS_SEEN_REPLY`).
const SEEN_REPLY: u64 = 1 << 1;

/// Whether a packet with `tuple` would be an answer in a conversation that conntrack knows: one that the host forwards, translated or not,
/// or its own. What began outside does not count: anybody there could make ports unusable. Nor does what was never answered: whoever the
/// host translates for could, with one packet for each port; the kernel's next packet of such a conversation gets another port.
///
/// The loader puts the calls of `bpf_skb_ct_lookup` and `bpf_ct_release` in here where the kernel itself has them (Linux 6.0, if conntrack
/// is no module); otherwise nothing is known.
#[inline(always)]
fn conntrack_has<const SIZE: usize>(skb: Skb, tuple: &mut bpf_sock_tuple, proto: u8) -> bool {
    let mut options = Options { netns: -1, error: 0, proto, direction: 0, reserved: [0; 2] };
    let status: u64;
    // SAFETY: moves between registers; what replaces them (`forwarder::dataplane::kernel_fields`) calls functions that read the tuple and
    // read and write the options, both of the size that is given, and leave the registers 1 to 5 undefined.
    unsafe {
        asm!(
            "r0 = 0x434e4b31",
            "r0 = 0x434e4b32",
            "r0 = 0x434e4b33",
            "r0 = 0",
            "r0 = r0",
            "r0 = r0",
            inlateout("r1") skb.ptr() => _,
            inlateout("r2") ptr::from_mut(tuple) => _,
            inlateout("r3") SIZE => _,
            inlateout("r4") &raw mut options => _,
            inlateout("r5") size_of::<Options>() => _,
            lateout("r0") status,
            lateout("r6") _,
            options(nostack),
        );
    }
    status & SEEN_REPLY != 0 && options.direction == REPLY
}
