//! Programs attached as filters of a clsact queueing discipline: on kernels without TCX, and where `--attach clsact` asks for it.
//!
//! A filter lives on without its maker. A directory in place of a pinned link notes it, made first, so that what an interrupted run
//! left is found; whether the filter is there says the kernel. A directory inside says that the queueing discipline came with it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::programs::{
    SchedClassifier, TcAttach, TcAttachType,
    links::Link as _,
    tc::{self, NlOptions, SchedClassifierLink, TcHandle},
};

use crate::{Dataplane, Hook};
use fwd_base::{Context as _, Kind, Result};
use fwd_kernel::netlink::{Filter, Netlink, TcDirection};

/// Place of our filters among others at clsact: few others use it.
pub const PRIORITY: u16 = 0x6677;
/// Their number: few others use it.
const HANDLE: u32 = 0x64;
/// Notes that the queueing discipline is ours.
const QDISC: &str = "qdisc";
/// What the names of notes begin with.
pub(crate) const NOTE: &str = "clsact-";

/// What the notes of a hook's filters are called, before the number.
pub(crate) fn note(hook: Hook) -> String {
    format!("{NOTE}{}", hook.program())
}

fn direction(hook: Hook) -> TcDirection {
    direction_of(hook.attach_type())
}

fn direction_of(attach_type: TcAttachType) -> TcDirection {
    match attach_type {
        TcAttachType::Ingress => TcDirection::Ingress,
        TcAttachType::Egress => TcDirection::Egress,
    }
}

/// Whether our filter of `hook` is at an interface and runs a program with one of these numbers.
///
/// # Errors
/// The kernel does not list the filters.
pub(crate) fn is_there(netlink: &Netlink, hook: Hook, ifindex: u32, programs: &[u32]) -> Result<bool> {
    let filters = netlink.filters(ifindex, direction(hook))?;
    Ok(filters.iter().any(|filter| is_ours(filter) && filter.program.is_some_and(|id| programs.contains(&id))))
}

fn is_ours(filter: &Filter) -> bool {
    (filter.priority, filter.handle) == (PRIORITY, HANDLE)
}

impl Dataplane {
    pub(crate) fn note_of(&self, hook: Hook, ifindex: u32) -> PathBuf {
        self.links().join(format!("{}-{ifindex}", note(hook)))
    }

    /// Attaches `program`, noted for the endpoint with the host-side veth `owner`. What an interrupted run left is replaced.
    pub(crate) fn attach_filter(
        &self,
        owner: u32,
        hook: Hook,
        program: &mut SchedClassifier,
        ifindex: u32,
    ) -> Result<()> {
        let object = || format!("interface {ifindex}");
        self.detach_filter(hook, owner)?;
        let note = self.note_of(hook, owner);
        fs::create_dir(&note).doing("note", format!("filter {} at interface {ifindex}", hook.program()))?;
        match tc::qdisc_add_clsact(ifindex) {
            Ok(()) => fs::create_dir(note.join(QDISC)).doing("note", format!("clsact at interface {ifindex}"))?,
            Err(error) if exists(&error) => {}
            Err(error) => return Err(error).doing("add a clsact qdisc to", object()),
        }
        let options = NlOptions { priority: PRIORITY, handle: TcHandle::from(HANDLE), classid: None };
        let attach = TcAttach::Netlink { parent: hook.attach_type().into(), options };
        let doing = format!("attach program {} to", hook.program());
        let id = program.attach(ifindex, attach).doing(&*doing, object())?;
        let link = program.take_link(id).doing(&*doing, object())?;
        // The filter lives on without us.
        std::mem::forget(link);
        Ok(())
    }

    /// Replaces the program of a filter; does nothing where it is not there any more.
    pub(crate) fn replace_filter(&self, hook: Hook, program: &mut SchedClassifier, ifindex: u32) -> Result<()> {
        let object = || format!("program {} at interface {ifindex}", hook.program());
        if !Netlink::here()?.filters(ifindex, direction(hook))?.iter().any(is_ours) {
            return Ok(());
        }
        let id = program.attach_to_link(attached(ifindex, hook.attach_type()).doing("replace", object())?);
        let link = program.take_link(id.doing("replace", object())?).doing("replace", object())?;
        // As above.
        std::mem::forget(link);
        Ok(())
    }

    /// Detaches; does nothing if no filter is noted. The queueing discipline goes with the last filter, if it came with ours.
    pub(crate) fn detach_filter(&self, hook: Hook, ifindex: u32) -> Result<()> {
        let note = self.note_of(hook, ifindex);
        if !note.exists() {
            return Ok(());
        }
        let netlink = Netlink::here()?;
        detach(&netlink, hook.attach_type(), ifindex)?;
        release_qdisc(&netlink, ifindex, &note)?;
        remove(&note)
    }
}

/// Detaches our filters from both sides of an interface, and its queueing discipline if that came with the one of this note.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn detach_everywhere(ifindex: u32, note: &Path) -> Result<()> {
    let netlink = Netlink::here()?;
    for attach_type in [TcAttachType::Ingress, TcAttachType::Egress] {
        detach(&netlink, attach_type, ifindex)?;
    }
    release_qdisc(&netlink, ifindex, note)
}

fn detach(netlink: &Netlink, attach_type: TcAttachType, ifindex: u32) -> Result<()> {
    if netlink.filters(ifindex, direction_of(attach_type))?.iter().any(is_ours) {
        let object = || format!("interface {ifindex}");
        attached(ifindex, attach_type).doing("detach from", object())?.detach().doing("detach from", object())?;
    }
    Ok(())
}

fn attached(ifindex: u32, attach_type: TcAttachType) -> Result<SchedClassifierLink, io::Error> {
    SchedClassifierLink::attached(ifindex, attach_type.into(), PRIORITY, TcHandle::from(HANDLE), None)
}

/// The queueing discipline goes with the last filter, if it came with ours.
fn release_qdisc(netlink: &Netlink, ifindex: u32, note: &Path) -> Result<()> {
    let qdisc = note.join(QDISC);
    if !qdisc.exists() {
        return Ok(());
    }
    let is_free = |direction| netlink.filters(ifindex, direction).map(|filters| filters.is_empty());
    if is_free(TcDirection::Ingress)? && is_free(TcDirection::Egress)? {
        match netlink.delete_clsact(ifindex) {
            Err(error) if error.kind == Kind::NotFound => {}
            result => result?,
        }
    }
    remove(&qdisc)
}

fn remove(note: &Path) -> Result<()> {
    match fs::remove_dir(note) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.doing("remove", note.display().to_string()),
    }
}

/// Whether adding the qdisc failed because there is one: ours, or one of another program, which serves as well.
fn exists(error: &tc::TcError) -> bool {
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
