//! This version takes over from another one, which has pinned how its maps are laid out.

use std::fs;

use forwarder_common::abi::{ABI_VERSION, Config, FlowAlloc, SLOT_NONE};

use super::{Dataplane, Fate, Moves, Records, Schema, elements::Elements, refuse};
use crate::{
    Hook, Programs, Reloaded, RunDir, Sizes, bpf,
    load::{
        MAPS, PROGRAMS,
        create::{LOADED, READY, remove_dir},
        refused,
    },
    object::{
        OBJECT_HASH, maps,
        programs::{self, Role},
    },
};
use fwd_base::{Context as _, Kind, Result};

impl Dataplane {
    /// Takes over what the version `name` has brought up at the host namespace with `cookie`. Flows go on where both lay them out in the same
    /// way; otherwise they end, if `end_flows` says so.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if anything would be lost, and the kernel's refusals: then nothing has changed.
    pub fn take_over(run_dir: &RunDir, cookie: u64, name: &str, end_flows: bool) -> Result<Reloaded> {
        let (former, own) = (Self::version(run_dir, cookie, name), Self { dir: run_dir.of(cookie), held: None });
        let (schema, present) = (comparable(&former, name)?, Schema::own());
        let moves = super::moves::moves(&schema, &present);
        let records = former.all_converted(&schema, &present, &moves)?;
        former.refuse_dropped(&moves)?;
        former.refuse_unknown_programs()?;
        let tuples = if moves.flows_end && !end_flows { former.tuples()? } else { 0 };
        if tuples > 0 {
            let why = format!("flows are laid out otherwise: {} would end", tuples.div_ceil(2));
            let remedy =
                "`fwd reload --end-flows` ends them, and conversations with them; endpoints, networks and ports stay";
            return Err(refuse(Kind::Conflict, &format!("version {name}"), why).remedy(remedy));
        }
        let settings = former.settings(&schema)?;
        let before = former.programs_as(&settings)?;
        remove_dir(&own.dir)?;
        let made = own.make_beside(&former, &settings, &moves, records).and_then(|()| own.take_links(&former));
        let replaced = match made {
            Ok(replaced) => replaced,
            Err(error) => {
                remove_dir(&own.dir)?;
                return Err(error);
            }
        };
        for mark in [LOADED, READY] {
            if mark == READY || former.dir.join(LOADED).exists() {
                fs::create_dir(own.dir.join(mark)).doing("finish", own.object())?;
            }
        }
        own.keep_version(&former, name)?;
        let after = own.programs()?.unwrap_or(before);
        Ok(Reloaded { before, after, replaced })
    }

    /// The programs of a version with these settings; their tag is zero where the kernel forwards.
    pub(super) fn programs_as(&self, settings: &Config) -> Result<Programs> {
        let name = Hook::FromNs.program();
        let tag =
            if self.program_pin(name).exists() { self.program(name)?.info().doing("look at", name)?.tag() } else { 0 };
        let tag = u64::from_be_bytes(tag.to_ne_bytes());
        Ok(Programs { tag, object: settings.object, current: false, traced: None, former: None })
    }

    /// Refuses where something is attached for which this version has no program: it would go on with the maps of the former.
    fn refuse_unknown_programs(&self) -> Result<()> {
        let unknown = self.pinned_hooks()?.programs().into_iter().find(|name| !programs::is_known(name));
        unknown.map_or(Ok(()), |name| {
            let why = "this version has no such program, and it is attached";
            Err(refuse(Kind::Conflict, &format!("program {name}"), why)
                .remedy("`fwd down --all`, and then `fwd up` again for each namespace"))
        })
    }

    /// Makes maps and programs of this version beside those of the former, which go on.
    fn make_beside(&self, former: &Self, settings: &Config, moves: &Moves, records: Records) -> Result<()> {
        for dir in [MAPS, PROGRAMS] {
            let dir = self.dir.join(dir);
            fs::create_dir_all(&dir).doing("create", dir.display().to_string())?;
        }
        for declared in maps::MAPS {
            let (pin, there) = (self.map_pin(declared.name), former.map_pin(declared.name));
            let fate = moves.fates.iter().find(|(name, _)| name == declared.name.as_str()).map(|(_, fate)| *fate);
            match fate {
                Some(Fate::Share) if there.exists() => bpf::pin_again(&there, &pin).doing("share", declared.name)?,
                Some(Fate::Convert) if there.exists() => self.create_map(declared.name, &maps::record(declared))?,
                _ if declared.role.is_of_records() => self.create_map(declared.name, &maps::record(declared))?,
                // The object makes it.
                _ => {}
            }
        }
        for (name, elements) in records {
            Elements::open(&self.dir.join(MAPS).join(name))?.replace(&elements)?;
        }
        self.note_schema()?;
        let config = Config { abi_version: ABI_VERSION.raw(), object: OBJECT_HASH, ..*settings };
        if !former.dir.join(LOADED).exists() {
            return self.set_config(&Config { object: 0, ..config });
        }
        self.set_config(&config)?;
        self.load_as(former, &config, moves.flows_end)
    }

    /// Loads as many programs as the former version has, over the maps that are there.
    fn load_as(&self, former: &Self, config: &Config, flows_end: bool) -> Result<()> {
        let max_pending = config.slots.saturating_sub(config.max_flows).saturating_sub(1);
        let sizes = Sizes {
            max_flows: config.max_flows,
            max_flows_per_endpoint: config.max_flows_per_endpoint,
            max_pending,
            nat_ports: (config.nat_port_min, config.nat_port_max),
            ..Sizes::default()
        };
        let mut object = self.load_object(&sizes, config).map_err(|error| refused(&error, self.object()))?;
        self.load_all(&mut object, &programs::always().collect::<Vec<_>>(), PROGRAMS)?;
        if flows_end {
            let first = FlowAlloc { next_unused: SLOT_NONE + 1, ..FlowAlloc::default() };
            self.array(maps::FLOW_ALLOC)?.set(0, &first, 0).doing("write", maps::FLOW_ALLOC)?;
        }
        let has = |name: &&str| former.program_pin(name).exists();
        if programs::of(Role::Ipv6).any(|name| has(&name)) {
            self.load_ipv6()?;
        }
        self.load_missing(&programs::further().filter(has).collect::<Vec<_>>())
    }
}

/// How a version has laid out its maps, if this one can compare that with its own.
fn comparable(former: &Dataplane, name: &str) -> Result<Schema> {
    let why = match Schema::pinned(&former.dir) {
        Some(schema) if schema.is_comparable(&Schema::own()) => return Ok(schema),
        Some(_) => "another version of fwd brought it up, and what its records mean has changed since",
        None => "another version of fwd brought it up, which has not noted how its records are laid out",
    };
    Err(refuse(Kind::Conflict, &format!("version {name}"), why).remedy(
        "`fwd down --all` takes down what any version brought up; then bring the namespaces up again (`fwd export` of that version says what there is)",
    ))
}
