//! Loads several programs at once, and makes large maps: the kernel verifies, and clears pages, on the CPU of the thread that asks for it.

use std::thread;

use aya::{Ebpf, programs::Program};

use crate::{
    Dataplane, Sizes,
    load::{missing, refused},
    object::{kernel_fields, maps},
};
use fwd_base::{Context as _, Error, Kind, Result};

impl Dataplane {
    /// Makes and pins the maps that take most of the memory. Meanwhile the object is made to fit the kernel.
    ///
    /// # Errors
    /// The kernel refuses one.
    pub(crate) fn create_large_maps(&self, sizes: &Sizes) -> Result<()> {
        thread::scope(|scope| {
            let make = |(name, map)| scope.spawn(move || self.create_map(name, &map));
            let threads: Vec<_> = maps::large(sizes.slots()).map(make).collect();
            kernel_fields::object();
            all_of(threads)
        })
    }

    /// Loads the programs `names` and pins them in `dir`, which takes as long as the slowest of them where there are as many CPUs.
    ///
    /// # Errors
    /// The first of `names` that the kernel refuses. The others may be loaded and pinned.
    pub(crate) fn load_all(&self, ebpf: &mut Ebpf, names: &[&str], dir: &str) -> Result<()> {
        let mut found: Vec<(&str, &mut Program)> =
            ebpf.programs_mut().filter(|(name, _)| names.contains(name)).collect();
        let position = |name: &str| names.iter().position(|it| *it == name);
        found.sort_by_key(|(name, _)| position(name));
        if let Some(absent) = names.iter().find(|name| !found.iter().any(|(it, _)| it == *name)) {
            return Err(missing(absent));
        }
        thread::scope(|scope| {
            let load = |(name, program)| scope.spawn(move || self.load_one(name, program, dir));
            let threads: Vec<_> = found.into_iter().map(load).collect();
            all_of(threads)
        })
    }

    fn load_one(&self, name: &str, program: &mut Program, dir: &str) -> Result<()> {
        let object = format!("program {name}");
        let loaded = match program {
            Program::SchedClassifier(program) => program.load(),
            Program::Xdp(program) => program.load(),
            Program::CgroupSockAddr(program) => program.load(),
            _ => return Err(Error::new(Kind::Failed, "load", object, "it is of a type that fwd does not know")),
        };
        loaded.map_err(|error| refused(&error, object.clone()))?;
        program.pin(self.dir.join(dir).join(name)).doing("pin", object)
    }
}

/// Waits for all of them; the first failure.
fn all_of(threads: Vec<thread::ScopedJoinHandle<'_, Result<()>>>) -> Result<()> {
    let ended = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|it| std::panic::resume_unwind(it)));
    ended.collect::<Vec<_>>().into_iter().collect()
}
