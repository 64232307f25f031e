//! What the kernel leaves to an interface, or puts off until a packet gets there: checksums and segmentation.

use std::{io, os::fd::AsRawFd as _};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::netns::Netns;
use fwd_base::{Context as _, Result};

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

/// What the interface inside needs before XDP works at the host-side veth: it computes the checksums of what it sends, and so cuts its
/// segments (XDP takes neither over); it writes VLAN tags into the frame, where XDP sees them; and it collects packets (GRO), which
/// makes a veth take frames from XDP. By the requests and flags for each, with what they are to be.
const FOR_XDP: [(u32, u32, u32, bool); 3] =
    [(0x16, 0x17, ALL, false), (0x25, 0x26, ETH_FLAG_TXVLAN, false), (0x2b, 0x2c, ALL, true)];
/// A request that has only one flag.
const ALL: u32 = 1;
/// `ETH_FLAG_TXVLAN`.
const ETH_FLAG_TXVLAN: u32 = 1 << 7;

/// Gives an interface the offloads that [`is_prepared_for_xdp`] looks for.
///
/// # Errors
/// The driver does not let them be changed, or the namespace cannot be entered.
pub fn prepare_for_xdp(ns: &Netns, ifname: &str) -> Result<()> {
    let prepare = || {
        let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        for (get, set, flag, on) in FOR_XDP {
            let before = query(socket.as_raw_fd(), ifname, get, 0)?;
            let after = if on { before | flag } else { before & !flag };
            if after != before {
                query(socket.as_raw_fd(), ifname, set, after)?;
            }
        }
        Ok::<(), io::Error>(())
    };
    ns.run(|| prepare().doing("set", format!("the offloads of interface {ifname}")))
}

/// Whether an interface has the offloads that XDP at the other end of its veth pair needs.
///
/// # Errors
/// There is no such interface, or the namespace cannot be entered.
pub fn is_prepared_for_xdp(ns: &Netns, ifname: &str) -> Result<bool> {
    let is_prepared = || {
        let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        for (get, _, flag, on) in FOR_XDP {
            if (query(socket.as_raw_fd(), ifname, get, 0)? & flag != 0) != on {
                return Ok(false);
            }
        }
        Ok::<bool, io::Error>(true)
    };
    ns.run(|| is_prepared().doing("read", format!("the offloads of interface {ifname}")))
}

/// The value of one feature.
fn get(socket: i32, ifname: &str, request: u32) -> io::Result<u32> {
    query(socket, ifname, request, 0)
}

/// Sends a request with its value; the value afterwards.
fn query(socket: i32, ifname: &str, request: u32, data: u32) -> io::Result<u32> {
    let mut value = Value { request, data };
    // SAFETY: all zero is a valid `ifreq`: integers, and a union of such and a pointer.
    let mut ifreq: libc::ifreq = unsafe { std::mem::zeroed() };
    if ifname.len() >= ifreq.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (field, byte) in ifreq.ifr_name.iter_mut().zip(ifname.bytes()) {
        *field = libc::c_char::from_ne_bytes([byte]);
    }
    ifreq.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: for these requests SIOCETHTOOL reads the `ifreq` and reads and writes the `ethtool_value` that it points to; both
    // live until the call returns, and the descriptor is open.
    match unsafe { libc::ioctl(socket, SIOCETHTOOL, &raw mut ifreq) } {
        0 => Ok(value.data),
        _ => Err(io::Error::last_os_error()),
    }
}
