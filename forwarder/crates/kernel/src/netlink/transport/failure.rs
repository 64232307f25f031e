//! What a netlink request can fail with, and the class of error a user sees.

use std::{fmt, io};

use nix::errno::Errno;
use rtnetlink::packet_core::{ErrorMessage, NLM_F_ACK_TLVS, NlaBuffer, NlasIterator, parse_string};

use fwd_base::{Error, Kind};

/// Length of `struct nlmsghdr`, which an error message repeats before its attributes.
const HEADER_LEN: usize = 16;
/// `NLMSGERR_ATTR_MSG`: the reason in words (include/uapi/linux/netlink.h).
const ATTR_MSG: u16 = 1;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The kernel refused: errno and, where it gives one, the reason in words.
    Refused { errno: i32, said: Option<String> },
    /// The objects changed each time while they were listed.
    Disturbed,
    /// The socket failed or closed.
    Io(io::Error),
}

impl Failure {
    /// From an error message, its attributes after a header capped by `NETLINK_CAP_ACK`.
    pub(in crate::netlink) fn from_message(error: &ErrorMessage, flags: u16) -> Self {
        let said = (flags & NLM_F_ACK_TLVS != 0).then(|| error.header.get(HEADER_LEN..)).flatten().and_then(reason);
        Self::Refused { errno: error.raw_code().abs(), said }
    }

    /// From a negative return code.
    pub(in crate::netlink) fn from_code(code: i32) -> Self {
        Self::Refused { errno: code.abs(), said: None }
    }

    /// The kernel's error number.
    pub(in crate::netlink) fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Io(error) => error.raw_os_error(),
            Self::Disturbed => None,
        }
    }

    /// The object asked for does not exist.
    pub(in crate::netlink) fn is_absence(&self) -> bool {
        matches!(self.errno(), Some(libc::ENODEV | libc::ENOENT | libc::ESRCH | libc::EADDRNOTAVAIL))
    }

    /// The error a user sees, with the operation and the object.
    pub(in crate::netlink) fn doing(self, doing: impl Into<String>, object: impl Into<String>) -> Error {
        let kind = match self.errno() {
            _ if self.is_absence() => Kind::NotFound,
            Some(libc::EEXIST | libc::EBUSY | libc::EADDRINUSE | libc::ENOTUNIQ) => Kind::Conflict,
            Some(libc::EPERM | libc::EACCES | libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT) => {
                Kind::Unsupported
            }
            _ => Kind::Failed,
        };
        Error::new(kind, doing, object, self.to_string()).remedy(self.remedy()).caused_by(self)
    }

    /// What the user can do about it, as far as the error number tells.
    fn remedy(&self) -> &'static str {
        match self.errno() {
            _ if self.is_absence() => "it was removed, or moved away, at the same moment: run the command again",
            Some(libc::EPERM | libc::EACCES) => "run it as root: it takes CAP_NET_ADMIN in that namespace",
            Some(libc::EEXIST | libc::EADDRINUSE | libc::ENOTUNIQ) => {
                "somebody else has made one: remove that, or choose another name or address"
            }
            Some(libc::EBUSY) => "somebody else uses it: run the command again when that is done",
            Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT) => {
                "this kernel is built without it: docs/kernels.md names what is needed"
            }
            Some(libc::ENETDOWN | libc::ENETUNREACH | libc::EHOSTUNREACH) => {
                "set the interface up, and make sure that the router is on its link"
            }
            Some(libc::ENOBUFS | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => {
                "the kernel has no room for it: free memory or descriptors, and run the command again"
            }
            None if matches!(self, Self::Disturbed) => {
                "another program changes the network all the time: run the command again when it is quiet"
            }
            _ => "do the step by hand to see more: --dry-run prints the command of each",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { errno, said } => {
                let meaning = Errno::from_raw(*errno).desc();
                match said {
                    Some(said) => write!(f, "{} ({meaning})", said.trim_end_matches('.')),
                    None => f.write_str(meaning),
                }
            }
            Self::Disturbed => f.write_str("the list changed each time while it was read"),
            Self::Io(error) => write!(f, "netlink socket: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The reason in words among the attributes of an error message.
fn reason(attributes: &[u8]) -> Option<String> {
    NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|nla: &NlaBuffer<&[u8]>| nla.kind() == ATTR_MSG)
        .and_then(|nla| parse_string(nla.value()).ok())
}
