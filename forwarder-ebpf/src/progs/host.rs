//! The programs at a cgroup: what programs of the host ask for. All of them return 1: nothing is refused.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};

use crate::{kernel::sock_addr::SockAddr, path::published::host};

/// A socket connects over IPv4.
#[cgroup_sock_addr(connect4)]
pub fn host_connect4(ctx: SockAddrContext) -> i32 {
    host::lead_v4(SockAddr::new(&ctx))
}

/// A datagram leaves by a socket that is not connected, over IPv4.
#[cgroup_sock_addr(sendmsg4)]
pub fn host_sendmsg4(ctx: SockAddrContext) -> i32 {
    host::lead_v4(SockAddr::new(&ctx))
}

/// A program asks where a datagram came from.
#[cgroup_sock_addr(recvmsg4)]
pub fn host_recvmsg4(ctx: SockAddrContext) -> i32 {
    host::restore_v4(SockAddr::new(&ctx))
}

/// A program asks whom its socket is connected to.
#[cgroup_sock_addr(getpeername4)]
pub fn host_getpeername4(ctx: SockAddrContext) -> i32 {
    host::restore_v4(SockAddr::new(&ctx))
}

/// A socket of IPv6 connects.
#[cgroup_sock_addr(connect6)]
pub fn host_connect6(ctx: SockAddrContext) -> i32 {
    host::lead_v6(SockAddr::new(&ctx))
}

/// A datagram leaves by a socket of IPv6 that is not connected.
#[cgroup_sock_addr(sendmsg6)]
pub fn host_sendmsg6(ctx: SockAddrContext) -> i32 {
    host::lead_datagram_v6(SockAddr::new(&ctx))
}

/// A program asks where a datagram came from that a socket of IPv6 got.
#[cgroup_sock_addr(recvmsg6)]
pub fn host_recvmsg6(ctx: SockAddrContext) -> i32 {
    host::restore_v6(SockAddr::new(&ctx))
}

/// A program asks whom its socket of IPv6 is connected to.
#[cgroup_sock_addr(getpeername6)]
pub fn host_getpeername6(ctx: SockAddrContext) -> i32 {
    host::restore_v6(SockAddr::new(&ctx))
}
