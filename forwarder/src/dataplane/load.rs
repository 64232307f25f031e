//! Loads the object, pins its maps and programs, and starts the expiry timer.

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
use forwarder_common::{
    abi::{
        ABI_VERSION, COUNTER_BLOCKS, Config, CounterBlock, FlowAlloc, FlowSlot, Hook, PortUse, SLOT_NONE, Secret,
        TIMEOUTS, Timeout, TrafficBlock,
    },
    decide::ports,
    flow::cache,
};

use super::{Clock, Dataplane, devices::DEVICES, kernel_fields, object::OBJECT_HASH};
use crate::{Context as _, Error, Kind, Result};

pub(super) const MAPS: &str = "maps";
pub(super) const PROGRAMS: &str = "progs";
/// Programs that are to take the place of those, while `reload` is at it.
pub(super) const NEW_PROGRAMS: &str = "progs-new";
pub(super) const LINKS: &str = "links";

/// The maps that are records of the control plane, whatever forwards the packets.
pub(super) const RECORD_MAPS: [&str; 10] = [
    DEVICES,
    "CONFIG",
    "ENDPOINTS",
    "HOST_VETHS",
    "ADDRESSES",
    "NETWORKS",
    "SUBNETS",
    "UPLINKS",
    "COUNTERS",
    "TRAFFIC",
];

/// The maps that only the programs use.
pub(super) fn flow_maps() -> impl Iterator<Item = &'static str> {
    MAP_NAMES.iter().copied().filter(|name| !RECORD_MAPS.contains(name))
}

/// Every map, by the name of its pin.
pub(super) const MAP_NAMES: &[&str] = &[
    "CONFIG",
    "ENDPOINTS",
    "HOST_VETHS",
    "ADDRESSES",
    "NETWORKS",
    "SUBNETS",
    "ROUTE_MTUS",
    "UPLINKS",
    "COUNTERS",
    "TRAFFIC",
    "DEVICES",
    "FLOW_INDEX",
    "FLOW_SLOTS",
    "FLOW_CACHE",
    "FLOW_FREE",
    "FLOW_ALLOC",
    "PORT_RETRIES",
    "PORTS_EXHAUSTED",
    "MAPPINGS",
    "EXTERNAL",
    "PORT_USE",
    "ENDPOINT_FLOWS",
    "EXPIRY_TIMER",
    "OPENING",
    "SEARCH",
    "FRAGMENTS",
    "REPLY",
    "INBOUND",
    "ICMP_ERROR",
    "FIB_QUERY",
    "XDP_TARGETS",
    "SLOW_PATH",
];

/// The programs of the hooks, and what they go on to, by the names of their pins.
pub(super) const HOOK_PROGRAM_NAMES: [&str; 7] =
    ["from_ns", "from_ns_slow", "from_uplink", "from_uplink_slow", "to_uplink", "to_uplink_slow", "to_network"];

/// The programs that the control plane runs.
pub(super) const CONTROL_PROGRAM_NAMES: [&str; 3] = ["start_expiry", "read_clock", "flush"];

/// Where the programs of the slow paths stand in the map `SLOW_PATH`.
const SLOW_PATH: [(Hook, &str); 3] =
    [(Hook::FromNs, "from_ns_slow"), (Hook::FromUplink, "from_uplink_slow"), (Hook::ToUplink, "to_uplink_slow")];

/// The programs of uplinks without link-layer header, which are loaded when there is such an uplink.
pub(super) const L3_PROGRAM_NAMES: [&str; 2] = ["from_uplink_l3", "to_uplink_l3"];

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

/// What maps with an element for each CPU take, bytes, for every CPU that the kernel thinks possible: counters of common verdicts, and
/// what a program works with.
pub const MEMORY_PER_CPU: u64 = (COUNTER_BLOCKS as usize * size_of::<TrafficBlock>() + 4096) as u64;

/// TCP, UDP and ICMP have ports each of their own.
const PORT_CLASSES: u32 = 3;

/// Sizes of the flow table.
///
/// Each flow for which there is room takes some 400 bytes of kernel memory, in use or not: 192 for its slot, 160 for both of
/// its tuples in the index, 32 for their buckets, 16 for cache entries, 4 in the queue of free slots. So the default table has 53 MB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Flows that may be established at once.
    pub max_flows: u32,
    /// Flows that one endpoint may have established at once; the others cannot be starved.
    pub max_flows_per_endpoint: u32,
    /// Pending flows (half-open or closed) for which there is room even when `max_flows` are established. All of the table that
    /// is not established is theirs; then they evict each other. At 150,000 new flows a second, 65,535 slots keep a handshake
    /// for 0.4 s.
    pub max_pending: u32,
    /// First and last port of the NAT range.
    pub nat_ports: (u16, u16),
    /// Idle times that end a flow, seconds.
    pub timeouts: [(Timeout, u32); 8],
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            max_flows: 65_536,
            // Half: whatever one does, there is as much for the others; and more than the ports towards one server.
            max_flows_per_endpoint: 32_768,
            // With slot 0 a power of two, at which the index and the flow cache waste nothing.
            max_pending: 65_535,
            // Outside ip_local_port_range (32768–60999): the host's own sockets need no reservation.
            nat_ports: (1024, 29_999),
            timeouts: [
                (Timeout::TcpHalfOpen, 240),
                (Timeout::TcpEstablished, 7_440),
                (Timeout::TcpHalfClosed, 240),
                (Timeout::TcpClosing, 240),
                (Timeout::UdpHalfOpen, 120),
                (Timeout::UdpEstablished, 300),
                (Timeout::Icmp, 60),
                (Timeout::Other, 600),
            ],
        }
    }
}

impl Sizes {
    /// Slots of the table, slot 0 (never used) included: no more than a cache entry can name.
    fn slots(&self) -> u32 {
        self.max_flows.saturating_add(self.max_pending).saturating_add(1).min(cache::MAX_SLOTS)
    }

    /// Memory that all maps take, bytes: what the kernel says of them, within a few percent; but for [`MEMORY_PER_CPU`].
    #[must_use]
    pub fn memory(&self) -> u64 {
        // kernel/bpf/hashtab.c: struct htab_elem, key and value, each rounded up to 8 bytes.
        const INDEX_ELEMENT: u64 = 48 + 24 + 8;
        const BUCKET: u64 = 16;
        // Array elements are rounded up to 8 bytes (kernel/bpf/arraymap.c); a queue's are not.
        const WORD: u64 = 8;
        let slots = u64::from(self.slots() - 1);
        let index = slots * 2 * INDEX_ELEMENT + (slots * 2).next_power_of_two() * BUCKET;
        let mappings = 2 * u64::from(self.max_flows).next_power_of_two() * BUCKET;
        let ports = u64::from(self.port_uses()) * size_of::<PortUse>() as u64;
        let counters = u64::from(COUNTER_BLOCKS) * size_of::<CounterBlock>() as u64;
        counters
            + slots * size_of::<FlowSlot>() as u64
            + index
            + u64::from(self.cache_buckets()) * WORD
            + slots * 4
            + mappings
            + ports
    }

    /// External ports of TCP, of UDP and of ICMP.
    fn port_uses(&self) -> u32 {
        ports::count(self.nat_ports.0, self.nat_ports.1) * PORT_CLASSES
    }

    /// Buckets of the flow cache: one for each tuple, and two places in each.
    fn cache_buckets(&self) -> u32 {
        (self.slots() - 1).saturating_mul(2).next_power_of_two()
    }

    /// The settings, but for what the clock says; with new secrets.
    fn config(&self) -> Result<Config> {
        let random = |what: &str| getrandom::u64().doing("make", what);
        let mut secret = [0; _];
        secret.iter_mut().try_for_each(|word| random("the secret of the hash").map(|number| *word = number))?;
        Ok(Config {
            abi_version: ABI_VERSION,
            nat_port_min: self.nat_ports.0,
            nat_port_max: self.nat_ports.1,
            subnets_min: u32::MAX,
            subnets_max: 0,
            max_flows: self.max_flows,
            max_flows_per_endpoint: self.max_flows_per_endpoint,
            features: 0,
            slots: self.slots(),
            seed: random("the seed of port numbers")? as u32,
            hz: 0,
            timeouts: [u32::MAX; TIMEOUTS],
            secret,
            object: OBJECT_HASH,
        })
    }

    /// The idle times that end a flow, by the clock of the flow table.
    fn timeouts(&self, clock: &Clock) -> [u32; TIMEOUTS] {
        let mut timeouts = [u32::MAX; TIMEOUTS];
        for (which, seconds) in self.timeouts {
            timeouts[which as usize] = seconds.saturating_mul(clock.hz);
        }
        timeouts
    }
}

impl Dataplane {
    /// Loads the programs and the maps that are not there yet into the kernel, and pins them below `self.dir`.
    pub(super) fn load_programs(&self, sizes: &Sizes) -> Result<()> {
        let object = || format!("data path in {}", self.dir.display());
        // What the records of networks say stays.
        let Config { subnets_min, subnets_max, features, .. } = self.config()?;
        let config = Config { subnets_min, subnets_max, features, ..sizes.config()? };
        let mut ebpf = self.load_object(sizes, &config).map_err(|error| refused(&error, object()))?;
        self.load_all(&mut ebpf, &[&HOOK_PROGRAM_NAMES[..], &CONTROL_PROGRAM_NAMES].concat(), PROGRAMS)?;
        self.connect_slow_paths(PROGRAMS)?;
        let clock = self.clock()?;
        self.set_config(&Config { hz: clock.hz, timeouts: sizes.timeouts(&clock), ..config })?;
        let map = ebpf.map_mut("FLOW_ALLOC").ok_or_else(|| missing("FLOW_ALLOC"))?;
        let mut alloc: Array<_, FlowAlloc> = Array::try_from(map).doing("open", "map FLOW_ALLOC")?;
        // Slot 0 stands for "none".
        let first = FlowAlloc { next_unused: SLOT_NONE + 1, ..FlowAlloc::default() };
        alloc.set(0, &first, 0).doing("write", "map FLOW_ALLOC")?;
        self.start_expiry(PROGRAMS)
    }

    /// Lets the fast paths go on to the slow paths, which are pinned in `dir`.
    pub(super) fn connect_slow_paths(&self, dir: &str) -> Result<()> {
        let mut map = ProgramArray::try_from(self.map("SLOW_PATH")?).doing("open", "map SLOW_PATH")?;
        for (place, name) in SLOW_PATH {
            let program = self.program_in(dir, name)?;
            map.set(place as u32, program.fd().doing("use", format!("program {name}"))?, 0)
                .doing("write", "map SLOW_PATH")?;
        }
        Ok(())
    }

    /// Loads and pins programs that not every host needs, over the maps that are there; does nothing if that was done.
    pub(super) fn load_missing(&self, names: &[&'static str]) -> Result<()> {
        let missing = names.iter().copied().filter(|name| !self.program_pin(name).exists()).collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(());
        }
        self.load_all(&mut self.object_over_pins()?, &missing, PROGRAMS)
    }

    /// The object over the maps that are pinned.
    ///
    /// # Errors
    /// The object has a map of another kind or size than the one that is pinned.
    pub(super) fn object_over_pins(&self) -> Result<Ebpf> {
        let globals = Globals::new(self.max_entries("FLOW_CACHE")?, &self.config()?);
        let mut loader = self.loader(&globals);
        for name in MAP_NAMES {
            loader.map_max_entries(name, self.max_entries(name)?);
        }
        loader.load(kernel_fields::object()).map_err(|error| refused(&error, self.object()))
    }

    /// How many entries the map pinned as `name` has room for.
    pub(super) fn max_entries(&self, name: &str) -> Result<u32> {
        Ok(self.map_data(name)?.info().doing("look at", format!("map {name}"))?.max_entries())
    }

    /// A loader that takes the maps that are pinned, and pins those that are not.
    fn loader<'a>(&self, globals: &'a Globals) -> EbpfLoader<'a> {
        let mut loader = EbpfLoader::new();
        for name in MAP_NAMES {
            loader.map_pin_path(name, self.map_pin(name));
        }
        loader.override_global("CACHE_MASK", &globals.cache_mask, true);
        loader.override_global("NAT_PORTS", &globals.nat_ports, true);
        loader.override_global("SECRET", &globals.secret[..], true);
        loader
    }

    fn load_object(&self, sizes: &Sizes, config: &Config) -> Result<Ebpf, aya::EbpfError> {
        let (slots, buckets) = (sizes.slots(), sizes.cache_buckets());
        self.loader(&Globals::new(buckets, config))
            .map_max_entries("FLOW_SLOTS", slots)
            // Both directions of every flow.
            .map_max_entries("FLOW_INDEX", (slots - 1).saturating_mul(2))
            .map_max_entries("FLOW_CACHE", buckets)
            .map_max_entries("FLOW_FREE", slots)
            .map_max_entries("MAPPINGS", sizes.max_flows)
            .map_max_entries("EXTERNAL", sizes.max_flows)
            .map_max_entries("PORT_USE", sizes.port_uses())
            .load(kernel_fields::object())
    }

    /// The program pinned as `name`.
    pub(super) fn program(&self, name: &str) -> Result<SchedClassifier> {
        self.program_in(PROGRAMS, name)
    }

    /// The program pinned as `name` in `dir`.
    pub(super) fn program_in(&self, dir: &str, name: &str) -> Result<SchedClassifier> {
        SchedClassifier::from_pin(self.dir.join(dir).join(name)).doing("open", format!("program {name}"))
    }

    /// The map pinned as `name`.
    pub(super) fn map(&self, name: &str) -> Result<Map> {
        Map::from_map_data(self.map_data(name)?).doing("open", format!("map {name}"))
    }

    /// The same, whatever its type.
    pub(super) fn map_data(&self, name: &str) -> Result<MapData> {
        match &self.held {
            Some(held) => held.map(name),
            None => MapData::from_pin(self.map_pin(name)).doing("open", format!("map {name}")),
        }
    }

    /// The settings.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn config(&self) -> Result<Config> {
        let config: Array<_, Config> = Array::try_from(self.map("CONFIG")?).doing("open", "map CONFIG")?;
        config.get(&0, 0).doing("read", "map CONFIG")
    }

    /// Memory that all maps take, as the kernel says, bytes. A kernel before 6.4 counts only a part.
    ///
    /// # Errors
    /// A map cannot be looked at.
    pub fn memory(&self) -> Result<u64> {
        let mut total = 0;
        for name in MAP_NAMES.iter().filter(|name| self.map_pin(name).exists()) {
            let data = self.map_data(name)?;
            let path = format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd());
            let info = fs::read_to_string(&path).doing("read", &path)?;
            let memory = info.lines().find_map(|line| line.strip_prefix("memlock:"));
            total += memory.and_then(|bytes| bytes.trim().parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(total)
    }

    /// Writes the settings.
    pub(super) fn set_config(&self, config: &Config) -> Result<()> {
        let mut map: Array<_, Config> = Array::try_from(self.map("CONFIG")?).doing("open", "map CONFIG")?;
        map.set(0, config, 0).doing("write", "map CONFIG")
    }

    /// Starts the timer that ends idle flows, or, where it runs already, gives it the callback of the program in `dir`.
    ///
    /// Since Linux 6.18 the kernel takes the memory of a timer without waiting for a lock (`kmalloc_nolock` in
    /// kernel/bpf/helpers.c): on a busy machine it may be refused, and be there a moment later.
    pub(super) fn start_expiry(&self, dir: &str) -> Result<()> {
        const ATTEMPTS: u32 = 200;
        const PAUSE: Duration = Duration::from_millis(5);
        let program = self.program_in(dir, "start_expiry")?;
        for attempt in 1.. {
            let error = run(&program, "start_expiry", &[0; 64])?;
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
    pub(super) fn run(&self, name: &str, packet: &[u8]) -> Result<i32> {
        match self.held.as_ref().and_then(|held| held.program(name)) {
            Some(program) => run(program, name, packet),
            None => run(&self.program(name)?, name, packet),
        }
    }

    pub(super) fn program_pin(&self, name: &str) -> PathBuf {
        self.dir.join(PROGRAMS).join(name)
    }

    pub(super) fn map_pin(&self, name: &str) -> PathBuf {
        self.dir.join(MAPS).join(name)
    }

    pub(super) fn links(&self) -> PathBuf {
        self.dir.join(LINKS)
    }
}

fn run(program: &SchedClassifier, name: &str, packet: &[u8]) -> Result<i32> {
    let options = TestRunOptions { data_in: Some(packet), ..TestRunOptions::default() };
    let result = program.test_run(options).doing("run", format!("program {name}"))?;
    Ok(result.return_value as i32)
}

pub(super) fn missing(name: &str) -> Error {
    Error::new(Kind::Failed, "find", name, "the object that was built into fwd does not have it")
}

/// The number of the kernel's refusal.
pub(super) fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error).or_else(|| errno(error.source()?))
}

/// The kernel's refusal, with what is likely behind it.
pub(super) fn refused(error: &(dyn std::error::Error + 'static), object: String) -> Error {
    let text = crate::error::chain(error);
    match errno(error) {
        Some(nix::libc::EPERM) => Error::new(Kind::Unsupported, "load", object, text)
            .remedy("run as root with CAP_BPF and CAP_NET_ADMIN, outside of a sandbox that forbids bpf(2)"),
        Some(nix::libc::ENOMEM) => Error::new(Kind::Failed, "load", object, text).remedy("choose a smaller --max-flows"),
        Some(nix::libc::EINVAL | nix::libc::EOPNOTSUPP) => Error::new(Kind::Unsupported, "load", object, text)
            .remedy("this kernel lacks something that the programs need (Linux 6.6 or later has all of it); --datapath kernel works without"),
        _ => Error::new(Kind::Failed, "load", object, text),
    }
}
