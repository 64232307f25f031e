//! The former version takes over again: what has been recorded since is written back into its maps.

use std::fs;

use super::{Dataplane, Schema, elements::Elements, refuse};
use crate::{
    Reloaded, RunDir,
    load::{MAPS, PROGRAMS, create::remove_dir},
    object::maps,
};
use fwd_base::{Context as _, Kind, Result};

/// Settings that say whose the programs are: each version keeps its own.
const OWN_SETTINGS: [&str; 2] = ["abi_version", "object"];

impl Dataplane {
    /// Brings the version back from which this one took over; none if it did not.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if anything would be lost, and the kernel's refusals: then nothing has changed.
    pub fn bring_back(&self, run_dir: &RunDir, cookie: u64) -> Result<Option<Reloaded>> {
        // What was kept since is of this layout, and of later.
        let Some((name, former)) = self.former_version().filter(|_| self.kept().is_empty()) else { return Ok(None) };
        let unread = || refuse(Kind::Failed, &format!("version {name}"), "how its records are laid out cannot be read");
        let (own, schema) = (Schema::own(), Schema::pinned(&former.dir).ok_or_else(unread)?);
        let moves = super::moves::moves(&own, &schema);
        let mut records = self.all_converted(&own, &schema, &moves)?;
        self.refuse_dropped(&moves)?;
        if let Some(program) = self.lacking(&former.dir.join(PROGRAMS))? {
            let why = format!("it has no program {program}, which has been attached since");
            return Err(refuse(Kind::Conflict, &format!("version {name}"), why)
                .remedy("take down what needs it (`fwd down`), or keep this version"));
        }
        let before = self.programs()?;
        let settings = former.settings(&schema)?;
        // What it has of its own, its settings say already.
        let config = maps::CONFIG.as_str();
        let declared = schema.maps.iter().find(|map| map.name == config);
        let present = Elements::open(&former.dir.join(MAPS).join(config))?.all()?;
        for (_, elements) in records.iter_mut().filter(|(name, _)| name == config) {
            for ((_, new), (_, old)) in elements.iter_mut().zip(&present) {
                for name in OWN_SETTINGS {
                    if let Some(map) = declared {
                        map.value.copy_field(name, old, new);
                    }
                }
            }
        }
        for (name, elements) in &records {
            Elements::open(&former.dir.join(MAPS).join(name))?.replace(elements)?;
        }
        let replaced = former.take_links(self)?;
        let place = run_dir.host(cookie).join(&name);
        fs::rename(&former.dir, &place).doing("rename", former.dir.display().to_string())?;
        let former = Self::version(run_dir, cookie, &name);
        remove_dir(&self.dir)?;
        let after = former.programs_as(&settings)?;
        Ok(Some(Reloaded { before: before.unwrap_or(after), after, replaced }))
    }
}
