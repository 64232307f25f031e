//! The names of interfaces by their numbers, without anything else about them.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::{Context as _, Result};

/// `SIOCGIFNAME` (include/uapi/linux/sockios.h).
const SIOCGIFNAME: libc::Ioctl = 0x8910;

/// Tells names of the interfaces of one namespace. Of a thousand interfaces this takes less time than reading one of them by
/// netlink, which fills in all that is known.
#[derive(Debug)]
pub struct InterfaceNames(OwnedFd);

impl InterfaceNames {
    /// Of the namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn here() -> Result<Self> {
        let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
        Ok(Self(socket.doing("open", "a socket")?))
    }

    /// The name of the interface with this number; none if there is no such interface.
    ///
    /// # Errors
    /// The kernel refuses for another reason.
    pub fn of(&self, index: u32) -> Result<Option<String>> {
        // SAFETY: all zero is a valid `ifreq`: integers, and a union of such and a pointer.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_ifru.ifru_ifindex = index.cast_signed();
        // SAFETY: SIOCGIFNAME reads and writes the `ifreq`, which lives until the call returns, and the descriptor is open.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), SIOCGIFNAME, &raw mut request) } {
            0 => {
                let bytes = request.ifr_name.iter().map(|letter| letter.cast_unsigned()).take_while(|byte| *byte != 0);
                Ok(Some(String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()))
            }
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
                error => Err(error).doing("look up", format!("interface with index {index}")),
            },
        }
    }
}
