//! Which BPF programs, maps and links exist, by bpf(2) directly: snapshots look at the kernel, not through the code they check.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use fwd_base::{Context, Result};

// enum bpf_cmd (include/uapi/linux/bpf.h).
const PROG_GET_NEXT_ID: libc::c_int = 11;
const MAP_GET_NEXT_ID: libc::c_int = 12;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const MAP_GET_FD_BY_ID: libc::c_int = 14;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;
const LINK_GET_FD_BY_ID: libc::c_int = 30;
const LINK_GET_NEXT_ID: libc::c_int = 31;
// enum bpf_attach_type.
const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;

/// `union bpf_attr`, larger than any member used here; the kernel accepts zeros behind what it knows.
#[repr(C, align(8))]
struct Attr([u8; 128]);

impl Attr {
    const fn zeroed() -> Self {
        Self([0; 128])
    }

    fn put<const N: usize>(mut self, offset: usize, value: [u8; N]) -> Self {
        self.0[offset..offset + N].copy_from_slice(&value);
        self
    }

    fn u32_at(&self, offset: usize) -> u32 {
        u32_at(&self.0, offset)
    }
}

/// A kind of object and how it is enumerated.
struct Objects {
    what: &'static str,
    next_id: libc::c_int,
    fd_by_id: libc::c_int,
    /// What the information says beside the id.
    describe: fn(&[u8]) -> String,
}

const OBJECTS: [Objects; 3] = [
    Objects {
        what: "program",
        next_id: PROG_GET_NEXT_ID,
        fd_by_id: PROG_GET_FD_BY_ID,
        // struct bpf_prog_info.name
        describe: |info| text(info, 64),
    },
    Objects {
        what: "map",
        next_id: MAP_GET_NEXT_ID,
        fd_by_id: MAP_GET_FD_BY_ID,
        // struct bpf_map_info.name
        describe: |info| text(info, 24),
    },
    Objects {
        what: "link",
        next_id: LINK_GET_NEXT_ID,
        fd_by_id: LINK_GET_FD_BY_ID,
        // struct bpf_link_info.prog_id
        describe: |info| format!("of program {}", u32_at(info, 8)),
    },
];

/// `program 12 from_ns`, `map 5 FLOWS`, `link 3 of program 12`, for every object of the machine.
pub(super) fn objects() -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for Objects { what, next_id, fd_by_id, describe } in OBJECTS {
        let mut id = 0_u32;
        loop {
            let mut attr = Attr::zeroed().put(0, id.to_ne_bytes());
            match bpf(next_id, &mut attr) {
                Ok(_) => id = attr.u32_at(4),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
                Err(error) => return Err(error).doing("list", format!("the BPF {what}s")),
            }
            match info(fd_by_id, id) {
                Ok(info) => lines.push(format!("{what} {id} {}", describe(&info))),
                // It has gone meanwhile, or is a link that somebody is just making (EAGAIN, bpf_link_by_id in the kernel).
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EAGAIN)) => {}
                Err(error) => return Err(error).doing("examine", format!("BPF {what} {id}")),
            }
        }
    }
    Ok(lines)
}

/// Number of TCX programs at ingress and at egress of an interface of the calling thread's namespace.
///
/// # Errors
/// The kernel refuses.
pub fn tcx_programs(ifindex: u32) -> Result<(u32, u32)> {
    let count = |attach_type: u32| {
        // Without a buffer for ids the kernel only counts.
        let mut attr = Attr::zeroed().put(0, ifindex.to_ne_bytes()).put(4, attach_type.to_ne_bytes());
        match bpf(PROG_QUERY, &mut attr) {
            Ok(_) => Ok(attr.u32_at(24)),
            // Before Linux 6.6 there is no such attach type; the interface may have gone meanwhile; nothing was ever attached.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENODEV | libc::ENOENT)) => Ok(0),
            Err(error) => Err(error).doing("count", format!("the TCX programs of the interface with index {ifindex}")),
        }
    };
    Ok((count(TCX_INGRESS)?, count(TCX_EGRESS)?))
}

/// The information about an object.
fn info(fd_by_id: libc::c_int, id: u32) -> io::Result<[u8; 256]> {
    let fd = bpf(fd_by_id, &mut Attr::zeroed().put(0, id.to_ne_bytes()))?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = [0_u8; 256];
    let address = info.as_mut_ptr() as u64;
    let mut attr =
        Attr::zeroed().put(0, fd.as_raw_fd().to_ne_bytes()).put(4, 256_u32.to_ne_bytes()).put(8, address.to_ne_bytes());
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// bpf(2).
fn bpf(command: libc::c_int, attr: &mut Attr) -> io::Result<RawFd> {
    let size = size_of::<Attr>();
    // SAFETY: `attr` is as long as `size` says. Of the commands used here only OBJ_GET_INFO_BY_FD has the kernel write through
    // a pointer in it, and `info` passes a buffer that outlives the call with its length.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { RawFd::try_from(result).map_err(io::Error::other) }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// A name of 16 bytes (`BPF_OBJ_NAME_LEN`).
fn text(info: &[u8], offset: usize) -> String {
    let name = info.get(offset..offset + 16).unwrap_or_default();
    String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}
