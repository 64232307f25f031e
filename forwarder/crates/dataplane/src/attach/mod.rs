//! Attaches programs: by TCX links, which are pinned, or, where the kernel has no TCX, by filters of clsact; and by links of netkit pairs.

pub(crate) mod attached;
pub(crate) mod cgroup;
pub(crate) mod filter;
pub(crate) mod hook;
pub(crate) mod netkit;
pub(crate) mod order;
pub(crate) mod orphans;
pub(crate) mod replace;
pub(crate) mod xdp;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
};

use aya::programs::{
    SchedClassifier, TcAttach,
    links::{FdLink, PinnedLink},
};

use crate::{
    Backend, Dataplane, Hook, XdpHook,
    attach::hook::{TcxOrder, UPLINK, UPLINK_L3},
    load::{NEW_PROGRAMS, PROGRAMS},
    object::programs::{self, Role},
};
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_kernel::netlink::Netlink;

impl Dataplane {
    /// Attaches to an uplink, whose packets have an Ethernet header or none, before or behind what others have there at TCX: what leaves is guarded
    /// before anything comes in.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_uplink(&self, ifindex: u32, has_header: bool, order: TcxOrder) -> Result<()> {
        if !has_header {
            self.load_missing(&programs::of(Role::L3Uplink).collect::<Vec<_>>())?;
        }
        let hooks = if has_header { UPLINK } else { UPLINK_L3 };
        hooks.into_iter().try_for_each(|hook| self.attach(hook, ifindex, order))
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

    /// Detaches from an uplink, the guard last.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach_uplink(&self, ifindex: u32) -> Result<()> {
        self.discard_moved(ifindex)?;
        let hooks = UPLINK.into_iter().chain(UPLINK_L3).rev();
        hooks.into_iter().try_for_each(|hook| self.detach(hook, ifindex))
    }

    /// Attaches to the bridge of a network: the kernel sends nothing into it that is not meant for it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_network(&self, bridge: u32) -> Result<()> {
        self.attach(Hook::ToNetwork, bridge, TcxOrder::First)
    }

    /// Detaches from the bridge of a network.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach_network(&self, bridge: u32) -> Result<()> {
        self.detach(Hook::ToNetwork, bridge)
    }

    /// Attaches to the host-side veth of an endpoint; does nothing if the program is attached, by whatever backend.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_endpoint(&self, ifindex: u32, backend: Backend) -> Result<()> {
        if self.is_attached(Hook::FromNs, ifindex)? {
            return Ok(());
        }
        self.attach_by(backend, Hook::FromNs, ifindex)
    }

    /// Whether the program is attached to the host-side veth of an endpoint by `backend`.
    ///
    /// # Errors
    /// As [`is_attached`](Self::is_attached).
    pub fn is_endpoint_attached(&self, backend: Backend, ifindex: u32) -> Result<bool> {
        self.is_attached_by(backend, ifindex, Hook::FromNs, ifindex)
    }

    /// Attaches to the host-side veth of an endpoint by `backend` as well, if it is not yet. While the program is attached by both, the
    /// first of them translates and redirects; only what it leaves to the kernel is looked at, and counted, twice.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_endpoint_too(&self, ifindex: u32, backend: Backend) -> Result<()> {
        if self.is_attached_by(backend, ifindex, Hook::FromNs, ifindex)? {
            return Ok(());
        }
        self.attach_by(backend, Hook::FromNs, ifindex)
    }

    /// Detaches from the host-side veth of an endpoint what is attached by other backends than `kept`.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach_endpoint_but(&self, ifindex: u32, kept: Backend) -> Result<()> {
        match kept {
            Backend::Tcx => self.detach_filter(Hook::FromNs, ifindex),
            Backend::Clsact => discard(&self.pin_of(Hook::FromNs, ifindex)),
            // A pair has no other.
            Backend::Netkit => Ok(()),
        }
    }

    /// Detaches from the host-side veth of an endpoint.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach_endpoint(&self, ifindex: u32) -> Result<()> {
        self.detach(Hook::FromNs, ifindex)?;
        discard(&self.netkit_pin(ifindex))
    }

    /// Whether the program of `hook` is attached to `ifindex`: a link that is pinned but whose interface is gone is not.
    ///
    /// # Errors
    /// The pin or the kernel's list cannot be read.
    pub fn is_attached(&self, hook: Hook, ifindex: u32) -> Result<bool> {
        self.is_attached_for(ifindex, hook, ifindex)
    }

    /// As [`is_attached`](Self::is_attached), for the endpoint with the host-side veth `owner`, by which the link is pinned.
    fn is_attached_for(&self, owner: u32, hook: Hook, ifindex: u32) -> Result<bool> {
        for backend in Backend::ALL {
            if self.is_attached_by(backend, owner, hook, ifindex)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_attached_by(&self, backend: Backend, owner: u32, hook: Hook, ifindex: u32) -> Result<bool> {
        let pin = match backend {
            Backend::Tcx => self.pin_of(hook, owner),
            Backend::Clsact => self.note_of(hook, owner),
            Backend::Netkit if hook == Hook::FromNs => self.netkit_pin(owner),
            Backend::Netkit => return Ok(false),
        };
        if !pin.exists() || !self.is_loaded() {
            return Ok(false);
        }
        match backend {
            Backend::Tcx => Ok(self.is_linked(owner, hook, ifindex)),
            Backend::Netkit => Ok(self.is_netkit_linked(ifindex)),
            Backend::Clsact => filter::is_there(&Netlink::here()?, hook, ifindex, &self.numbers_of(hook)),
        }
    }

    /// Of endpoints whose programs are noted as attached by `backend`, those whose programs are; by the ifindexes of their host-side veths.
    ///
    /// # Errors
    /// The kernel's list cannot be read.
    pub fn attached_endpoints(&self, backend: Backend, noted: &BTreeSet<u32>) -> Result<BTreeSet<u32>> {
        if noted.is_empty() || !self.is_loaded() {
            return Ok(BTreeSet::new());
        }
        // Of a thousand, each is one look.
        let (hook, netlink, programs) = (Hook::FromNs, Netlink::here()?, self.numbers_of(Hook::FromNs));
        let mut attached = BTreeSet::new();
        for &index in noted {
            let is_attached = match backend {
                Backend::Tcx => self.is_linked(index, hook, index),
                Backend::Netkit => self.is_netkit_linked(index),
                Backend::Clsact => filter::is_there(&netlink, hook, index, &programs)?,
            };
            attached.extend(is_attached.then_some(index));
        }
        Ok(attached)
    }

    /// Whether the program of the link that is pinned for `owner` is at an interface: a `reload` that was interrupted has replaced it at some
    /// and not at others.
    fn is_linked(&self, owner: u32, hook: Hook, ifindex: u32) -> bool {
        let id = program_of(&self.pin_of(hook, owner));
        // What cannot be asked is no interface any more.
        let programs = || SchedClassifier::query_tcx(ifindex, hook.attach_type()).map_or(Vec::new(), |found| found.1);
        id.is_some_and(|id| programs().iter().any(|program| program.id() == id))
    }

    /// The numbers of the programs that a filter of ours may run: one, or two while they are replaced.
    fn numbers_of(&self, hook: Hook) -> Vec<u32> {
        let ids =
            [PROGRAMS, NEW_PROGRAMS].map(|dir| Some(self.program_in(dir, hook.program()).ok()?.info().ok()?.id()));
        ids.into_iter().flatten().collect()
    }

    /// Attaches with the backend of this kernel; does nothing if the program is attached.
    fn attach(&self, hook: Hook, ifindex: u32, order: TcxOrder) -> Result<()> {
        if self.is_attached(hook, ifindex)? {
            return Ok(());
        }
        self.attach_for(ifindex, Backend::of_kernel()?, hook, ifindex, order)
    }

    /// Attaches with a backend of the caller's choice.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_by(&self, backend: Backend, hook: Hook, ifindex: u32) -> Result<()> {
        self.attach_for(ifindex, backend, hook, ifindex, TcxOrder::First)
    }

    /// As [`attach_by`](Self::attach_by), pinned for the endpoint with the host-side veth `owner`.
    fn attach_for(&self, owner: u32, backend: Backend, hook: Hook, ifindex: u32, order: TcxOrder) -> Result<()> {
        let doing = format!("attach program {} to", hook.program());
        let object = || format!("interface {ifindex}");
        let mut program = self.program(hook.program())?;
        match backend {
            Backend::Tcx => {
                let pin = self.pin_of(hook, owner);
                // A link of an interface that is gone, or of a run that was interrupted.
                discard(&pin)?;
                let attach = TcAttach::Tcx { attach_type: hook.attach_type(), order: order.link_order() };
                let id = program.attach(ifindex, attach).doing(&*doing, object())?;
                let link: FdLink =
                    program.take_link(id).doing(&*doing, object())?.try_into().doing(&*doing, object())?;
                link.pin(&pin).doing("pin", format!("link of {} to interface {ifindex}", hook.program()))?;
            }
            Backend::Clsact => self.attach_filter(owner, hook, &mut program, ifindex)?,
            Backend::Netkit => self.attach_netkit(ifindex)?,
        }
        Ok(())
    }

    /// Detaches, by whatever it is attached; does nothing if the program is not attached.
    fn detach(&self, hook: Hook, ifindex: u32) -> Result<()> {
        self.detach_filter(hook, ifindex)?;
        discard(&self.pin_of(hook, ifindex))
    }

    pub(crate) fn pin_of(&self, hook: Hook, ifindex: u32) -> PathBuf {
        self.links().join(format!("{}-{ifindex}", hook.program()))
    }

    /// What is noted as attached: all pins, read at once.
    ///
    /// # Errors
    /// The pins cannot be listed.
    pub fn pinned_hooks(&self) -> Result<PinnedHooks> {
        let dir = self.links();
        let entries = match fs::read_dir(&dir) {
            // It went with the last network, while a reader looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PinnedHooks::default()),
            entries => entries.doing("list", dir.display().to_string())?,
        };
        let mut noted: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let parts = name.to_str().and_then(|name| name.rsplit_once('-'));
            if let Some((program, index)) = parts.and_then(|(program, index)| Some((program, index.parse().ok()?))) {
                noted.entry(program.into()).or_default().insert(index);
            }
        }
        Ok(PinnedHooks(noted))
    }
}

/// Which interfaces and cgroups have which programs, by the pins. Whether they have them says the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinnedHooks(BTreeMap<String, BTreeSet<u64>>);

impl PinnedHooks {
    pub(crate) fn pins(&self, program: &str) -> BTreeSet<u32> {
        self.cgroups(program).filter_map(|index| index.try_into().ok()).collect()
    }

    /// The names of the programs that are attached somewhere, by links or by filters.
    pub(crate) fn programs(&self) -> BTreeSet<String> {
        self.0.keys().map(|name| name.strip_prefix(filter::NOTE).unwrap_or(name).to_owned()).collect()
    }

    /// The numbers of the cgroups that have a program for processes.
    fn cgroups(&self, program: &str) -> impl Iterator<Item = u64> {
        self.0.get(program).into_iter().flatten().copied()
    }

    fn of(&self, hooks: impl IntoIterator<Item = Hook>) -> BTreeSet<u32> {
        let pins = hooks.into_iter().map(|hook| (self.pins(hook.program()), self.pins(&filter::note(hook))));
        pins.flat_map(|(links, filters)| links.into_iter().chain(filters)).collect()
    }

    /// The uplinks.
    #[must_use]
    pub fn uplinks(&self) -> BTreeSet<u32> {
        self.of(UPLINK.into_iter().chain(UPLINK_L3))
    }

    /// The bridges of networks.
    #[must_use]
    pub fn networks(&self) -> BTreeSet<u32> {
        self.of([Hook::ToNetwork])
    }

    /// The host-side veths of endpoints, by how they are attached.
    #[must_use]
    pub fn endpoints(&self, backend: Backend) -> BTreeSet<u32> {
        match backend {
            Backend::Tcx => self.pins(Hook::FromNs.program()),
            Backend::Clsact => self.pins(&filter::note(Hook::FromNs)),
            Backend::Netkit => self.pins(programs::FROM_NETKIT),
        }
    }

    /// The interfaces with this XDP program.
    #[must_use]
    pub fn xdp(&self, hook: XdpHook) -> BTreeSet<u32> {
        self.pins(hook.program())
    }
}

/// The number of the program of a pinned link.
pub(crate) fn program_of(pin: &std::path::Path) -> Option<u32> {
    PinnedLink::from_pin(pin).map(FdLink::from).ok()?.info().ok().map(|link| link.program_id())
}

/// Unpins a link, which detaches its program.
pub(crate) fn discard(pin: &std::path::Path) -> Result<()> {
    let result = match PinnedLink::from_pin(pin) {
        Ok(link) => link.unpin().map(drop),
        // Not there, or not a link: either way a file to remove.
        Err(_) => fs::remove_file(pin),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            Err(Error::new(Kind::Failed, "unpin", pin.display().to_string(), error.to_string()).caused_by(error))
        }
        Ok(()) => Ok(()),
    }
}
