//! Queries the kernel's routing tables (`bpf_fib_lookup`).

mod local;

use core::ptr;

use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_UNSUPP_LWT,
        BPF_FIB_LOOKUP_OUTPUT, BPF_FIB_LOOKUP_SKIP_NEIGH, BPF_FIB_LOOKUP_SRC, bpf_fib_lookup,
    },
    btf_maps::lpm_trie::Key,
    helpers::{bpf_check_mtu, bpf_fib_lookup as fib_lookup},
};
use forwarder_common::{
    abi::{Addr, ROUTE_INTERFACE_BITS, ROUTE_OF_IPV6, Tuple, mapped_words},
    decide::route::Lookup,
    wire::{
        icmpv6, ipv4, ipv6,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::kernel::{
    maps::{FIB_QUERY, PACKET6, ROUTE_MTUS, secret},
    packet::skb::Skb,
    scratch::scratch,
};

use local::{comes_here, is_local_ipv6, is_own_ipv6};
pub(crate) use local::{is_local, is_own};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const EINVAL: i64 = -22;

/// The way to a destination, as the last look-up of this CPU has found it: what the helper was given and wrote.
#[derive(Clone, Copy)]
pub(crate) struct Route(&'static bpf_fib_lookup);

impl Route {
    /// That of the last look-up. `None` never happens, as far as the verifier lets one say so.
    #[inline(always)]
    pub(crate) fn found() -> Option<Self> {
        scratch(&FIB_QUERY).map(|query| Self(query))
    }

    /// The interface that it leaves by.
    #[inline(always)]
    pub(crate) fn out_if(self) -> u32 {
        self.0.ifindex
    }

    /// See [`FlowShared::next_hop`](forwarder_common::abi::FlowShared::next_hop): the helper changes the family where it is of the other one.
    #[inline(always)]
    pub(crate) fn next_hop(self) -> [u32; 4] {
        // SAFETY: members of a union of integers, which are all set: the query was set in full, and the helper writes what belongs to the
        // family.
        unsafe {
            if self.0.family == AF_INET6 {
                self.0.__bindgen_anon_4.ipv6_dst
            } else {
                mapped_words(self.0.__bindgen_anon_4.ipv4_dst)
            }
        }
    }

    /// The address that the host would send from; 0 if the route names none.
    #[inline(always)]
    pub(crate) fn source(self) -> [u8; 4] {
        // SAFETY: a member of a union of integers, which is set, by the query or by the helper.
        unsafe { self.0.__bindgen_anon_3.ipv4_src }.to_ne_bytes()
    }

    /// The hardware addresses, destination first, as they stand in a frame. Zero if the next hop is not known, or the interface has none:
    /// tun, WireGuard.
    #[inline(always)]
    pub(crate) fn macs(self) -> [u8; 12] {
        // SAFETY: as in `next_hop`: the helper writes both, or they are zero.
        let (source, destination) =
            unsafe { (self.0.__bindgen_anon_6.__bindgen_anon_2.smac, self.0.__bindgen_anon_6.__bindgen_anon_2.dmac) };
        if source == [0; 6] {
            return [0; 12];
        }
        let ([s0, s1, s2, s3, s4, s5], [d0, d1, d2, d3, d4, d5]) = (source, destination);
        [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5]
    }

    /// Of IPv6 the address that the host would send from; that of nobody, if the kernel does not tell (before Linux 6.7).
    #[inline(always)]
    pub(crate) fn source_v6(self) -> Addr {
        // SAFETY: as in `next_hop`.
        ipv6::of_words(unsafe { self.0.__bindgen_anon_3.ipv6_src })
    }

    /// The same of IPv6, of the packet in the map `PACKET6`.
    #[inline(always)]
    pub(crate) fn mtu_v6(self, skb: Skb) -> u16 {
        // SAFETY: as in `next_hop`. Of a next hop that is not known the helper tells none.
        let told = unsafe { self.0.__bindgen_anon_1.mtu_result };
        fwd_mtu6(skb, self.out_if(), told.into()) as u16
    }

    /// What goes by it to `addr` at once, bytes: no more than the interface takes, and the route asks for. As a flow holds it: no packet of IPv4
    /// is longer than `u16::MAX`.
    #[inline(always)]
    pub(crate) fn mtu(self, skb: Skb, addr: [u8; 4]) -> u16 {
        fwd_route_mtu(skb, self.out_if(), u32::from_ne_bytes(addr)) as u16
    }
}

/// Whose route is looked up.
#[derive(Clone, Copy)]
pub(crate) enum Sender {
    /// That of a packet that came in by this interface.
    Forwarded(u32),
    /// That of a socket bound to this interface and this address of it, network byte order.
    Bound(u32, u32),
}

/// What the helper has returned.
#[inline(always)]
const fn lookup(result: i64) -> Lookup {
    match result as u32 {
        BPF_FIB_LKUP_RET_SUCCESS => Lookup::Resolved,
        BPF_FIB_LKUP_RET_NO_NEIGH => Lookup::NoNeighbour,
        BPF_FIB_LKUP_RET_UNSUPP_LWT => Lookup::Tunnel,
        BPF_FIB_LKUP_RET_NOT_FWDED => Lookup::NotForwarded,
        _ => Lookup::Refused,
    }
}

/// Looks the route of a packet up, and the next hop's hardware address. The way stands in [`Route::found`] then.
#[inline(always)]
pub(crate) fn look_up(skb: Skb, tuple: &Tuple, sender: Sender) -> Lookup {
    let (interface, source) = match sender {
        Sender::Forwarded(input) => (input, 0),
        Sender::Bound(output, source) => (output, source),
    };
    lookup(fwd_fib_look_up(skb, tuple, interface, source).into())
}

/// Asks for the route of a packet that came in by `interface`, or, where a `source` is given, of a socket that is bound to that interface
/// and to that address. The answer stands in the map `FIB_QUERY` then; returns what the helper did.
#[inline(always)]
fn ask_for(skb: Skb, tuple: &Tuple, interface: u32, source: u32) -> i32 {
    let Some(query) = scratch(&FIB_QUERY) else { return BPF_FIB_LKUP_RET_NOT_FWDED as i32 };
    let tos = tos(skb, tuple);
    let (from, bound) =
        if source == 0 { (u32::from_ne_bytes(tuple.saddr), 0) } else { (source, BPF_FIB_LOOKUP_OUTPUT) };
    set_query(query, tuple, interface, from, tos);
    let mut flags = BPF_FIB_LOOKUP_SRC | bound;
    let mut result = ask(skb, query, flags);
    if result == EINVAL {
        // A kernel before 6.7, which does not choose sources: the uplink's first address serves.
        flags = bound;
        result = ask(skb, query, flags);
    }
    if flags & BPF_FIB_LOOKUP_SRC == 0 {
        query.__bindgen_anon_3.ipv4_src = 0;
    }
    result as i32
}

/// As [`look_up`], of the packet in the map `PACKET6`, as if it came in by `input`.
#[inline(always)]
pub(crate) fn look_up_ipv6(skb: Skb, input: u32) -> Lookup {
    lookup(fwd_fib_look_up6(skb, input, false).into())
}

/// The same, of a socket that is bound to the interface `output`, and to the address there behind which the flow's packets appear.
#[inline(always)]
pub(crate) fn look_up_ipv6_bound(skb: Skb, output: u32) -> Lookup {
    lookup(fwd_fib_look_up6(skb, output, true).into())
}

/// As [`ask_for`].
#[inline(always)]
fn ask_for_ipv6(skb: Skb, interface: u32, bound: bool) -> i32 {
    // Not the label: of several next hops the kernel chooses by it, and TCP changes it when a segment is lost, while what is translated has to
    // go on from the same address.
    const CLASS: u32 = u32::from_ne_bytes([0x0f, 0xf0, 0, 0]);
    let (Some(query), Some(packet)) = (scratch(&FIB_QUERY), scratch(&PACKET6)) else {
        return BPF_FIB_LKUP_RET_NOT_FWDED as i32;
    };
    clear(query);
    query.family = AF_INET6;
    query.ifindex = interface;
    // So the helper tells an MTU, too, and leaves it to us whether the packet is too big.
    query.__bindgen_anon_1.tot_len = 1;
    // Rules may ask for them, as of IPv4.
    query.l4_protocol = packet.number;
    if packet.number != icmpv6::PROTO {
        query.sport = u16::from_ne_bytes(packet.tuple.sport);
        query.dport = u16::from_ne_bytes(packet.tuple.dport);
    }
    query.__bindgen_anon_2.flowinfo = u32::from_ne_bytes(packet.first) & CLASS;
    query.__bindgen_anon_3.ipv6_src = ipv6::words(if bound { packet.external } else { packet.src });
    query.__bindgen_anon_4.ipv6_dst = ipv6::words(packet.dst);
    let output = if bound { BPF_FIB_LOOKUP_OUTPUT } else { 0 };
    let mut result = ask(skb, query, BPF_FIB_LOOKUP_SRC | output);
    if result == EINVAL {
        // A kernel before 6.7, which does not choose sources.
        result = ask(skb, query, output);
        query.__bindgen_anon_3.ipv6_src = [0; 4];
    }
    result as i32
}

/// Asks the kernel.
#[inline(always)]
fn ask(skb: Skb, query: &mut bpf_fib_lookup, flags: u32) -> i64 {
    const SIZE: i32 = size_of::<bpf_fib_lookup>() as i32;
    // SAFETY: the context is valid; the query is set in full, and its size the exact one.
    unsafe { fib_lookup(skb.ptr().cast(), query, SIZE, flags) }
}

/// The MTU of the interface `ifindex`, bytes; `u32::MAX` if there is none.
///
/// The helper that looks routes up would tell one too, but takes those that ICMP has told the host (RFC 1191) for the route's: of its own
/// conversations, and told by anybody. The kernel's forwarding does not heed them, and namespaces are told themselves.
#[inline(always)]
fn device_mtu(skb: Skb, ifindex: u32) -> u32 {
    let mut mtu = 1;
    // SAFETY: the context is valid, and the helper writes no more than the one word.
    let result = unsafe { bpf_check_mtu(skb.ptr().cast(), ifindex, &raw mut mtu, 0, 0) };
    if result < 0 { u32::MAX } else { mtu }
}

/// The MTU that the route to an address of so many bits by an interface, as [`RoutePrefix`](forwarder_common::abi::RoutePrefix) has both, asks for by a metric, bytes: of IPv4 the kernel's forwarding
/// keeps to it (`ip_dst_mtu_maybe_forward`), of IPv6 to one that is locked. `u32::MAX` if it asks for none.
#[inline(always)]
fn metric_of(interface: u32, ([a, b, c, d], bits): ([u32; 4], u32)) -> u32 {
    match ROUTE_MTUS.get(&Key::new(ROUTE_INTERFACE_BITS.wrapping_add(bits), [interface, a, b, c, d])) {
        Some(mtu) if *mtu != 0 => *mtu,
        _ => u32::MAX,
    }
}

/// See [`Route::mtu`].
#[inline(always)]
fn mtu_of(skb: Skb, out_if: u32, addr: u32) -> u32 {
    metric_of(out_if, ([addr, 0, 0, 0], 32)).min(device_mtu(skb, out_if)).min(u16::MAX.into())
}

/// What goes by the link of the interface `ifindex` of IPv6 at once, bytes: a router may ask for less than the interface could send (RFC 4861
/// §4.6.4; `net.ipv6.conf.IFACE.mtu`).
///
/// Only the helper that looks routes up tells that. It is asked for an address beside that of the packet in the map `PACKET6`, which nobody guesses: of
/// the packet's own it would tell what ICMP has told the host, as of IPv4. Where the route is to the one address alone, and others
/// leave elsewhere, it does not tell; nor do kernels before Linux 6.3, without a neighbour.
#[inline(always)]
fn link_mtu_v6(skb: Skb, ifindex: u32) -> u32 {
    let (Some(packet), [nobody, ..]) = (scratch(&PACKET6), secret()) else { return LEAST_MTU_V6 };
    let (_, [first, second, ..]) = packet.words();
    // SAFETY: all zero is a valid record of integers.
    let mut query: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    query.family = AF_INET6;
    query.ifindex = ifindex;
    query.__bindgen_anon_1.tot_len = 1;
    query.__bindgen_anon_4.ipv6_dst = [first, second, nobody as u32, (nobody >> 32) as u32];
    let result = ask(skb, &mut query, BPF_FIB_LOOKUP_OUTPUT | BPF_FIB_LOOKUP_SKIP_NEIGH);
    // SAFETY: a member of a union of integers, which is set, by the query or by the helper.
    let told = u32::from(unsafe { query.__bindgen_anon_1.mtu_result });
    let device = device_mtu(skb, ifindex).min(u16::MAX.into());
    if result == 0 && query.ifindex == ifindex && told >= LEAST_MTU_V6 { told.min(device) } else { device }
}

/// Every link carries so much of IPv6 (RFC 8200 §5).
const LEAST_MTU_V6: u32 = 1_280;

/// The type of service of a packet that leaves a namespace, by which rules may route it. What the kernel has forwarded, or comes from
/// outside, opens a flow without: its route is looked up with the next packet that is a second younger.
#[inline(always)]
fn tos(skb: Skb, tuple: &Tuple) -> u8 {
    if skb.ifindex() != tuple.ifindex {
        return 0;
    }
    skb.linear().load::<1>(L3_OFF.wrapping_add(ipv4::field::TOS)).map_or(0, |[tos]| tos)
}

/// Sets the query in full.
#[inline(always)]
fn set_query(query: &mut bpf_fib_lookup, tuple: &Tuple, interface: u32, source: u32, tos: u8) {
    clear(query);
    query.family = AF_INET;
    query.l4_protocol = tuple.proto;
    query.sport = u16::from_ne_bytes(tuple.sport);
    query.dport = u16::from_ne_bytes(tuple.dport);
    // The helper compares no length.
    query.__bindgen_anon_1.tot_len = 0;
    query.ifindex = interface;
    query.__bindgen_anon_2.tos = tos;
    query.__bindgen_anon_3.ipv4_src = source;
    query.__bindgen_anon_4.ipv4_dst = u32::from_ne_bytes(tuple.daddr);
}

/// Sets it to zero by whole words: by itself the compiler calls a function that goes byte by byte.
#[inline(always)]
fn clear(query: &mut bpf_fib_lookup) {
    const WORDS: usize = size_of::<bpf_fib_lookup>() / 8;
    const _: () = assert!(size_of::<bpf_fib_lookup>() == 8 * WORDS);
    let words = ptr::from_mut(query).cast::<u64>();
    let mut word = 0;
    while word < WORDS {
        // SAFETY: within the record, which is an element of a map and so aligned to eight bytes; all zero is a valid one.
        unsafe { words.add(word).write_volatile(0) };
        word = word.wrapping_add(1);
    }
}

/// Two hardware addresses as three words: who reads them on another CPU meanwhile sees no half-written word.
#[inline(always)]
pub(crate) fn words([a, b, c, d, e, f, g, h, i, j, k, l]: [u8; 12]) -> [u32; 3] {
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]), u32::from_ne_bytes([i, j, k, l])]
}

/// What goes at once by the interface `out_if` to where the packet in the map `PACKET6` is sent, bytes: no more than the interface takes, a router
/// asks for on its link, and the route asks for. The helper that looked the route up has `told` an MTU.
#[inline(always)]
fn mtu_of_ipv6(skb: Skb, out_if: u32, told: u32) -> u32 {
    let Some(packet) = scratch(&PACKET6) else { return LEAST_MTU_V6 };
    let device = device_mtu(skb, out_if).min(u16::MAX.into());
    let link = if told == device { device } else { fwd_link_mtu6(skb, out_if) };
    // Less no route can ask for.
    let asked = metric_of(out_if | ROUTE_OF_IPV6, (ipv6::words(packet.dst), 128));
    if asked < LEAST_MTU_V6 { LEAST_MTU_V6.min(link) } else { asked.min(link) }
}

global_fn! {
    /// See [`ask_for_ipv6`].
    fn fwd_fib_look_up6(skb: Skb, interface: u32, bound: bool) -> i32 = ask_for_ipv6;
    /// See [`mtu_of_ipv6`].
    fn fwd_mtu6(skb: Skb, out_if: u32, told: u32) -> u32 = mtu_of_ipv6;
    /// See [`link_mtu_v6`].
    pub(crate) fn fwd_link_mtu6(skb: Skb, ifindex: u32) -> u32 = link_mtu_v6;
    /// See [`ask_for`].
    fn fwd_fib_look_up(skb: Skb, tuple: &Tuple, interface: u32, source: u32) -> i32 = ask_for;
    /// See [`Route::mtu`].
    fn fwd_route_mtu(skb: Skb, out_if: u32, addr: u32) -> u32 = mtu_of;
    /// See [`comes_here`].
    fn fwd_comes_here(skb: Skb, addr: u32, input: u32, announced: bool) -> bool = comes_here;
    /// See [`is_local_ipv6`].
    pub(crate) fn fwd_is_local6(skb: Skb, input: u32) -> bool = is_local_ipv6;
    /// See [`is_own_ipv6`].
    pub(crate) fn fwd_is_own6(skb: Skb, input: u32) -> bool = is_own_ipv6;
}
