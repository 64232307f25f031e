//! TUN devices: a program that reads and writes the IP packets of an interface.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd as _,
};

use fwd_base::{Context as _, Result};
use fwd_kernel::netns::Netns;

/// Makes the interface `name` inside a namespace. Each read from the file is an IP packet that the namespace sends by it, each
/// write one that it receives. The interface is gone when the file is closed.
///
/// # Errors
/// The name is taken or too long, or the kernel has no TUN devices.
pub fn create(ns: &Netns, name: &str) -> Result<File> {
    ns.run(|| attach(name).doing("make", format!("TUN device {name}")))
}

fn attach(name: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: all zero is a valid `ifreq`: integers, and a union of such.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (field, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *field = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    // SAFETY: TUNSETIFF reads and writes the one `ifreq`, which lives until the call returns; the descriptor is open.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
        0 => Ok(file),
        _ => Err(io::Error::last_os_error()),
    }
}
