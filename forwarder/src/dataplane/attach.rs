//! Attaches programs: by TCX links, which are pinned, or, where the kernel has no TCX, by filters of clsact.

use std::{fs, io, path::PathBuf};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttach, TcAttachType,
    links::{FdLink, PinnedLink},
    tc::{self, NlOptions, SchedClassifierLink, TcHandle},
};

use super::{Dataplane, load::L3_PROGRAM_NAMES};
use crate::{Context as _, Error, Kind, Result};

/// Place and number of our filters at clsact: few others use them.
const PRIORITY: u16 = 0x6677;
const HANDLE: u32 = 0x64;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Ingress of a host end.
    FromNs,
    /// Ingress of an uplink.
    FromUplink,
    /// Egress of an uplink.
    ToUplink,
    /// Ingress of an uplink without link-layer header.
    FromUplinkL3,
    /// Egress of an uplink without link-layer header.
    ToUplinkL3,
    /// Egress of the interface inside a namespace.
    FromInside,
    /// Egress of the macvlan inside a namespace.
    ExitGuard,
}

/// The hooks of an uplink, egress first: what leaves is guarded before anything comes in.
const UPLINK: [Hook; 2] = [Hook::ToUplink, Hook::FromUplink];
/// The same of an uplink without link-layer header.
const UPLINK_L3: [Hook; 2] = [Hook::ToUplinkL3, Hook::FromUplinkL3];

impl Hook {
    /// The program of this hook.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::FromNs => "from_ns",
            Self::FromUplink => "from_uplink",
            Self::ToUplink => "to_uplink",
            Self::FromUplinkL3 => "from_uplink_l3",
            Self::ToUplinkL3 => "to_uplink_l3",
            Self::FromInside => "from_inside",
            Self::ExitGuard => "exit_guard",
        }
    }

    const fn attach_type(self) -> TcAttachType {
        match self {
            Self::FromNs | Self::FromUplink | Self::FromUplinkL3 => TcAttachType::Ingress,
            Self::ToUplink | Self::ToUplinkL3 | Self::FromInside | Self::ExitGuard => TcAttachType::Egress,
        }
    }
}

/// How programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// TCX links (Linux 6.6), first in order.
    Tcx,
    /// Filters of a clsact qdisc.
    Clsact,
}

impl Dataplane {
    /// Attaches to an uplink, whose packets have an Ethernet header or none: what leaves is guarded before anything comes in.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_uplink(&self, ifindex: u32, has_header: bool) -> Result<()> {
        if !has_header {
            self.load_missing(&L3_PROGRAM_NAMES)?;
        }
        let hooks = if has_header { UPLINK } else { UPLINK_L3 };
        hooks.into_iter().try_for_each(|hook| self.attach(hook, ifindex))
    }

    /// Whether both programs are attached to an uplink.
    ///
    /// # Errors
    /// As [`is_attached`](Self::is_attached).
    pub fn is_uplink_attached(&self, ifindex: u32) -> Result<bool> {
        let both = |[egress, ingress]: [Hook; 2]| {
            Ok(self.is_attached(egress, ifindex)? && self.is_attached(ingress, ifindex)?)
        };
        Ok(both(UPLINK)? || both(UPLINK_L3)?)
    }

    /// The uplinks to which a program is noted as attached.
    ///
    /// # Errors
    /// The pins cannot be listed.
    pub fn attached_uplinks(&self) -> Result<Vec<u32>> {
        let hooks = UPLINK.into_iter().chain(UPLINK_L3);
        Ok(hooks.map(|hook| self.attached(hook)).collect::<Result<Vec<_>>>()?.concat())
    }

    /// Detaches from an uplink, the guard last.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach_uplink(&self, ifindex: u32) -> Result<()> {
        let hooks = UPLINK.into_iter().chain(UPLINK_L3).rev();
        hooks.into_iter().try_for_each(|hook| self.detach(hook, ifindex))
    }

    /// Attaches to the host end of an endpoint.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_endpoint(&self, ifindex: u32) -> Result<()> {
        self.attach(Hook::FromNs, ifindex)
    }

    /// Detaches from the host end of an endpoint.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach_endpoint(&self, ifindex: u32) -> Result<()> {
        self.detach(Hook::FromNs, ifindex)
    }

    /// Attaches inside the calling thread's namespace, that of the endpoint with the host end `owner`: to its macvlan `exit`, and
    /// then to the interface that has the same number as the host end.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] where the kernel has no TCX; otherwise what the kernel says.
    pub fn attach_exit(&self, owner: u32, exit: u32) -> Result<()> {
        if self.backend()? != Backend::Tcx {
            let why = "this kernel has no TCX, whose links end with their interface (Linux 6.6)";
            return Err(Error::new(Kind::Unsupported, "use", "datapath macvlan", why).remedy("use --datapath tc"));
        }
        self.load_exit()?;
        for (hook, ifindex) in [(Hook::ExitGuard, exit), (Hook::FromInside, owner)] {
            if !self.is_attached_for(owner, hook, ifindex)? {
                self.attach_for(owner, Backend::Tcx, hook, ifindex)?;
            }
        }
        Ok(())
    }

    /// Whether both programs are attached inside the calling thread's namespace, that of the endpoint with the host end `owner`.
    ///
    /// # Errors
    /// As [`is_attached`](Self::is_attached).
    pub fn is_exit_attached(&self, owner: u32, exit: u32) -> Result<bool> {
        Ok(self.is_attached_for(owner, Hook::ExitGuard, exit)? && self.is_attached(Hook::FromInside, owner)?)
    }

    /// Detaches inside the namespace of the endpoint with the host end `owner`, the guard last.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach_exit(&self, owner: u32) -> Result<()> {
        [Hook::FromInside, Hook::ExitGuard].into_iter().try_for_each(|hook| self.detach(hook, owner))
    }

    /// The host ends of endpoints to whose exit a program is noted as attached.
    ///
    /// # Errors
    /// The pins cannot be listed.
    pub fn attached_exits(&self) -> Result<Vec<u32>> {
        Ok([self.attached(Hook::FromInside)?, self.attached(Hook::ExitGuard)?].concat())
    }

    /// Whether the program of `hook` is attached to `ifindex`: a link that is pinned but whose interface is gone is not.
    ///
    /// # Errors
    /// The pin or the kernel's list cannot be read.
    pub fn is_attached(&self, hook: Hook, ifindex: u32) -> Result<bool> {
        self.is_attached_for(ifindex, hook, ifindex)
    }

    /// As [`is_attached`](Self::is_attached), for the endpoint with the host end `owner`, by which the link is pinned.
    fn is_attached_for(&self, owner: u32, hook: Hook, ifindex: u32) -> Result<bool> {
        if !self.is_loaded() || !self.pin_of(hook, owner).exists() {
            return Ok(false);
        }
        match self.backend()? {
            Backend::Tcx => {
                let id = self.program(hook.program())?.info().doing("look at", hook.program())?.id();
                match SchedClassifier::query_tcx(ifindex, hook.attach_type()) {
                    Ok((_, programs)) => Ok(programs.iter().any(|it| it.id() == id)),
                    // No such interface.
                    Err(_) => Ok(false),
                }
            }
            Backend::Clsact => Ok(true),
        }
    }

    /// Which backend this kernel has: asked by trying, not by version.
    ///
    /// # Errors
    /// Reading the kernel's answer failed.
    pub fn backend(&self) -> Result<Backend> {
        // Interface 1 is `lo`, in every namespace.
        match SchedClassifier::query_tcx(1, TcAttachType::Ingress) {
            Ok(_) => Ok(Backend::Tcx),
            Err(ProgramError::SyscallError(error)) if error.io_error.raw_os_error() == Some(nix::libc::EINVAL) => {
                Ok(Backend::Clsact)
            }
            Err(error) => Err(error).doing("ask for", "TCX on lo"),
        }
    }

    /// Attaches with the backend of this kernel; does nothing if the program is attached.
    fn attach(&self, hook: Hook, ifindex: u32) -> Result<()> {
        if self.is_attached(hook, ifindex)? {
            return Ok(());
        }
        self.attach_by(self.backend()?, hook, ifindex)
    }

    /// Attaches with a backend of the caller's choice.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_by(&self, backend: Backend, hook: Hook, ifindex: u32) -> Result<()> {
        self.attach_for(ifindex, backend, hook, ifindex)
    }

    /// As [`attach_by`](Self::attach_by), pinned for the endpoint with the host end `owner`.
    fn attach_for(&self, owner: u32, backend: Backend, hook: Hook, ifindex: u32) -> Result<()> {
        let doing = format!("attach program {} to", hook.program());
        let object = || format!("interface {ifindex}");
        let pin = self.pin_of(hook, owner);
        // A link of an interface that is gone, or of a run that was interrupted.
        discard(&pin)?;
        let mut program = self.program(hook.program())?;
        match backend {
            Backend::Tcx => {
                let attach = TcAttach::Tcx { attach_type: hook.attach_type(), order: LinkOrder::first() };
                let id = program.attach(ifindex, attach).doing(&*doing, object())?;
                let link: FdLink =
                    program.take_link(id).doing(&*doing, object())?.try_into().doing(&*doing, object())?;
                link.pin(&pin).doing("pin", format!("link of {} to interface {ifindex}", hook.program()))?;
            }
            Backend::Clsact => {
                match tc::qdisc_add_clsact(ifindex) {
                    Ok(()) => {}
                    Err(error) if is_there(&error) => {}
                    Err(error) => return Err(error).doing("add a clsact qdisc to", object()),
                }
                let options = NlOptions { priority: PRIORITY, handle: TcHandle::from(HANDLE), classid: None };
                let attach = TcAttach::Netlink { parent: hook.attach_type().into(), options };
                let id = program.attach(ifindex, attach).doing(&*doing, object())?;
                let link = program.take_link(id).doing(&*doing, object())?;
                // The filter lives on without us; a directory in place of the link says that it is there.
                std::mem::forget(link);
                fs::create_dir(&pin).doing("note", format!("filter {} at interface {ifindex}", hook.program()))?;
            }
        }
        Ok(())
    }

    /// Detaches; does nothing if the program is not attached.
    fn detach(&self, hook: Hook, ifindex: u32) -> Result<()> {
        let pin = self.pin_of(hook, ifindex);
        if pin.is_dir() {
            let parent: TcHandle = hook.attach_type().into();
            match SchedClassifierLink::attached(ifindex, parent, PRIORITY, TcHandle::from(HANDLE), None) {
                Ok(link) => drop(link),
                Err(error) => return Err(error).doing("detach from", format!("interface {ifindex}")),
            }
        }
        discard(&pin)
    }

    fn pin_of(&self, hook: Hook, ifindex: u32) -> PathBuf {
        self.links().join(format!("{}-{ifindex}", hook.program()))
    }

    /// The interfaces to which the program of `hook` is noted as attached.
    ///
    /// # Errors
    /// The pins cannot be listed.
    pub fn attached(&self, hook: Hook) -> Result<Vec<u32>> {
        self.pinned_links(hook.program())
    }

    /// The interfaces with a pinned link of `program`.
    pub(super) fn pinned_links(&self, program: &str) -> Result<Vec<u32>> {
        let dir = self.links();
        let entries = fs::read_dir(&dir).doing("list", dir.display().to_string())?;
        let prefix = format!("{program}-");
        Ok(entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok())
            .collect())
    }
}

/// Whether adding the qdisc failed because there is one: ours, or one of another program, which serves as well.
fn is_there(error: &tc::TcError) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            return true;
        }
        source = error.source();
    }
    matches!(error, tc::TcError::AlreadyAttached)
}

/// Unpins a link, which detaches its program, or removes the note of a filter.
pub(super) fn discard(pin: &std::path::Path) -> Result<()> {
    let result = if pin.is_dir() {
        fs::remove_dir(pin)
    } else {
        match PinnedLink::from_pin(pin) {
            Ok(link) => link.unpin().map(drop),
            // Not there, or not a link: either way a file to remove.
            Err(_) => fs::remove_file(pin),
        }
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            Err(Error::new(Kind::Failed, "unpin", pin.display().to_string(), error.to_string()).caused_by(error))
        }
        Ok(()) => Ok(()),
    }
}
