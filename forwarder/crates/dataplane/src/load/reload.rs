//! Replaces the programs of a running data path by those of this build, in place and under traffic: links are updated, filters
//! replaced, and the maps stay with every flow in them.

use std::{fs, path::Path};

use aya::{
    Ebpf,
    programs::links::{FdLink, PinnedLink},
};
use forwarder_common::abi::feature;

use crate::{
    Backend, Dataplane, Hook, TracedBy, XdpHook,
    attach::{
        filter,
        replace::{opened, updated},
    },
    load::{
        NEW_PROGRAMS, PROGRAMS,
        beside::Interrupted,
        former::{Former, pin_again},
    },
    object::{
        OBJECT_HASH, TRACED_HASH,
        programs::{self, Role},
    },
};
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_kernel::netlink::Netlink;

/// The programs that are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The kernel's tag of `from_ns`, a hash of its instructions.
    pub tag: u64,
    /// Which build they are of.
    pub object: u64,
    /// They are of this build, and not traced.
    pub current: bool,
    /// They are those that `fwd trace` loads.
    pub traced: Option<TracedBy>,
    /// The build of those that ran before the last reload, which a rollback brings back.
    pub former: Option<u64>,
}

impl Programs {
    /// What becomes of them when they are replaced: who goes back wants no traced ones.
    fn retired(self) -> Former {
        match self.traced {
            None => Former::Keep(self.object),
            Some(_) if [OBJECT_HASH, TRACED_HASH].contains(&self.object) => Former::Leave,
            Some(_) => Former::Forget,
        }
    }
}

/// What `reload` has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The programs that were there before.
    pub before: Programs,
    /// Those that are there now.
    pub after: Programs,
    /// How many were replaced; none if they were of this build already.
    pub replaced: usize,
}

impl Dataplane {
    /// Which programs are loaded, if any are.
    ///
    /// # Errors
    /// A pin cannot be read.
    pub fn programs(&self) -> Result<Option<Programs>> {
        if !self.is_loaded() {
            return Ok(None);
        }
        let object = self.config()?.object;
        // A reader may find that it has gone by now.
        let Ok(program) = self.program(Hook::FromNs.program()) else { return Ok(None) };
        let tag = program.info().doing("look at", Hook::FromNs.program())?.tag();
        let traced = self.traced_by();
        let current = object == OBJECT_HASH && traced.is_none();
        let tag = u64::from_be_bytes(tag.to_ne_bytes());
        Ok(Some(Programs { tag, object, current, traced, former: self.former() }))
    }

    /// Replaces the programs by those of this build; does nothing if they are. Nothing is touched before all of them are loaded.
    ///
    /// # Errors
    /// No programs are loaded, the maps do not fit the new ones, or the kernel refuses: then the former ones go on.
    pub fn reload(&self) -> Result<Reloaded> {
        let before = self.to_be_replaced()?;
        if before.current && self.interrupted().is_none() {
            return Ok(Reloaded { before, after: before, replaced: 0 });
        }
        let (_, replaced) = self.replace(OBJECT_HASH, before.retired(), || self.object_over_pins())?;
        self.replaced(before, replaced)
    }

    /// Brings the programs back that ran before the last reload, whichever build they are of; those that run now are kept in their turn.
    ///
    /// # Errors
    /// None are kept, they lack what has been attached since, or the kernel refuses: then the present ones go on.
    pub fn roll_back(&self) -> Result<Reloaded> {
        let before = self.to_be_replaced()?;
        let refuse = |kind, why: String| Error::new(kind, "bring back", "the former programs", why);
        let build = before.former.ok_or_else(|| {
            refuse(Kind::NotFound, "none are kept: there was no reload since these were loaded".into())
                .remedy("`reload` of another `fwd` puts its own in their place")
        })?;
        let from = self.former_dir(build);
        if let Some(name) = self.lacking(&from)? {
            return Err(refuse(Kind::Conflict, format!("{name} is not among them, and has been attached since"))
                .remedy("take down what needs it (`fwd down`), or keep these"));
        }
        let mut names = Vec::new();
        self.replace_by(build, before.retired(), |dir| {
            names = pin_again(&from, dir)?;
            Ok(((), names.clone()))
        })?;
        self.replaced(before, names.len())
    }

    /// The programs that run. Of a command that was to replace them, and was interrupted, the end is done that changes nothing any more.
    fn to_be_replaced(&self) -> Result<Programs> {
        let missing = || Error::new(Kind::NotFound, "replace", "the programs", "none are loaded");
        let before = self.programs()?.ok_or_else(|| missing().remedy("`fwd up --ns NAME` loads them"))?;
        let Some(Interrupted { builds: Some((from, _)) }) = self.interrupted().filter(|it| it.is_done(before.object))
        else {
            return Ok(before);
        };
        self.release(if self.kept().contains(&from) { Former::Keep(from) } else { Former::Leave }, before.object)?;
        self.close_beside()?;
        Ok(before)
    }

    fn replaced(&self, before: Programs, replaced: usize) -> Result<Reloaded> {
        self.forget_tracer()?;
        let after = self.programs()?.unwrap_or(before);
        Ok(Reloaded { before, after, replaced })
    }

    /// A program that something needs which is there, and that is not pinned in `dir`.
    pub(crate) fn lacking(&self, dir: &Path) -> Result<Option<String>> {
        let (hooks, features) = (self.pinned_hooks()?, self.config()?.features);
        // What is called, and not attached under its own name. Of what hooks go on to, which comes and goes as a whole, one shows that; links
        // of XDP are called after one program of two.
        let called = |role: Role| match role {
            Role::Ipv6 => usize::from(features & feature::IPV6 != 0),
            Role::Multicast => usize::from(features & feature::MULTICAST != 0),
            Role::Xdp if XdpHook::ALL.into_iter().any(|hook| !hooks.xdp(hook).is_empty()) => usize::MAX,
            Role::Hook | Role::Control | Role::L3Uplink | Role::Netkit | Role::Host | Role::Xdp => 0,
        };
        let called = Role::ALL.into_iter().flat_map(|role| programs::of(role).take(called(role)));
        let mut needed = hooks.programs().into_iter().chain(called.map(str::to_owned));
        Ok(needed.find(|name| self.program_pin(name).exists() && !dir.join(name).exists()))
    }

    /// Replaces the programs by those of the object that `open` gives, whose hash is `hash`: that object, and how many were replaced.
    pub(crate) fn replace(
        &self,
        hash: u64,
        former: Former,
        open: impl FnOnce() -> Result<Ebpf>,
    ) -> Result<(Ebpf, usize)> {
        let mut replaced = 0;
        let object = self.replace_by(hash, former, |_| {
            let (object, names) = self.load_beside(open)?;
            replaced = names.len();
            Ok((object, names))
        })?;
        Ok((object, replaced))
    }

    /// Replaces the programs by those of the build `hash` that `bring` pins in the directory that it is given; it returns their names.
    /// Nothing is touched before they are there, and those that run are kept before any of them is replaced.
    fn replace_by<T, N: AsRef<str>>(
        &self,
        hash: u64,
        former: Former,
        bring: impl FnOnce(&Path) -> Result<(T, Vec<N>)>,
    ) -> Result<T> {
        let (loaded, interrupted) = (self.config()?.object, self.interrupted().is_some());
        let dir = self.open_beside(loaded, hash)?;
        let result = bring(&dir).and_then(|(brought, names)| {
            self.retire(former)?;
            self.switch(NEW_PROGRAMS).map_err(|error| self.switched_back(error))?;
            Ok((brought, names))
        });
        let (brought, names) = match result {
            Ok(done) => done,
            // Some programs were another build's before this began, and are now.
            Err(error) if interrupted => return Err(error),
            Err(error) => {
                self.release(Former::Leave, loaded)?;
                self.close_beside()?;
                return Err(error);
            }
        };
        for name in names.iter().map(AsRef::as_ref) {
            let (new, old) = (dir.join(name), self.program_pin(name));
            fs::rename(&new, &old).doing("rename", new.display().to_string())?;
        }
        self.remove_programs_but(&names.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
        self.set_config(&forwarder_common::abi::Config { object: hash, ..self.config()? })?;
        self.release(former, hash)?;
        self.close_beside()?;
        Ok(brought)
    }

    /// Loads programs beside those that run.
    fn load_beside(&self, open: impl FnOnce() -> Result<Ebpf>) -> Result<(Ebpf, Vec<&'static str>)> {
        // Those that not every host needs are loaded where they are.
        let wanted = programs::further().filter(|name| self.program_pin(name).exists());
        let names: Vec<&str> = programs::always().chain(wanted).collect();
        let unfit = |mut error: Error| {
            if error.kind == Kind::Failed {
                error.kind = Kind::Conflict;
            }
            error.remedy("`fwd down --all`, and then `fwd up` again for each namespace")
        };
        let mut object = open().map_err(unfit)?;
        self.load_all(&mut object, &names, NEW_PROGRAMS)?;
        Ok((object, names))
    }

    /// Lets the former programs go on, after the new ones could not be put in all their places.
    fn switched_back(&self, mut error: Error) -> Error {
        if let Err(second) = self.switch(PROGRAMS) {
            error.why.push_str(&format!("; then: {second}"));
        }
        error
    }

    /// Puts the programs pinned in `dir` in the places of those that run. What the fast paths go on to comes first: each fast path
    /// goes on to either slow path, because both work on the same maps.
    pub(crate) fn switch(&self, dir: &str) -> Result<()> {
        self.connect_slow_paths(dir)?;
        let hooks = self.pinned_hooks()?;
        for hook in Hook::ALL {
            for ifindex in hooks.pins(hook.program()) {
                self.update_link(dir, hook, ifindex)?;
            }
            for ifindex in hooks.pins(&filter::note(hook)) {
                self.replace_filter(hook, &mut self.program_in(dir, hook.program())?, ifindex)?;
            }
        }
        for ifindex in hooks.endpoints(Backend::Netkit) {
            self.replace_netkit(dir, ifindex)?;
        }
        for hook in XdpHook::ALL {
            for ifindex in hooks.xdp(hook) {
                self.update_xdp_link(dir, hook, ifindex)?;
            }
        }
        self.switch_host(dir)?;
        self.start_expiry(dir)
    }

    fn update_link(&self, dir: &str, hook: Hook, ifindex: u32) -> Result<()> {
        let object = || format!("program {} at interface {ifindex}", hook.program());
        let Some(link) = opened(PinnedLink::from_pin(self.pin_of(hook, ifindex)), object)? else { return Ok(()) };
        let link = FdLink::from(link).try_into().doing("replace", object())?;
        updated(self.program_in(dir, hook.program())?.attach_to_link(link), object)
    }

    fn update_xdp_link(&self, dir: &str, hook: XdpHook, ifindex: u32) -> Result<()> {
        let object = || format!("program {} at interface {ifindex}", hook.program());
        // The link does not tell how the program is run, the interface does.
        let Some(found) = Netlink::here()?.link_by_index(ifindex)?.and_then(|link| link.xdp) else { return Ok(()) };
        let Some(link) = opened(PinnedLink::from_pin(self.xdp_pin(hook, ifindex)), object)? else { return Ok(()) };
        let link = FdLink::from(link).try_into().doing("replace", object())?;
        updated(self.xdp_program_in(dir, hook.program_for(found.mode))?.attach_to_link(link), object)
    }

    /// Removes the pins of programs that this build does not have.
    fn remove_programs_but(&self, names: &[&str]) -> Result<()> {
        let dir = self.dir.join(PROGRAMS);
        for entry in fs::read_dir(&dir).doing("list", dir.display().to_string())?.flatten() {
            if !names.iter().any(|name| entry.file_name() == *name) {
                fs::remove_file(entry.path()).doing("remove", entry.path().display().to_string())?;
            }
        }
        Ok(())
    }
}
