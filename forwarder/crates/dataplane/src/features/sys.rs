//! bpf(2) for questions that aya does not ask. Everything that is made goes with its descriptor.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::program::SCHED_CLS;

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

    fn address<T>(mut self, at: usize, of: &[T]) -> Self {
        self.0[at..at + 8].copy_from_slice(&(of.as_ptr().expose_provenance() as u64).to_ne_bytes());
        self
    }

    fn descriptor(self, at: usize, of: &OwnedFd) -> Self {
        self.word(at, of.as_raw_fd().unsigned_abs())
    }

    /// Calls bpf(2).
    fn call(&mut self, command: Command) -> io::Result<i32> {
        // SAFETY: the kernel reads and writes `self.0`, whose size it is told, reads what the addresses in it stand for, which the
        // functions below borrow until this returns, and writes nothing else: none of the commands has an output buffer.
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
    ProgLoad = 5,
    ProgTestRun = 10,
    MapLookupBatch = 24,
    LinkCreate = 28,
}

/// Loads a program of a type, with flags.
pub(super) fn load(kind: u32, instructions: &[u64], flags: u32) -> io::Result<OwnedFd> {
    program(kind, instructions)?.word(44, flags).make(Command::ProgLoad)
}

/// The same for one kind of attachment.
pub(super) fn load_for(kind: u32, instructions: &[u64], attach_type: u32) -> io::Result<OwnedFd> {
    program(kind, instructions)?.word(68, attach_type).make(Command::ProgLoad)
}

fn program(kind: u32, instructions: &[u64]) -> io::Result<Attributes> {
    let count = u32::try_from(instructions.len()).map_err(io::Error::other)?;
    let attributes = Attributes::new().word(0, kind).word(4, count).address(8, instructions);
    Ok(attributes.address(16, c"GPL".to_bytes_with_nul()))
}

/// Loads a program of traffic control and runs it once over an empty frame; what it returns.
pub(super) fn run(instructions: &[u64]) -> io::Result<i32> {
    let (program, frame) = (load(SCHED_CLS, instructions, 0)?, [0_u8; FRAME]);
    let mut attributes = Attributes::new().descriptor(0, &program).word(8, FRAME as u32).address(16, &frame);
    attributes.call(Command::ProgTestRun)?;
    let [_, _, _, _, a, b, c, d, ..] = attributes.0;
    Ok(i32::from_ne_bytes([a, b, c, d]))
}

/// Makes a map with one element of eight bytes, or of four for `programs`.
pub(super) fn map(kind: u32, value: u32, flags: u32) -> io::Result<OwnedFd> {
    Attributes::new().word(0, kind).word(4, 4).word(8, value).word(12, 1).word(16, flags).make(Command::MapCreate)
}

/// Reads a batch of an empty hash map with room for one element.
pub(super) fn read_batch(map: &OwnedFd) -> io::Result<()> {
    // Nothing is written where there is no element, but for the position.
    Attributes::new().word(32, 0).descriptor(36, map).call(Command::MapLookupBatch).map(drop)
}

/// Attaches a program to an interface by a link, which ends with the descriptor.
pub(super) fn link(program: &OwnedFd, ifindex: u32, kind: u32, flags: u32) -> io::Result<OwnedFd> {
    let attributes = Attributes::new().descriptor(0, program).word(4, ifindex);
    attributes.word(8, kind).word(12, flags).make(Command::LinkCreate)
}
