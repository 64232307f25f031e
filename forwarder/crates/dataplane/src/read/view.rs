//! The data path as a reader sees it. He takes no lock: whatever comes and goes meanwhile, what he has opened he can read to the end.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya::{
    maps::{MapData, MapError},
    programs::{ProgramError, SchedClassifier},
};

use crate::{
    Dataplane, RunDir,
    object::{
        maps::{self, MapName},
        programs::READ_CLOCK as CLOCK,
    },
};
use fwd_base::{Context as _, Error, Kind, Result};

/// How often a reader begins anew because something went away under him. A command takes longer than a look.
const ATTEMPTS: usize = 1000;

/// What a reader has opened.
#[derive(Debug)]
pub(crate) struct Held {
    maps: BTreeMap<MapName, OwnedFd>,
    /// Present where programs and flow table are.
    clock: Option<SchedClassifier>,
}

impl Held {
    pub(crate) fn is_loaded(&self) -> bool {
        self.clock.is_some()
    }

    /// The map pinned as `name`.
    pub(crate) fn map(&self, name: MapName) -> Result<MapData> {
        let missing = || Error::new(Kind::NotFound, "open", name, "it was not loaded");
        let fd = self.maps.get(&name).ok_or_else(missing)?;
        let fd = fd.try_clone().doing("open", name)?;
        MapData::from_fd(fd).doing("open", name)
    }

    /// Whether the map pinned as `name` was there.
    pub(crate) fn has(&self, name: MapName) -> bool {
        self.maps.contains_key(&name)
    }

    /// The program pinned as `name`, if it is one that readers run.
    pub(crate) fn program(&self, name: &str) -> Option<&SchedClassifier> {
        self.clock.as_ref().filter(|_| name == CLOCK)
    }
}

impl Dataplane {
    /// The data path of the host namespace with `cookie`, to be read without the lock; none if nothing is up.
    ///
    /// # Errors
    /// A pin cannot be opened for another reason than that it has gone.
    pub fn view(run_dir: &RunDir, cookie: u64) -> Result<Option<Self>> {
        for _ in 0..ATTEMPTS {
            let Some(mut dataplane) = Self::open(run_dir, cookie)? else { return Ok(None) };
            if let Some(held) = dataplane.hold()? {
                dataplane.held = Some(held);
                return Ok(Some(dataplane));
            }
        }
        let why = "it changed each time while it was read";
        Err(Error::new(Kind::Failed, "read", format!("data path in {}", run_dir.of(cookie).display()), why)
            .remedy("try again"))
    }

    /// Opens everything; none if some of it has gone meanwhile.
    fn hold(&self) -> Result<Option<Held>> {
        let loaded = self.is_loaded();
        let flow_maps = maps::of_programs().filter(|_| loaded);
        let is_optional = |name| maps::of_ipv6().any(|it| it == name);
        let mut maps = BTreeMap::new();
        for name in maps::records().map(|map| map.name).chain(flow_maps) {
            let map = match MapData::from_pin(self.map_pin(name)) {
                Err(error) if is_absence(&error) && is_optional(name) => continue,
                Err(error) if is_absence(&error) => return Ok(None),
                map => map.doing("open", name)?,
            };
            let fd = map.fd().as_fd().try_clone_to_owned().doing("open", name)?;
            maps.insert(name, fd);
        }
        let clock = match loaded.then(|| SchedClassifier::from_pin(self.program_pin(CLOCK))).transpose() {
            Err(ProgramError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            clock => clock.doing("open", format!("program {CLOCK}"))?,
        };
        // What was made anew meanwhile is another data path, of which only a part was opened.
        Ok((self.is_ready() && self.is_loaded() == loaded).then_some(Held { maps, clock }))
    }
}

fn is_absence(error: &MapError) -> bool {
    matches!(error, MapError::SyscallError(error) if error.io_error.kind() == io::ErrorKind::NotFound)
}
