//! Which interfaces are still the ones that they were when they were recorded.
//!
//! A number is given to another interface once its own has gone. The kernel takes an interface out of a map of devices (`DEVMAP_HASH`)
//! in the moment in which it is deleted or moved to another namespace: what is in the map is the very interface that was put there.
//! So is `lo` of the host, which lives as long as the host's namespace: it tells whether a host is gone, of all its namespaces the
//! one that cannot be looked for in any other way when nothing but an open file holds it.

use std::collections::BTreeSet;

use aya::maps::{MapData, MapError, xdp::DevMapHash};

use crate::{Dataplane, object::maps::DEVICES};
use fwd_base::{Context as _, Result};

/// `lo`, in every namespace.
pub(crate) const LOOPBACK: u32 = 1;

impl Dataplane {
    fn devices_map(&self) -> Result<DevMapHash<MapData>> {
        DevMapHash::try_from(self.map(DEVICES)?).doing("open", DEVICES)
    }

    /// Interfaces that are still the ones that were noted under their numbers.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn devices(&self) -> Result<BTreeSet<u32>> {
        self.devices_map()?.keys().collect::<Result<_, _>>().doing("read", DEVICES)
    }

    /// Whether `ifindex` is still the interface that was noted.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn is_same_device(&self, ifindex: u32) -> Result<bool> {
        is_there(&self.devices_map()?, ifindex)
    }

    /// Notes an interface of the calling thread's namespace as the one that a record is about.
    ///
    /// # Errors
    /// There is none with this number.
    pub fn note_device(&self, ifindex: u32) -> Result<()> {
        self.devices_map()?.insert(ifindex, ifindex, None, 0).doing("note", format!("interface {ifindex}"))
    }

    /// Forgets an interface, which may have gone.
    pub(crate) fn forget_device(&self, ifindex: u32) -> Result<()> {
        match self.devices_map()?.remove(ifindex) {
            Err(error) if is_absence(&error) => Ok(()),
            result => result.doing("forget", format!("interface {ifindex}")),
        }
    }
}

/// Whether an interface is in the map.
pub(crate) fn is_there(map: &DevMapHash<MapData>, ifindex: u32) -> Result<bool> {
    match map.get(ifindex, 0) {
        Ok(_) => Ok(true),
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(error).doing("read", DEVICES),
    }
}

fn is_absence(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}
