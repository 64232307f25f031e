//! Sockets of the host: a port that they use is not the NAT's.

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_CURRENT_NETNS, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
    },
    helpers::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};
use forwarder_common::{abi::Tuple, wire::l4::Proto};

/// Whether a socket of the host would get the packet with tuple `reply`: listening, connected, or waiting out its time. A
/// socket bound to the uplink is found only from hooks of the uplink.
#[inline(always)]
pub(crate) fn host_uses(skb: *mut __sk_buff, reply: &Tuple) -> bool {
    fwd_host_uses(skb, reply) != 0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_host_uses(skb: *mut __sk_buff, reply: *const Tuple) -> u32 {
    // SAFETY: the verifier checks that callers pass a whole tuple; it may be null as far as it knows.
    let Some(reply) = (unsafe { reply.as_ref() }) else { return 0 };
    let mut tuple = bpf_sock_tuple {
        __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 {
            ipv4: bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                saddr: u32::from_ne_bytes(reply.saddr),
                daddr: u32::from_ne_bytes(reply.daddr),
                sport: u16::from_ne_bytes(reply.sport),
                dport: u16::from_ne_bytes(reply.dport),
            },
        },
    };
    let size = size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>() as u32;
    let netns = i64::from(BPF_F_CURRENT_NETNS) as u64;
    // SAFETY: `tuple` is initialised for `size` bytes; a socket that is found is released.
    unsafe {
        let socket = if reply.proto == Proto::Tcp as u8 {
            bpf_skc_lookup_tcp(skb.cast(), &raw mut tuple, size, netns, 0)
        } else if reply.proto == Proto::Udp as u8 {
            bpf_sk_lookup_udp(skb.cast(), &raw mut tuple, size, netns, 0)
        } else {
            return 0;
        };
        if socket.is_null() {
            return 0;
        }
        bpf_sk_release(socket.cast());
        1
    }
}
