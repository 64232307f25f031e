//! The program at a netkit pair, by a pinned link. It is attached by the end of the pair that stays on the host (the primary one, as the
//! kernel calls it), to be run while the other end, inside the namespace, sends. Nobody there can detach it.

use std::{io, os::fd::AsFd as _, path::PathBuf};

use crate::{
    Dataplane,
    attach::{discard, program_of},
    bpf,
    object::programs::{self, FROM_NETKIT, Role},
};
use fwd_base::{Context as _, Result};

/// What a pair has programs for, of `enum bpf_attach_type` (include/uapi/linux/bpf.h): what the host's end sends, and what the end inside does.
pub(crate) const PRIMARY: u32 = 54;
pub(crate) const PEER: u32 = 55;
/// `BPF_F_BEFORE`: without naming another program, before all.
const FIRST: u32 = 1 << 3;

impl Dataplane {
    /// Attaches to a pair whose end on the host is `ifindex`. What an interrupted run left is replaced.
    pub(crate) fn attach_netkit(&self, ifindex: u32) -> Result<()> {
        let doing = format!("attach program {FROM_NETKIT} to");
        let object = || format!("interface {ifindex}");
        self.load_missing(&programs::of(Role::Netkit).collect::<Vec<_>>())?;
        let (program, pin) = (self.program(FROM_NETKIT)?, self.netkit_pin(ifindex));
        discard(&pin)?;
        let fd = program.fd().doing(&*doing, object())?;
        let link = bpf::link(fd.as_fd(), ifindex, PEER, FIRST).doing(&*doing, object())?;
        bpf::pin(&link, &pin).doing("pin", format!("link of {FROM_NETKIT} to interface {ifindex}"))
    }

    /// Whether the program of the pinned link is attached to a pair.
    pub(crate) fn is_netkit_linked(&self, ifindex: u32) -> bool {
        program_of(&self.netkit_pin(ifindex)).is_some_and(|id| at(ifindex, true).contains(&id))
    }

    /// Puts the program that is pinned in `dir` in the place of the one that runs; does nothing where the pair has gone.
    pub(crate) fn replace_netkit(&self, dir: &str, ifindex: u32) -> Result<()> {
        let object = || format!("program {FROM_NETKIT} at interface {ifindex}");
        let program = self.program_in(dir, FROM_NETKIT)?;
        let fd = program.fd().doing("replace", object())?;
        match bpf::update(&self.netkit_pin(ifindex), fd.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENOLINK) => {
                Ok(())
            }
            result => result.doing("replace", object()),
        }
    }

    pub(crate) fn netkit_pin(&self, ifindex: u32) -> PathBuf {
        self.links().join(format!("{FROM_NETKIT}-{ifindex}"))
    }
}

/// The ids of the programs of a pair by its end on the host: those for what comes from inside, or for what goes there. None of other
/// interfaces, and of an end that is not the host's.
pub(crate) fn at(ifindex: u32, inbound: bool) -> Vec<u32> {
    bpf::programs(ifindex, if inbound { PEER } else { PRIMARY }).unwrap_or_default()
}
