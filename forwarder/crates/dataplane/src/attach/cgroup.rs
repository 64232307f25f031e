//! Programs at a cgroup, by which programs of the host reach published ports by the host's own addresses. Attached by links, which are
//! pinned under the number of the cgroup (its inode, which no other cgroup gets while the machine is up).

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use aya::programs::{
    CgroupAttachMode, CgroupSockAddr,
    cgroup_sock_addr::CgroupSockAddrAttachType,
    links::{FdLink, PinnedLink},
};

use crate::{
    Dataplane,
    attach::{
        PinnedHooks, discard,
        replace::{opened, updated},
    },
    bpf,
    load::PROGRAMS,
    object::programs::{self, Role},
};
use fwd_base::{Context as _, Result};

/// The programs, and what each is asked about.
const HOOKS: [(&str, CgroupSockAddrAttachType); 8] = [
    (programs::HOST_CONNECT4, CgroupSockAddrAttachType::Connect4),
    (programs::HOST_SENDMSG4, CgroupSockAddrAttachType::UDPSendMsg4),
    (programs::HOST_RECVMSG4, CgroupSockAddrAttachType::UDPRecvMsg4),
    (programs::HOST_GETPEERNAME4, CgroupSockAddrAttachType::GetPeerName4),
    (programs::HOST_CONNECT6, CgroupSockAddrAttachType::Connect6),
    (programs::HOST_SENDMSG6, CgroupSockAddrAttachType::UDPSendMsg6),
    (programs::HOST_RECVMSG6, CgroupSockAddrAttachType::UDPRecvMsg6),
    (programs::HOST_GETPEERNAME6, CgroupSockAddrAttachType::GetPeerName6),
];

impl Dataplane {
    /// Attaches to the cgroup in directory `path`: from then on its processes, as far as they are in the host's namespace, reach published
    /// ports. Those who tell what was asked for come first, so that no answer seems to be a stranger's. Does nothing if they are attached.
    ///
    /// # Errors
    /// It is no cgroup, or the kernel refuses.
    pub fn attach_host(&self, path: &Path) -> Result<()> {
        let cgroup = File::open(path).doing("open", format!("cgroup {}", path.display()))?;
        let id = cgroup.metadata().doing("look at", format!("cgroup {}", path.display()))?.ino();
        if self.host_cgroup()? == Some(id) {
            return Ok(());
        }
        // What an interrupted command left, and links of a cgroup that is gone.
        self.detach_host()?;
        self.load_missing(&programs::of(Role::Host).collect::<Vec<_>>())?;
        for (name, attach_type) in HOOKS.into_iter().rev() {
            let (doing, object) = (format!("attach program {name} to"), || format!("cgroup {}", path.display()));
            let mut program = self.host_program(PROGRAMS, name, attach_type)?;
            let id_of_link = program.attach(&cgroup, CgroupAttachMode::Single).doing(&*doing, object())?;
            let link = program.take_link(id_of_link).doing(&*doing, object())?;
            let link: FdLink = link.try_into().doing(&*doing, object())?;
            link.pin(self.links().join(pin_of(name, id))).doing("pin", format!("link of {name} to {}", object()))?;
        }
        Ok(())
    }

    /// Detaches from whatever cgroup; who would lead first.
    ///
    /// # Errors
    /// A pin cannot be removed.
    pub fn detach_host(&self) -> Result<()> {
        let pins = self.pinned_hooks()?;
        for (name, _) in HOOKS {
            for id in pins.cgroups(name) {
                discard(&self.links().join(pin_of(name, id)))?;
            }
        }
        Ok(())
    }

    /// The number of the cgroup to which all of them are attached. None where that was removed, which leaves the links.
    ///
    /// # Errors
    /// The pins cannot be listed, or the kernel does not say.
    pub fn host_cgroup(&self) -> Result<Option<u64>> {
        self.host_cgroup_of(&self.pinned_hooks()?)
    }

    /// The same, of pins that were listed.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn host_cgroup_of(&self, pins: &PinnedHooks) -> Result<Option<u64>> {
        let Some(id) = pins.host_cgroup() else { return Ok(None) };
        let pin = self.links().join(pin_of(HOOKS[0].0, id));
        match bpf::get(&pin).and_then(|link| bpf::cgroup(&link)) {
            Ok(attached) => Ok((attached == id).then_some(id)),
            // Withdrawn since they were listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing("look at", format!("link {}", pin.display())),
        }
    }

    /// Puts the programs pinned in `dir` in the places of those that are attached.
    pub(crate) fn switch_host(&self, dir: &str) -> Result<()> {
        let pins = self.pinned_hooks()?;
        for (name, attach_type) in HOOKS {
            for id in pins.cgroups(name) {
                let object = || format!("program {name} at a cgroup");
                let pin = self.links().join(pin_of(name, id));
                let Some(link) = opened(PinnedLink::from_pin(pin), object)? else { continue };
                let link = FdLink::from(link).try_into().doing("replace", object())?;
                updated(self.host_program(dir, name, attach_type)?.attach_to_link(link), object)?;
            }
        }
        Ok(())
    }

    fn host_program(&self, dir: &str, name: &str, attach_type: CgroupSockAddrAttachType) -> Result<CgroupSockAddr> {
        let pin: PathBuf = self.dir.join(dir).join(name);
        CgroupSockAddr::from_pin(pin, attach_type).doing("open", format!("program {name}"))
    }
}

impl PinnedHooks {
    /// The number of the cgroup under which all programs for the host's own processes are pinned.
    fn host_cgroup(&self) -> Option<u64> {
        self.cgroups(HOOKS[0].0).find(|id| HOOKS.iter().all(|(name, _)| self.cgroups(name).any(|other| other == *id)))
    }

    /// Whether any of them is attached.
    #[must_use]
    pub fn is_host_attached(&self) -> bool {
        HOOKS.iter().any(|(name, _)| self.cgroups(name).next().is_some())
    }
}

fn pin_of(program: &str, cgroup: u64) -> String {
    format!("{program}-{cgroup}")
}
