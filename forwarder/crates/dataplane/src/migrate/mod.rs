//! `reload` and its rollback where the other version lays its maps out otherwise: maps of the same layout are shared, with whatever is in
//! them, records of another are written anew, and links go over to the other version's programs one by one, under traffic.
//!
//! Each version has its own maps and programs throughout. The links lie in one directory, which is renamed: whose it is says which version
//! is at work. The former version stays as it was, but for its links, below the directory of the one that took over.

mod bring_back;
mod elements;
mod moves;
pub(crate) mod schema;
mod take_over;

use std::fs;

use forwarder_common::abi::Config;

use self::{
    elements::{Element, Elements},
    moves::{Fate, Moves, converted},
    schema::Schema,
};
use crate::{
    Dataplane, Hook, RunDir,
    host::{bpffs, version},
    load::{
        MAPS, PROGRAMS,
        create::{remove_dir, unpin},
    },
    object::maps,
};
use fwd_base::{Context as _, Error, Kind, Result};

/// The former version, below the one that took over: in it its directory, under its own name.
const FORMER_VERSION: &str = "former";

/// Elements of maps, by the names of those, as the version that takes over has them.
type Records = Vec<(String, Vec<Element>)>;

fn refuse(kind: Kind, what: &str, why: impl Into<String>) -> Error {
    Error::new(kind, "replace the programs of", what, why)
}

impl Dataplane {
    fn version(run_dir: &RunDir, cookie: u64, name: &str) -> Self {
        Self { dir: run_dir.host(cookie).join(name), held: None }
    }

    /// The former version, with its name; none if the programs of this layout were not put in another's place.
    pub(crate) fn former_version(&self) -> Option<(String, Self)> {
        let entry = fs::read_dir(self.dir.join(FORMER_VERSION)).ok()?.flatten().next()?;
        Some((entry.file_name().into_string().ok()?, Self { dir: entry.path(), held: None }))
    }

    /// The build of the programs of the former version.
    pub(crate) fn former_build(&self) -> Option<u64> {
        let (_, former) = self.former_version()?;
        let schema = Schema::pinned(&former.dir)?;
        Some(former.settings(&schema).ok()?.object)
    }

    pub(crate) fn forget_former_version(&self) -> Result<()> {
        version::remove(&self.dir.join(FORMER_VERSION))
    }

    /// Unpins everything of the host namespace with `cookie`, with filters whose notes a killed change of versions has left below the
    /// former one; the last one takes the bpffs with it. Does nothing if there is nothing.
    ///
    /// # Errors
    /// A pin or the mount cannot be removed.
    pub fn destroy(run_dir: &RunDir, cookie: u64) -> Result<()> {
        let own = Self { dir: run_dir.of(cookie), held: None };
        own.forget_former_version()?;
        unpin(&own.dir)?;
        bpffs::release(run_dir, cookie)
    }

    /// Where nothing is pinned any more, removes what a command that was killed on its way out has left: an empty directory, the bpffs.
    ///
    /// # Errors
    /// The mount cannot be removed.
    pub fn tidy(run_dir: &RunDir, cookie: u64) -> Result<()> {
        bpffs::release(run_dir, cookie)
    }

    /// The settings of a version that is laid out so, as this one has them.
    fn settings(&self, schema: &Schema) -> Result<Config> {
        let own = Schema::own();
        let name = maps::CONFIG.as_str();
        let elements = self.converted(schema, &own, name)?;
        let (_, bytes) = elements.first().ok_or_else(|| refuse(Kind::Failed, name, "it is empty"))?;
        Config::of_bytes(bytes).ok_or_else(|| refuse(Kind::Failed, name, "it is of another size"))
    }

    /// The elements of one map of a version that is laid out as `from` says, as `to` has them.
    ///
    /// # Errors
    /// What cannot be said in the other layout.
    fn converted(&self, from: &Schema, to: &Schema, name: &str) -> Result<Vec<Element>> {
        let of = |schema: &Schema| schema.maps.iter().find(|map| map.name == name).cloned();
        let (Some(from), Some(to)) = (of(from), of(to)) else { return Ok(Vec::new()) };
        let found = Elements::open(&self.dir.join(MAPS).join(name))?;
        let written = |(key, value): Element| {
            converted(&from, &to, &key, &value).map_err(|field| {
                let why = format!("the other layout has nothing for {field}, which is set");
                refuse(Kind::Conflict, &format!("map {name}"), why)
                    .remedy("`fwd down --all`, and then `fwd up` again for each namespace")
            })
        };
        found.all()?.into_iter().map(written).collect()
    }

    /// The elements of all maps that are written anew.
    fn all_converted(&self, from: &Schema, to: &Schema, moves: &Moves) -> Result<Records> {
        let names =
            moves.fates.iter().filter(|(name, fate)| *fate == Fate::Convert && self.dir.join(MAPS).join(name).exists());
        names.map(|(name, _)| Ok((name.clone(), self.converted(from, to, name)?))).collect()
    }

    /// Refuses where records would be lost that the other version has no map for.
    fn refuse_dropped(&self, moves: &Moves) -> Result<()> {
        for name in &moves.dropped {
            let path = self.dir.join(MAPS).join(name);
            let is_set = |elements: Vec<Element>| elements.iter().any(|(_, value)| value.iter().any(|byte| *byte != 0));
            if path.exists() && is_set(Elements::open(&path)?.all()?) {
                let error = refuse(
                    Kind::Conflict,
                    &format!("map {name}"),
                    "the other version has no such map, and it has records",
                );
                return Err(error.remedy("`fwd down --all`, and then `fwd up` again for each namespace"));
            }
        }
        Ok(())
    }

    /// How many tuples of flows there are.
    fn tuples(&self) -> Result<usize> {
        let path = self.dir.join(MAPS).join(maps::FLOW_INDEX.as_str());
        if path.exists() { Ok(Elements::open(&path)?.all()?.len()) } else { Ok(0) }
    }

    /// Takes the links of another version, and puts these programs in their places; if that fails, gives them back.
    fn take_links(&self, other: &Self) -> Result<usize> {
        let (from, to) = (other.links(), self.links());
        remove_dir(&to)?;
        fs::rename(&from, &to).doing("rename", from.display().to_string())?;
        if !self.program_pin(Hook::FromNs.program()).exists() {
            // The kernel forwards: there are records alone.
            return Ok(0);
        }
        if let Err(mut error) = self.switch(PROGRAMS) {
            let back =
                fs::rename(&to, &from).doing("rename", to.display().to_string()).and_then(|()| other.switch(PROGRAMS));
            if let Err(second) = back {
                error.why.push_str(&format!("; then: {second}"));
            }
            return Err(error);
        }
        Ok(fs::read_dir(self.dir.join(PROGRAMS)).map_or(0, Iterator::count))
    }

    /// Puts right what an interrupted change of versions has left: either version is whole throughout, and at work is the one that gets the links.
    /// One that is not finished has begun to take over, whichever it is: the other one goes on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn settle_versions(run_dir: &RunDir, cookie: u64) -> Result<()> {
        let own = Self { dir: run_dir.of(cookie), held: None };
        for name in Self::other_versions(run_dir, cookie)? {
            let other = Self::version(run_dir, cookie, &name);
            match (own.is_ready(), other.is_ready(), own.links().exists(), other.links().exists()) {
                // It has taken over, but for the last step.
                (true, true, true, false) => own.keep_version(&other, &name)?,
                // It has begun to.
                (false, true, true, false) => drop(other.take_links(&own)?),
                // It has been brought back, but for the last step.
                (true, true, false, true) => remove_dir(&own.dir)?,
                // The other one has begun to take over from it.
                (true, false, false, true) => {
                    own.take_links(&other)?;
                    version::remove(&other.dir)?;
                }
                (true, false, true, false) => version::remove(&other.dir)?,
                _ => {}
            }
        }
        match own.former_version() {
            // It was about to be brought back.
            Some((_, former)) if own.is_ready() && !own.links().exists() && former.links().exists() => {
                own.take_links(&former).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Keeps a version whose links were taken, and nothing of what was there before it: one generation.
    fn keep_version(&self, other: &Self, name: &str) -> Result<()> {
        other.forget_former()?;
        self.forget_former_version()?;
        let dir = self.dir.join(FORMER_VERSION);
        fs::create_dir_all(&dir).doing("create", dir.display().to_string())?;
        fs::rename(&other.dir, dir.join(name)).doing("rename", other.dir.display().to_string())
    }
}
