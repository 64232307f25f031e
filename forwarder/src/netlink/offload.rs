//! What the kernel leaves to an interface, or puts off until a packet gets there: checksums and segmentation.

use std::{io, os::fd::AsRawFd as _};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::{Context as _, Result, netns::Netns};

/// `SIOCETHTOOL` (include/uapi/linux/sockios.h).
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// The requests for single features and the names that ethtool(8) has for these (`ETHTOOL_G*`,
/// include/uapi/linux/ethtool.h).
const FEATURES: [(u32, &str); 6] = [
    (0x14, "rx-checksumming"),
    (0x16, "tx-checksumming"),
    (0x18, "scatter-gather"),
    (0x1e, "tcp-segmentation-offload"),
    (0x23, "generic-segmentation-offload"),
    (0x2b, "generic-receive-offload"),
];

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    request: u32,
    data: u32,
}

/// The offloads of an interface that are on, by the names that `ethtool -k` shows.
///
/// # Errors
/// There is no such interface, or the namespace cannot be entered.
pub fn offloads(ns: &Netns, ifname: &str) -> Result<Vec<&'static str>> {
    ns.run(|| read(ifname).doing("read", format!("the offloads of interface {ifname}")))
}

fn read(ifname: &str) -> io::Result<Vec<&'static str>> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut on = Vec::new();
    for (request, name) in FEATURES {
        match get(socket.as_raw_fd(), ifname, request) {
            Ok(0) => {}
            Ok(_) => on.push(name),
            // The driver knows nothing about it: then it is not on.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(on)
}

/// The value of one feature.
fn get(socket: i32, ifname: &str, request: u32) -> io::Result<u32> {
    let mut value = Value { request, data: 0 };
    // SAFETY: all zero is a valid `ifreq`: integers, and a union of such and a pointer.
    let mut ifreq: libc::ifreq = unsafe { std::mem::zeroed() };
    if ifname.len() >= ifreq.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (field, byte) in ifreq.ifr_name.iter_mut().zip(ifname.bytes()) {
        *field = byte.cast_signed();
    }
    ifreq.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: for these requests SIOCETHTOOL reads the `ifreq` and reads and writes the `ethtool_value` that it points to; both
    // live until the call returns, and the descriptor is open.
    match unsafe { libc::ioctl(socket, SIOCETHTOOL, &raw mut ifreq) } {
        0 => Ok(value.data),
        _ => Err(io::Error::last_os_error()),
    }
}
