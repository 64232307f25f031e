//! Measures the stores among which the flow table was chosen (docs/stores.md).

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use serde::Serialize;

use fwd_base::{Context as _, Error, Kind, Result, cpu};

pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fwd-stores"));

/// As in forwarder-ebpf/src/stores/walk.rs.
const LOOK_UPS: u32 = 1024;
const FILLS: u32 = 4096;
/// Runs of a program in each round.
const REPEAT: u32 = 192;
/// Lines of a set, as in forwarder-ebpf/src/stores/maps.rs.
const WAYS: u32 = 4;

const REFERENCE: &str = "reference";
/// Every store, with the program that fills it and the maps it needs.
const STORES: [(&str, &str, &[&str]); 4] = [
    ("direct", "fill_direct", &["DIRECT"]),
    ("pool", "fill_pool", &["FLOW_INDEX", "FLOW_SLOTS"]),
    ("lines", "fill_lines", &["LINES", "DIRECT"]),
    ("cache", "fill_pool", &["FLOW_CACHE", "FLOW_INDEX", "FLOW_SLOTS"]),
];
const FILLERS: [&str; 3] = ["fill_direct", "fill_pool", "fill_lines"];

/// Which flows are looked up: name, flows that exist, flows that are looked up at random. Powers of two.
const PATTERNS: [(&str, u32, u32); 4] = [
    ("1k of 1k", 1 << 10, 1 << 10),
    ("1k of 64k", 1 << 16, 1 << 10),
    ("1k of 1M", 1 << 20, 1 << 10),
    ("1M of 1M", 1 << 20, 1 << 20),
];

/// What one store costs with one pattern.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoreFigure {
    /// `direct`, `pool`, `lines` or `cache`.
    pub store: &'static str,
    /// How many flows of how many were looked up at random.
    pub pattern: &'static str,
    /// A look-up with its check, the copy of the translation and a counter, nanoseconds; median of the rounds.
    pub ns: f64,
    /// The fastest and the slowest round, nanoseconds.
    pub range: (f64, f64),
    /// Share of the look-ups that took the hash behind the first step.
    pub second: f64,
    /// Kernel memory of the maps for each flow (both directions), bytes.
    pub bytes_per_flow: u64,
}

/// Measures every store with every pattern, `rounds` times in turn, on one CPU.
///
/// # Errors
/// The kernel refuses maps or programs (root is needed), or a store does not find a flow.
pub fn measure(rounds: usize) -> Result<Vec<StoreFigure>> {
    cpu::on_one(|| measure_here(rounds))
}

fn measure_here(rounds: usize) -> Result<Vec<StoreFigure>> {
    let mut figures = Vec::new();
    let mut loaded: Option<(u32, Stores)> = None;
    for (pattern, flows, hot) in PATTERNS {
        let mut stores = match loaded.take() {
            Some((size, stores)) if size == flows => stores,
            _ => Stores::new(flows)?,
        };
        figures.extend(stores.pattern(pattern, flows, hot, rounds)?);
        loaded = Some((flows, stores));
    }
    Ok(figures)
}

/// All stores, filled with the same flows.
struct Stores(Ebpf);

impl Stores {
    fn new(flows: u32) -> Result<Self> {
        // As many cache entries as the data path has for so many slots; twice as many lines as flows and directions.
        let buckets = ((flows + 1) * 2).next_power_of_two();
        let sets = flows * 2 * 2 / WAYS;
        let (cache_mask, set_mask) = (buckets - 1, sets - 1);
        let secret = [(); 4].map(|()| fastrand::u64(..));
        let ebpf = EbpfLoader::new()
            .override_global("CACHE_MASK", &cache_mask, true)
            .override_global("SET_MASK", &set_mask, true)
            .override_global("SECRET", &secret[..], true)
            .map_max_entries("DIRECT", flows * 2)
            .map_max_entries("LINES", sets)
            .map_max_entries("FLOW_INDEX", flows * 2)
            .map_max_entries("FLOW_SLOTS", flows + 1)
            .map_max_entries("FLOW_CACHE", buckets)
            .load(OBJECT)
            .doing("load", "the stores")?;
        let mut stores = Self(ebpf);
        for name in FILLERS {
            stores.load(name)?;
            stores.begin(0, flows, flows)?;
            stores.run(name, flows.div_ceil(FILLS))?;
            stores.check(name)?;
        }
        for name in STORES.map(|(name, ..)| name).into_iter().chain([REFERENCE]) {
            stores.load(name)?;
        }
        Ok(stores)
    }

    /// Looks `hot` of `flows` flows up in every store.
    fn pattern(&mut self, pattern: &'static str, flows: u32, hot: u32, rounds: usize) -> Result<Vec<StoreFigure>> {
        let mut times = vec![Vec::new(); STORES.len()];
        let mut second = [0.0; STORES.len()];
        // Round 0 warms the caches.
        for round in 0..=rounds {
            let seed = round as u64 + 1;
            self.begin(seed, flows, hot)?;
            let reference = self.run(REFERENCE, REPEAT)?;
            for (index, (name, ..)) in STORES.iter().enumerate() {
                self.begin(seed, flows, hot)?;
                let time = self.run(name, REPEAT)? - reference;
                second[index] = self.check(name)? as f64 / f64::from(LOOK_UPS * REPEAT);
                if round > 0 {
                    times[index].push(time / f64::from(LOOK_UPS));
                }
            }
        }
        STORES
            .iter()
            .zip(times.iter_mut().zip(second))
            .map(|(&(store, _, maps), (times, second))| {
                times.sort_by(f64::total_cmp);
                let ns = times.get(times.len() / 2).copied().unwrap_or_default();
                let range = times.first().copied().zip(times.last().copied()).unwrap_or_default();
                let bytes = maps.iter().map(|map| self.memory(map)).sum::<Result<u64>>()?;
                Ok(StoreFigure { store, pattern, ns, range, second, bytes_per_flow: bytes / u64::from(flows) })
            })
            .collect()
    }

    fn program(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        self.0.program_mut(name).ok_or_else(|| missing(name))?.try_into().doing("open", format!("program {name}"))
    }

    fn load(&mut self, name: &str) -> Result<()> {
        self.program(name)?.load().doing("load", format!("program {name}"))
    }

    /// Runs a program; the mean time of a run, nanoseconds.
    fn run(&mut self, name: &str, repeat: u32) -> Result<f64> {
        let options = TestRunOptions { data_in: Some(&[0; 64]), repeat, ..TestRunOptions::default() };
        let result = self.program(name)?.test_run(options).doing("run", format!("program {name}"))?;
        Ok(result.duration.as_nanos() as f64)
    }

    fn walk(&mut self) -> Result<Array<&mut aya::maps::MapData, [u64; 5]>> {
        Array::try_from(self.0.map_mut("WALK").ok_or_else(|| missing("WALK"))?).doing("open", "map WALK")
    }

    /// Sets `struct Walk` of forwarder-ebpf/src/stores/walk.rs.
    fn begin(&mut self, state: u64, flows: u32, hot: u32) -> Result<()> {
        let walk = [state, u64::from(hot - 1), u64::from(flows - 1), 0, 0];
        self.walk()?.set(0, &walk, 0).doing("write", "map WALK")
    }

    /// Makes sure that nothing was missed; how many look-ups took the second step.
    fn check(&mut self, name: &str) -> Result<u64> {
        match self.walk()?.get(&0, 0).doing("read", "map WALK")? {
            [_, _, _, 0, second] => Ok(second),
            [_, _, _, missed, _] => {
                Err(Error::new(Kind::Failed, "measure", format!("store {name}"), format!("it missed {missed} flows")))
            }
        }
    }

    /// What the kernel charges for a map, bytes (`memlock` in its fdinfo).
    fn memory(&self, name: &str) -> Result<u64> {
        let (Map::Array(data) | Map::HashMap(data)) = self.0.map(name).ok_or_else(|| missing(name))? else {
            return Err(missing(name));
        };
        let path = format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd());
        let info = fs::read_to_string(&path).doing("read", path)?;
        let value = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        value.and_then(|value| value.trim().parse().ok()).ok_or_else(|| missing("the size of a map"))
    }
}

fn missing(name: &str) -> Error {
    Error::new(
        Kind::Failed,
        "find",
        name,
        "the object that was built into this program, or the kernel, does not have it",
    )
}
