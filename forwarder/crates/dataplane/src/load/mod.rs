//! Loads the object, pins its maps and programs, and starts the expiry timer.

mod beside;
pub(crate) mod create;
pub(crate) mod errno;
mod former;
pub(crate) mod parallel;
pub(crate) mod reload;
pub(crate) mod sizes;
pub(crate) mod trace;

use std::{
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _},
    path::PathBuf,
    thread,
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, ProgramArray},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use forwarder_common::abi::{
    Config, FlowAlloc, Hook, SLOT_NONE, SLOW_PATH_IPV6, SLOW_PATH_IPV6_SLOW, SLOW_PATH_MULTICAST, Secret,
};

use crate::{
    Dataplane, Sizes,
    object::{
        kernel_fields,
        maps::{self, MapName},
        programs::{self, Role},
    },
};
use fwd_base::{Context as _, Error, Kind, Result};

pub(crate) const MAPS: &str = "maps";
pub(crate) const PROGRAMS: &str = "progs";
/// Programs that are to take the place of those, while `reload` is at it.
pub(crate) const NEW_PROGRAMS: &str = "progs-new";
pub(crate) const LINKS: &str = "links";

/// Where the programs of the slow paths stand in the map `SLOW_PATH`.
const SLOW_PATH: [(u32, &str); 9] = [
    (Hook::FromNs as u32, programs::FROM_NS_SLOW),
    (Hook::FromUplink as u32, programs::FROM_UPLINK_SLOW),
    (Hook::ToUplink as u32, programs::TO_UPLINK_SLOW),
    (SLOW_PATH_IPV6 + Hook::FromNs as u32, programs::FROM_NS_IPV6),
    (SLOW_PATH_IPV6 + Hook::FromUplink as u32, programs::FROM_UPLINK_IPV6),
    (SLOW_PATH_IPV6 + Hook::ToUplink as u32, programs::TO_UPLINK_IPV6),
    (SLOW_PATH_IPV6_SLOW + Hook::FromNs as u32, programs::FROM_NS_IPV6_SLOW),
    (SLOW_PATH_IPV6_SLOW + Hook::FromUplink as u32, programs::FROM_UPLINK_IPV6_SLOW),
    (SLOW_PATH_MULTICAST, programs::MULTICAST),
];

/// What the programs know as constants.
struct Globals {
    cache_mask: u32,
    nat_ports: u32,
    secret: Secret,
}

impl Globals {
    fn new(buckets: u32, config: &Config) -> Self {
        let Config { nat_port_min, nat_port_max, secret, .. } = *config;
        Self { cache_mask: buckets - 1, nat_ports: u32::from(nat_port_min) | u32::from(nat_port_max) << 16, secret }
    }
}

impl Dataplane {
    /// Loads the programs and the maps that are not there yet into the kernel, and pins them below `self.dir`.
    pub(crate) fn load_programs(&self, sizes: &Sizes) -> Result<()> {
        let object = || format!("data path in {}", self.dir.display());
        // What the records of networks say stays.
        let Config { subnets_min, subnets_max, prefixes6_min, prefixes6_max, features, host_cookie, .. } =
            self.config()?;
        let config =
            Config { subnets_min, subnets_max, prefixes6_min, prefixes6_max, features, host_cookie, ..sizes.config()? };
        self.create_large_maps(sizes)?;
        let mut ebpf = self.load_object(sizes, &config).map_err(|error| refused(&error, object()))?;
        self.load_all(&mut ebpf, &programs::always().collect::<Vec<_>>(), PROGRAMS)?;
        self.connect_slow_paths(PROGRAMS)?;
        let clock = self.clock()?;
        self.set_config(&Config { hz: clock.hz, timeouts: sizes.timeouts(&clock), ..config })?;
        let map = ebpf.map_mut(maps::FLOW_ALLOC.as_str()).ok_or_else(|| missing(maps::FLOW_ALLOC.as_str()))?;
        let mut alloc: Array<_, FlowAlloc> = Array::try_from(map).doing("open", maps::FLOW_ALLOC)?;
        // Slot 0 stands for "none".
        let first = FlowAlloc { next_unused: SLOT_NONE + 1, ..FlowAlloc::default() };
        alloc.set(0, &first, 0).doing("write", maps::FLOW_ALLOC)?;
        self.start_expiry(PROGRAMS)
    }

    /// Lets the fast paths go on to the slow paths, which are pinned in `dir`, as far as they are needed.
    pub(crate) fn connect_slow_paths(&self, dir: &str) -> Result<()> {
        let mut map = ProgramArray::try_from(self.map(maps::SLOW_PATH)?).doing("open", maps::SLOW_PATH)?;
        for (place, name) in SLOW_PATH.into_iter().filter(|(_, name)| self.dir.join(dir).join(name).exists()) {
            let program = self.program_in(dir, name)?;
            map.set(place, program.fd().doing("use", format!("program {name}"))?, 0).doing("write", maps::SLOW_PATH)?;
        }
        Ok(())
    }

    /// Loads and pins programs that not every host needs, over the maps that are there; does nothing if that was done.
    pub(crate) fn load_missing(&self, names: &[&'static str]) -> Result<()> {
        let missing = names.iter().copied().filter(|name| !self.program_pin(name).exists()).collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(());
        }
        self.load_all(&mut self.object_over_pins()?, &missing, PROGRAMS)
    }

    /// Loads the programs of IPv6 and makes the maps that they alone have, and lets the others go on to them.
    pub(crate) fn load_ipv6(&self) -> Result<()> {
        self.create_ipv6_maps()?;
        self.load_missing(&programs::of(Role::Ipv6).collect::<Vec<_>>())?;
        self.connect_slow_paths(PROGRAMS)
    }

    /// Loads the program that copies what is for a group, and lets the others go on to it.
    pub(crate) fn load_multicast(&self) -> Result<()> {
        self.load_missing(&programs::of(Role::Multicast).collect::<Vec<_>>())?;
        self.connect_slow_paths(PROGRAMS)
    }

    /// The object over the maps that are pinned.
    ///
    /// # Errors
    /// The object has a map of another kind or size than the one that is pinned.
    pub(crate) fn object_over_pins(&self) -> Result<Ebpf> {
        self.object_over_pins_of(kernel_fields::object(), &[])
    }

    /// The same of the object in `bytes`, with these globals besides.
    pub(crate) fn object_over_pins_of(&self, bytes: &[u8], more: &[(&str, &[u32])]) -> Result<Ebpf> {
        let globals = Globals::new(self.max_entries(maps::FLOW_CACHE)?, &self.config()?);
        let mut loader = self.loader(&globals);
        for name in self.wanted_maps() {
            loader.map_max_entries(name.as_str(), self.max_entries(name)?);
        }
        for (name, words) in more {
            loader.override_global(name, *words, true);
        }
        loader.load(bytes).map_err(|error| refused(&error, self.object()))
    }

    /// How many entries the map pinned as `name` has room for.
    pub(crate) fn max_entries(&self, name: impl Into<MapName>) -> Result<u32> {
        let name = name.into();
        Ok(self.map_data(name)?.info().doing("look at", name)?.max_entries())
    }

    /// All maps that are to be pinned. What the programs of IPv6 alone have is made before they are loaded; otherwise an object is loaded with
    /// a single element of it, which goes with the object.
    fn wanted_maps(&self) -> impl Iterator<Item = MapName> {
        maps::all().filter(|name| !maps::of_ipv6().any(|it| it == *name) || self.map_pin(*name).exists())
    }

    /// A loader that takes the maps that are pinned, and pins those that are not.
    fn loader<'a>(&self, globals: &'a Globals) -> EbpfLoader<'a> {
        let mut loader = EbpfLoader::new();
        for name in self.wanted_maps() {
            loader.map_pin_path(name.as_str(), self.map_pin(name));
        }
        loader.override_global("CACHE_MASK", &globals.cache_mask, true);
        loader.override_global("NAT_PORTS", &globals.nat_ports, true);
        loader.override_global("SECRET", &globals.secret[..], true);
        loader
    }

    /// The object over the maps that are pinned, with the others as large as `sizes` says.
    pub(crate) fn load_object(&self, sizes: &Sizes, config: &Config) -> Result<Ebpf, aya::EbpfError> {
        let (slots, buckets) = (sizes.slots(), sizes.cache_buckets());
        let globals = Globals::new(buckets, config);
        let mut loader = self.loader(&globals);
        for name in maps::of_ipv6().filter(|name| self.map_pin(*name).exists()) {
            loader.map_max_entries(name.as_str(), slots);
        }
        loader
            .map_max_entries(maps::FLOW_SLOTS.as_str(), slots)
            .map_max_entries(maps::FLOW_INDEX.as_str(), (slots - 1).saturating_mul(2))
            .map_max_entries(maps::FLOW_CACHE.as_str(), buckets)
            .map_max_entries(maps::FLOW_FREE.as_str(), slots)
            .map_max_entries(maps::MAPPINGS.as_str(), sizes.max_flows)
            .map_max_entries(maps::EXTERNAL.as_str(), sizes.max_flows)
            .map_max_entries(maps::PORT_USE.as_str(), sizes.port_uses())
            .load(kernel_fields::object())
    }

    /// The program pinned as `name`.
    pub(crate) fn program(&self, name: &str) -> Result<SchedClassifier> {
        self.program_in(PROGRAMS, name)
    }

    /// The program pinned as `name` in `dir`.
    pub(crate) fn program_in(&self, dir: &str, name: &str) -> Result<SchedClassifier> {
        SchedClassifier::from_pin(self.dir.join(dir).join(name)).doing("open", format!("program {name}"))
    }

    /// The map pinned as `name`.
    pub(crate) fn map(&self, name: impl Into<MapName>) -> Result<Map> {
        let name = name.into();
        Map::from_map_data(self.map_data(name)?).doing("open", name)
    }

    /// The same, whatever its type.
    pub(crate) fn map_data(&self, name: impl Into<MapName>) -> Result<MapData> {
        let name = name.into();
        match &self.held {
            Some(held) => held.map(name),
            None => MapData::from_pin(self.map_pin(name)).doing("open", name),
        }
    }

    /// Whether the map pinned as `name` is there: those of IPv6 come with the first network that has it.
    pub(crate) fn has(&self, name: impl Into<MapName>) -> bool {
        let name = name.into();
        self.held.as_ref().map_or_else(|| self.map_pin(name).exists(), |held| held.has(name))
    }

    /// The settings.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn config(&self) -> Result<Config> {
        self.array(maps::CONFIG)?.get(&0, 0).doing("read", maps::CONFIG)
    }

    /// Memory that all maps take, as the kernel says, bytes. A kernel before 6.4 counts only a part.
    ///
    /// # Errors
    /// A map cannot be looked at.
    pub fn memory(&self) -> Result<u64> {
        let mut total = 0;
        for name in maps::all().filter(|name| self.map_pin(*name).exists()) {
            let data = self.map_data(name)?;
            let path = format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd());
            let info = fs::read_to_string(&path).doing("read", &path)?;
            let memory = info.lines().find_map(|line| line.strip_prefix("memlock:"));
            total += memory.and_then(|bytes| bytes.trim().parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(total)
    }

    /// Writes the settings.
    pub(crate) fn set_config(&self, config: &Config) -> Result<()> {
        self.array(maps::CONFIG)?.set(0, config, 0).doing("write", maps::CONFIG)
    }

    /// Starts the timer that ends idle flows, or, where it runs already, gives it the callback of the program in `dir`.
    ///
    /// Since Linux 6.18 the kernel takes the memory of a timer without waiting for a lock (`kmalloc_nolock` in
    /// kernel/bpf/helpers.c): on a busy machine it may be refused, and be there a moment later.
    pub(crate) fn start_expiry(&self, dir: &str) -> Result<()> {
        const ATTEMPTS: u32 = 200;
        const PAUSE: Duration = Duration::from_millis(5);
        let program = self.program_in(dir, programs::START_EXPIRY)?;
        for attempt in 1.. {
            let error = run(&program, programs::START_EXPIRY, &[0; 64])?;
            if error == 0 {
                break;
            }
            if error != -nix::libc::ENOMEM || attempt == ATTEMPTS {
                return Err(io::Error::from_raw_os_error(-error)).doing("start", "the timer that ends idle flows");
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Runs the program `name` once over `packet`; its return value.
    pub(crate) fn run(&self, name: &str, packet: &[u8]) -> Result<i32> {
        match self.held.as_ref().and_then(|held| held.program(name)) {
            Some(program) => run(program, name, packet),
            None => run(&self.program(name)?, name, packet),
        }
    }

    pub(crate) fn program_pin(&self, name: &str) -> PathBuf {
        self.dir.join(PROGRAMS).join(name)
    }

    pub(crate) fn map_pin(&self, name: MapName) -> PathBuf {
        self.dir.join(MAPS).join(name.as_str())
    }

    pub(crate) fn links(&self) -> PathBuf {
        self.dir.join(LINKS)
    }
}

fn run(program: &SchedClassifier, name: &str, packet: &[u8]) -> Result<i32> {
    let options = TestRunOptions { data_in: Some(packet), ..TestRunOptions::default() };
    let result = program.test_run(options).doing("run", format!("program {name}"))?;
    Ok(result.return_value as i32)
}

pub(crate) fn missing(name: &str) -> Error {
    Error::new(Kind::Failed, "find", name, "the object that was built into fwd does not have it")
}

/// The kernel's refusal, with what is likely behind it.
pub(crate) fn refused(error: &(dyn std::error::Error + 'static), object: String) -> Error {
    let text = fwd_base::error::chain(error);
    match errno::errno(error) {
        Some(nix::libc::EPERM) => Error::new(Kind::Unsupported, "load", object, text)
            .remedy("run as root with CAP_BPF and CAP_NET_ADMIN, outside of a sandbox that forbids bpf(2)"),
        Some(nix::libc::ENOMEM) => Error::new(Kind::Failed, "load", object, text).remedy("choose a smaller --max-flows"),
        Some(nix::libc::EINVAL | nix::libc::EOPNOTSUPP) => Error::new(Kind::Unsupported, "load", object, text)
            .remedy("this kernel lacks something that the programs need: `fwd features` tells what; --datapath kernel works without"),
        _ => Error::new(Kind::Failed, "load", object, text),
    }
}
