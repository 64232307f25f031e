//! The data path seen from userspace: loads the programs, pins them with their maps, attaches them, and reads and writes the
//! records. The only place that knows aya.
//!
//! Everything follows the calling thread's network namespace, which is the host's (see `--host-netns`).

mod attach;
mod bpffs;
mod clock;
mod flows;
mod load;
mod lock;
mod occupancy;
mod probe;
mod records;
mod rundir;
mod slots;
mod standstill;
mod stats;
mod stores;
mod testrun;

pub use attach::{Backend, Hook};
pub use clock::{Clock, hz_of};
pub use flows::Flow;
pub use load::Sizes;
pub use lock::Lock;
pub use occupancy::{Occupancy, PortUse, Usage};
pub use probe::probe;
pub use records::{address, name, name_of};
pub use rundir::RunDir;
pub use standstill::{Nothing, ProgramSize, Way};
pub use stats::{Stat, Traffic};
pub use stores::{StoreFigure, measure as measure_stores};
pub use testrun::{TestRun, instructions};

use std::path::PathBuf;

use crate::Result;

/// The data path of one host namespace: maps and programs that are pinned.
#[derive(Debug)]
pub struct Dataplane {
    /// `RUNDIR/bpf/<cookie>`.
    dir: PathBuf,
}

impl Dataplane {
    /// The data path of the host namespace with `cookie`, if it was created (in full).
    ///
    /// # Errors
    /// The pins cannot be read, or are of another version.
    pub fn open(run_dir: &RunDir, cookie: u64) -> Result<Option<Self>> {
        let dataplane = Self { dir: run_dir.of(cookie) };
        // Written last by `create`.
        if !dataplane.dir.join(load::READY).exists() {
            return Ok(None);
        }
        dataplane.check_version()?;
        Ok(Some(dataplane))
    }

    /// Loads and pins programs and maps; does nothing if they are there. What an interrupted run left is replaced.
    ///
    /// # Errors
    /// No bpffs can be mounted for good ([`crate::Kind::Unsupported`]), or the kernel refuses a map or a program.
    pub fn create(run_dir: &RunDir, cookie: u64, sizes: &Sizes) -> Result<Self> {
        if let Some(dataplane) = Self::open(run_dir, cookie)? {
            return Ok(dataplane);
        }
        bpffs::ensure(run_dir)?;
        let dataplane = Self { dir: run_dir.of(cookie) };
        dataplane.load(sizes)?;
        Ok(dataplane)
    }

    /// Unpins everything of the host namespace with `cookie`; the last one takes the bpffs with it. Does nothing if there is
    /// nothing.
    ///
    /// # Errors
    /// A pin or the mount cannot be removed.
    pub fn destroy(run_dir: &RunDir, cookie: u64) -> Result<()> {
        load::unpin(&run_dir.of(cookie))?;
        bpffs::release(run_dir)
    }
}
