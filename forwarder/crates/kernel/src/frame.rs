//! Frames of Ethernet that are sent as they are (packet(7)).

use std::{
    io,
    mem::{size_of, zeroed},
    os::fd::AsRawFd as _,
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use fwd_base::{Context as _, Result};

/// Sends a frame by the interface with this index, in the namespace of the calling thread. Programs at the egress of the interface see it.
///
/// # Errors
/// CAP_NET_RAW is missing, or the interface is down or gone.
pub fn send(index: u32, frame: &[u8]) -> Result<()> {
    send_raw(index, frame).doing("send a frame by", format!("interface {index}"))
}

fn send_raw(index: u32, frame: &[u8]) -> io::Result<()> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all zero is a valid address: integers alone.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index.cast_signed();
    // The kernel tells filters by it what the frame carries: the type behind the two hardware addresses.
    address.sll_protocol = frame.get(12..14).and_then(|it| it.try_into().ok()).map_or(0, u16::from_ne_bytes);
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the buffer and the address are valid for as long as the call lasts, with these lengths.
    let sent = unsafe {
        libc::sendto(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0, (&raw const address).cast(), length)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
