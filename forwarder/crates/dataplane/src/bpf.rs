//! bpf(2) where aya does not wrap it: questions to the kernel, and links of netkit devices. Everything that is made goes with its descriptor,
//! unless it is pinned.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

/// `BPF_PROG_TYPE_SCHED_CLS` of `enum bpf_prog_type` (include/uapi/linux/bpf.h).
pub(crate) const SCHED_CLS: u32 = 3;
/// Programs that one place of an interface has at most (`BPF_MPROG_MAX`, include/linux/bpf_mprog.h).
const MOST_PROGRAMS: usize = 64;
/// Bytes of `union bpf_attr` that are passed: more than any of these commands has.
const SIZE: usize = 72;
/// Bytes of the frame over which a program is run.
const FRAME: usize = 64;

/// `union bpf_attr` (include/uapi/linux/bpf.h), by offsets.
struct Attributes([u8; SIZE]);

impl Attributes {
    const fn new() -> Self {
        Self([0; SIZE])
    }

    fn word(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    /// Where the kernel reads.
    fn address<T>(self, at: usize, of: &[T]) -> Self {
        self.address_of(at, of.as_ptr().expose_provenance())
    }

    /// Where the kernel writes.
    fn address_to_write<T>(self, at: usize, to: &mut [T]) -> Self {
        self.address_of(at, to.as_mut_ptr().expose_provenance())
    }

    fn address_of(mut self, at: usize, address: usize) -> Self {
        self.0[at..at + 8].copy_from_slice(&(address as u64).to_ne_bytes());
        self
    }

    /// What the kernel has written there.
    fn word_at(&self, at: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.0[at..at + 4]);
        u32::from_ne_bytes(word)
    }

    fn descriptor(self, at: usize, of: BorrowedFd<'_>) -> Self {
        self.word(at, of.as_raw_fd().unsigned_abs())
    }

    /// Calls bpf(2).
    fn call(&mut self, command: Command) -> io::Result<i32> {
        // SAFETY: the kernel reads and writes `self.0`, whose size it is told, reads what the addresses in it stand for, which the
        // functions below borrow until this returns, and writes nothing else: of the commands with an output buffer, `programs` and
        // `cgroup` say how large that is, and `element` and `next_key` are given one as long as the kernel says that values and keys of the map are.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, self.0.as_mut_ptr(), SIZE) };
        if result < 0 { Err(io::Error::last_os_error()) } else { i32::try_from(result).map_err(io::Error::other) }
    }

    /// The same, for a command that returns a descriptor.
    fn make(&mut self, command: Command) -> io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Commands of `enum bpf_cmd`.
#[derive(Clone, Copy)]
enum Command {
    MapCreate = 0,
    MapLookupElem = 1,
    MapUpdateElem = 2,
    MapDeleteElem = 3,
    MapGetNextKey = 4,
    ProgLoad = 5,
    ObjPin = 6,
    ObjGet = 7,
    ProgTestRun = 10,
    ObjGetInfoByFd = 15,
    ProgQuery = 16,
    MapLookupBatch = 24,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkDetach = 34,
}

/// Loads a program of a type, with flags.
pub(crate) fn load(kind: u32, instructions: &[u64], flags: u32) -> io::Result<OwnedFd> {
    program(kind, instructions)?.word(44, flags).make(Command::ProgLoad)
}

/// The same for one kind of attachment.
pub(crate) fn load_for(kind: u32, instructions: &[u64], attach_type: u32) -> io::Result<OwnedFd> {
    program(kind, instructions)?.word(68, attach_type).make(Command::ProgLoad)
}

fn program(kind: u32, instructions: &[u64]) -> io::Result<Attributes> {
    let count = u32::try_from(instructions.len()).map_err(io::Error::other)?;
    let attributes = Attributes::new().word(0, kind).word(4, count).address(8, instructions);
    Ok(attributes.address(16, c"GPL".to_bytes_with_nul()))
}

/// Loads a program of traffic control and runs it once over an empty frame; what it returns.
pub(crate) fn run(instructions: &[u64]) -> io::Result<i32> {
    let (program, frame) = (load(SCHED_CLS, instructions, 0)?, [0_u8; FRAME]);
    let mut attributes = Attributes::new().descriptor(0, program.as_fd()).word(8, FRAME as u32).address(16, &frame);
    attributes.call(Command::ProgTestRun)?;
    Ok(attributes.word_at(4).cast_signed())
}

/// Makes a map with one element of eight bytes, or of four for `programs`.
pub(crate) fn map(kind: u32, value: u32, flags: u32) -> io::Result<OwnedFd> {
    Attributes::new().word(0, kind).word(4, 4).word(8, value).word(12, 1).word(16, flags).make(Command::MapCreate)
}

/// Reads a batch of an empty hash map with room for one element.
pub(crate) fn read_batch(map: &OwnedFd) -> io::Result<()> {
    // Nothing is written where there is no element, but for the position.
    Attributes::new().word(32, 0).descriptor(36, map.as_fd()).call(Command::MapLookupBatch).map(drop)
}

/// Reads an element of a map; whether there is one. `key` and `value` are as long as those of the map, a value for each CPU in a map that has such.
pub(crate) fn element(map: &impl AsFd, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let attributes = Attributes::new().descriptor(0, map.as_fd()).address(8, key);
    found(attributes.address_to_write(16, value).call(Command::MapLookupElem))
}

/// The key behind this one, or the first; whether there is one. Both are as long as those of the map.
pub(crate) fn next_key(map: &impl AsFd, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let attributes = Attributes::new().descriptor(0, map.as_fd());
    let attributes = if let Some(key) = key { attributes.address(8, key) } else { attributes };
    found(attributes.address_to_write(16, next).call(Command::MapGetNextKey))
}

/// Writes an element of a map. `key` and `value` are as long as those of the map.
pub(crate) fn update_element(map: &impl AsFd, key: &[u8], value: &[u8]) -> io::Result<()> {
    Attributes::new()
        .descriptor(0, map.as_fd())
        .address(8, key)
        .address(16, value)
        .call(Command::MapUpdateElem)
        .map(drop)
}

/// Removes an element of a map; whether there was one.
pub(crate) fn delete_element(map: &impl AsFd, key: &[u8]) -> io::Result<bool> {
    found(Attributes::new().descriptor(0, map.as_fd()).address(8, key).call(Command::MapDeleteElem))
}

fn found(called: io::Result<i32>) -> io::Result<bool> {
    match called {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        called => called.map(|_| true),
    }
}

/// Attaches a program to an interface by a link, which ends with the descriptor.
pub(crate) fn link(program: BorrowedFd<'_>, ifindex: u32, kind: u32, flags: u32) -> io::Result<OwnedFd> {
    let attributes = Attributes::new().descriptor(0, program).word(4, ifindex);
    attributes.word(8, kind).word(12, flags).make(Command::LinkCreate)
}

/// Pins what the descriptor stands for.
pub(crate) fn pin(object: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    Attributes::new().address(0, path.as_bytes_with_nul()).descriptor(8, object.as_fd()).call(Command::ObjPin).map(drop)
}

/// Opens what is pinned.
pub(crate) fn get(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    Attributes::new().address(0, path.as_bytes_with_nul()).make(Command::ObjGet)
}

/// Pins what is pinned at one path at another one as well.
pub(crate) fn pin_again(from: &Path, to: &Path) -> io::Result<()> {
    pin(&get(from)?, to)
}

/// Replaces the program of a link that is pinned.
pub(crate) fn update(link: &Path, program: BorrowedFd<'_>) -> io::Result<()> {
    let link = get(link)?;
    Attributes::new().descriptor(0, link.as_fd()).descriptor(4, program).call(Command::LinkUpdate).map(drop)
}

/// Takes the program of a link from its interface, now and not only when the last descriptor and pin have gone.
pub(crate) fn detach(link: &OwnedFd) -> io::Result<()> {
    Attributes::new().descriptor(0, link.as_fd()).call(Command::LinkDetach).map(drop)
}

/// The number of the cgroup that a link is attached to; 0 once that was removed (`struct bpf_link_info`, include/uapi/linux/bpf.h).
pub(crate) fn cgroup(link: &OwnedFd) -> io::Result<u64> {
    let mut info = [0_u64; 4];
    let attributes = Attributes::new().descriptor(0, link.as_fd()).word(4, size_of_val(&info) as u32);
    attributes.address_to_write(8, &mut info).call(Command::ObjGetInfoByFd)?;
    // Behind type, id and the id of the program.
    Ok(info[2])
}

/// The ids of the programs at one place of an interface, in their order.
pub(crate) fn programs(ifindex: u32, kind: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; MOST_PROGRAMS];
    let mut attributes =
        Attributes::new().word(0, ifindex).word(4, kind).address_to_write(16, &mut ids).word(24, MOST_PROGRAMS as u32);
    attributes.call(Command::ProgQuery)?;
    let count = attributes.word_at(24) as usize;
    ids.truncate(count);
    Ok(ids)
}
