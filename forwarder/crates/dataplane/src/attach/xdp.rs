//! Loads the XDP programs when they are wanted, attaches them by pinned links, and says where they may send.

use std::path::PathBuf;

use aya::{
    maps::{MapData, MapError, xdp::DevMapHash},
    programs::{Xdp, XdpMode as Flags, links::FdLink},
};
use aya_obj::programs::XdpAttachType;

use crate::{
    Dataplane, XdpHook,
    attach::discard,
    load::{PROGRAMS, errno::errno},
    object::maps,
};
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_kernel::netlink::{XdpMode, XdpProgram};

impl Dataplane {
    /// Attaches to an interface and lets frames be sent by it. Native where the driver has it, unless only `generic` will do;
    /// does nothing if the program is attached.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if another program is attached there; the kernel refuses.
    pub fn attach_xdp(&self, hook: XdpHook, ifindex: u32, mode: Option<XdpMode>) -> Result<XdpMode> {
        // A link of an interface that is gone, or of a run that was interrupted.
        self.detach_xdp(hook, ifindex)?;
        let attached = match mode {
            Some(mode) => self.attach_xdp_by(hook, ifindex, mode).map(|()| mode),
            None => match self.attach_xdp_by(hook, ifindex, XdpMode::Native) {
                Ok(()) => Ok(XdpMode::Native),
                Err(error) if error.kind == Kind::Conflict => Err(error),
                // The driver has no XDP, or none for this MTU or this number of queues.
                Err(error) => {
                    tracing::info!("{error}: trying generic XDP");
                    self.attach_xdp_by(hook, ifindex, XdpMode::Generic).map(|()| XdpMode::Generic)
                }
            },
        }?;
        self.xdp_targets()?.insert(ifindex, ifindex, None, 0).doing("write", maps::XDP_TARGETS)?;
        Ok(attached)
    }

    fn attach_xdp_by(&self, hook: XdpHook, ifindex: u32, mode: XdpMode) -> Result<()> {
        let name = hook.program_for(mode);
        let doing = format!("attach program {name} to");
        let object = || format!("interface {ifindex}");
        self.load_missing(&[name])?;
        let mut program = self.xdp_program(name)?;
        let flags = match mode {
            XdpMode::Native => Flags::Driver,
            XdpMode::Generic => Flags::Skb,
        };
        let id = program.attach(ifindex, flags).map_err(|error| match errno(&error) {
            Some(nix::libc::EBUSY | nix::libc::EEXIST) => {
                Error::new(Kind::Conflict, &*doing, object(), "another XDP program is attached there")
                    .remedy("detach it (`bpftool net` names it), or use --datapath tc, which needs no XDP")
                    .caused_by(error)
            }
            _ => Error::new(Kind::Failed, &*doing, object(), error.to_string()).caused_by(error),
        })?;
        let link: FdLink = program.take_link(id).doing(&*doing, object())?.try_into().doing(&*doing, object())?;
        link.pin(self.xdp_pin(hook, ifindex)).doing("pin", format!("link of {name} to interface {ifindex}")).map(drop)
    }

    /// Detaches, and lets no more frames be sent by the interface; does nothing if the program is not attached.
    ///
    /// # Errors
    /// A map or a pin cannot be changed.
    pub fn detach_xdp(&self, hook: XdpHook, ifindex: u32) -> Result<()> {
        if self.is_loaded() {
            match self.xdp_targets()?.remove(ifindex) {
                Err(MapError::KeyNotFound) => {}
                Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(nix::libc::ENOENT) => {}
                result => result.doing("write", maps::XDP_TARGETS)?,
            }
        }
        discard(&self.xdp_pin(hook, ifindex))
    }

    /// Whether the program of `hook` is attached to `ifindex`, where the kernel says that `found` is.
    ///
    /// # Errors
    /// The pin cannot be read.
    pub fn is_xdp_attached(&self, hook: XdpHook, ifindex: u32, found: Option<XdpProgram>) -> Result<bool> {
        let Some(XdpProgram { mode, id }) = found else { return Ok(false) };
        let name = hook.program_for(mode);
        if !self.is_loaded() || !self.xdp_pin(hook, ifindex).exists() || !self.program_pin(name).exists() {
            return Ok(false);
        }
        Ok(self.xdp_program(name)?.info().doing("look at", name)?.id() == id)
    }
}

impl Dataplane {
    pub(crate) fn xdp_program(&self, name: &str) -> Result<Xdp> {
        self.xdp_program_in(PROGRAMS, name)
    }

    /// The program pinned as `name` in `dir`.
    pub(crate) fn xdp_program_in(&self, dir: &str, name: &str) -> Result<Xdp> {
        let pin = self.dir.join(dir).join(name);
        Xdp::from_pin(pin, XdpAttachType::Interface).doing("open", format!("program {name}"))
    }

    fn xdp_targets(&self) -> Result<DevMapHash<MapData>> {
        DevMapHash::try_from(self.map(maps::XDP_TARGETS)?).doing("open", maps::XDP_TARGETS)
    }

    pub(crate) fn xdp_pin(&self, hook: XdpHook, ifindex: u32) -> PathBuf {
        self.links().join(format!("{}-{ifindex}", hook.program()))
    }
}
