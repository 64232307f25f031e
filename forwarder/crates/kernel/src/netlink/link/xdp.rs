//! Whether an interface takes frames from XDP: the family `netdev` of generic netlink tells.

use std::io;

use rtnetlink::{
    packet_core::{DefaultNla, Emitable as _, NLM_F_REQUEST, NlasIterator},
    sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC},
};

use super::{Link, XdpMode};
use crate::netlink::Netlink;
use fwd_base::{Context as _, Result};

// include/uapi/linux/genetlink.h
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
// include/uapi/linux/netdev.h
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_XDP_ACT_NDO_XMIT: u64 = 1 << 2;

/// Lengths of the headers of netlink and of generic netlink, bytes.
const HEADERS: usize = 16 + 4;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;

impl Netlink {
    /// Whether an interface of the calling thread's namespace sends frames that an XDP program elsewhere redirects to it. A kernel
    /// that does not tell (before 6.3) has it where the driver runs XDP programs itself.
    ///
    /// # Errors
    /// The kernel gives no socket, or no answer.
    pub fn takes_frames(&self, link: &Link) -> Result<bool> {
        let features = features(link.index).doing("ask for", format!("the XDP features of interface {}", link.name))?;
        let native = || link.xdp.is_some_and(|xdp| xdp.mode == XdpMode::Native);
        Ok(features.map_or_else(native, |features| features & NETDEV_XDP_ACT_NDO_XMIT != 0))
    }

    /// Whether the kernel tells the XDP features of interfaces, such as of the loopback of the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel gives no socket, or no answer.
    pub fn tells_xdp_features(&self) -> Result<bool> {
        /// Index of `lo`, the same in every namespace.
        const LOOPBACK: u32 = 1;
        features(LOOPBACK).map(|features| features.is_some()).doing("ask for", "the XDP features of interface lo")
    }
}

/// The features of an interface; `None` if the kernel does not know them.
fn features(index: u32) -> io::Result<Option<u64>> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    let name = DefaultNla::new(CTRL_ATTR_FAMILY_NAME, b"netdev\0".to_vec());
    let Some(family) = query(&socket, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name)? else { return Ok(None) };
    let Some(Ok(family)) = attribute(&family, CTRL_ATTR_FAMILY_ID).map(|id| id.try_into()) else { return Ok(None) };
    let index = DefaultNla::new(NETDEV_A_DEV_IFINDEX, index.to_ne_bytes().to_vec());
    let Some(device) = query(&socket, u16::from_ne_bytes(family), NETDEV_CMD_DEV_GET, &index)? else { return Ok(None) };
    let features = attribute(&device, NETDEV_A_DEV_XDP_FEATURES).and_then(|features| features.try_into().ok());
    Ok(features.map(u64::from_ne_bytes))
}

/// Sends a request; the attributes of the answer, `None` if there is no such thing.
fn query(socket: &Socket, family: u16, command: u8, attribute: &DefaultNla) -> io::Result<Option<Vec<u8>>> {
    let attributes = std::slice::from_ref(attribute);
    let mut request = vec![0; HEADERS + attributes.buffer_len()];
    let length = u32::try_from(request.len()).map_err(io::Error::other)?;
    request[..4].copy_from_slice(&length.to_ne_bytes());
    request[4..6].copy_from_slice(&family.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    request[16] = command;
    request[17] = 1;
    attributes.emit(&mut request[HEADERS..]);
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    match (answer.get(4..6), answer.get(16..20).and_then(|code| code.try_into().ok())) {
        (Some(kind), Some(code)) if kind == ERROR.to_ne_bytes() => match i32::from_ne_bytes(code) {
            0 => Ok(None),
            code if -code == libc::ENOENT || -code == libc::EOPNOTSUPP || -code == libc::ENODEV => Ok(None),
            code => Err(io::Error::from_raw_os_error(-code)),
        },
        _ => Ok(answer.get(HEADERS..).map(<[u8]>::to_vec)),
    }
}

fn attribute(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut attributes = NlasIterator::new(attributes).map_while(Result::ok);
    attributes.find(|nla| nla.kind() == kind).map(|nla| nla.value().to_vec())
}
