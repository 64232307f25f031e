//! Where the host forwards for others than namespaces: where it did so before, or everywhere since somebody has made a router of it.

use crate::execute::undo::UndoLog;
use fwd_base::Result;
use fwd_kernel::sysctl;
use fwd_plan::{ALL_FORWARDING, Undo, refuses_transit};

/// What tells it.
pub(in crate::execute) struct Transit {
    /// The sysctls that were changed.
    changed: Vec<Undo>,
    /// What [`ALL_FORWARDING`] says now.
    all: Option<String>,
}

impl Transit {
    /// Reads it.
    ///
    /// # Errors
    /// The undo log or a sysctl cannot be read.
    pub(in crate::execute) fn read(log: &UndoLog) -> Result<Self> {
        let changed = log.read(|key| key.starts_with("sysctl-"))?;
        Ok(Self { changed, all: sysctl::read(ALL_FORWARDING)? })
    }

    /// Whether the host forwards for anybody what arrives by the interface with this number.
    pub(in crate::execute) fn is_allowed(&self, ifindex: u32) -> bool {
        !refuses_transit(&self.changed, ifindex, self.all.as_deref())
    }
}
