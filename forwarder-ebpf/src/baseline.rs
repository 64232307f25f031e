//! The redirect baseline: the least that eBPF can do for a veth, redirecting and nothing else. `fwd bench` measures it as the path
//! `veth-floor`, so that one sees what a data path over veths can win at most.
//!
//! Neither program looks at the packet. The other end must therefore know the way to the namespace's own address.
#![no_std]
#![no_main]
#![allow(
    unreachable_pub,
    missing_docs,
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the classifier macro makes public items that take the context"
)]

#[path = "kernel/object.rs"]
mod object;

use aya_ebpf::{
    Global,
    bindings::{bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1},
    helpers::{bpf_redirect_neigh, bpf_redirect_peer},
    macros::classifier,
    programs::TcContext,
};

const TCX_NEXT: i32 = -1;
const AF_INET: u32 = 2;
/// `ETH_P_IP`, as `__sk_buff` has it: in network byte order.
const IPV4: u32 = 0x0800_u16.to_be() as u32;

/// Interface to the outside.
#[unsafe(no_mangle)]
static UPLINK: Global<u32> = Global::new(0);

/// The router behind it, IPv4, network byte order.
#[unsafe(no_mangle)]
static NEXT_HOP: Global<u32> = Global::new(0);

/// The host's end of the veth.
#[unsafe(no_mangle)]
static HOST_VETH: Global<u32> = Global::new(0);

/// Ingress of the host's end: out by the uplink to the next hop, whose hardware address the kernel looks up.
#[classifier]
pub fn outward(ctx: TcContext) -> i32 {
    if ctx.skb.protocol() != IPV4 {
        return TCX_NEXT;
    }
    let mut params = bpf_redir_neigh {
        nh_family: AF_INET,
        __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 { ipv6_nh: [NEXT_HOP.load(), 0, 0, 0] },
    };
    let size = size_of::<bpf_redir_neigh>() as i32;
    // SAFETY: `params` is as long as said and initialised in full.
    (unsafe { bpf_redirect_neigh(UPLINK.load(), &raw mut params, size, 0) }) as i32
}

/// Ingress of the uplink: into the namespace.
#[classifier]
pub fn inward(ctx: TcContext) -> i32 {
    if ctx.skb.protocol() != IPV4 {
        return TCX_NEXT;
    }
    // SAFETY: a helper that takes numbers.
    (unsafe { bpf_redirect_peer(HOST_VETH.load(), 0) }) as i32
}
