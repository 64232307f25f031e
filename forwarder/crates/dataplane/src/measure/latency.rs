//! The programs that measure forwarding latency: loaded and attached for as long as a [`Probes`] lives, and never pinned, so
//! that they go with the process whatever ends it.

use std::{
    net::{IpAddr, SocketAddrV4},
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, MapError, PerCpuArray},
    programs::{LinkOrder, ProgramError, SchedClassifier, TcAttach, TcAttachType, TestRun as _, TestRunOptions},
};
use forwarder_common::{
    abi::{LatencyConversation, LatencyPath, LatencyRoundTrips, LatencySettings, LatencyTally, NO_PATH},
    latency::{CONVERSATIONS, TIMES},
    wire::{
        emit::{Ethernet, Packet},
        ipv6,
    },
};
use ipnet::IpNet;

use fwd_base::{Context as _, Error, Kind, Result, cpu};

use crate::{features::TCX, read::field::address};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fwd-latency"));

/// Runs of a program when its cost is measured: some milliseconds.
const REPEAT: u32 = 20_000;
/// Room of maps that nothing is written to.
const UNUSED: u32 = 64;
/// A UDP datagram that is measured, as a frame.
fn datagram() -> Vec<u8> {
    let [from, to] = [[10, 0, 0, 2], [203, 0, 113, 1]].map(|address| SocketAddrV4::new(address.into(), 1799));
    Packet::udp(from, to).payload(&[7; 22]).in_frame(&Ethernet::new([7; 6], [7; 6]))
}

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// An interface inside: the way out begins when a packet is given to it.
    NsInside,
    /// The same seen from the host-side veth of a veth pair.
    NsHostVeth,
    /// The uplink.
    Uplink,
    /// An uplink without link-layer header.
    UplinkL3,
}

impl Point {
    /// The programs, their hooks and their places among others: what leaves passes the outer one last, what comes in passes
    /// it first.
    fn programs(self) -> [(&'static str, TcAttachType, LinkOrder); 2] {
        let (egress, ingress) = (TcAttachType::Egress, TcAttachType::Ingress);
        match self {
            Self::NsInside => [("leaves_ns", egress, LinkOrder::first()), ("enters_ns", ingress, LinkOrder::first())],
            Self::NsHostVeth => [("leaves_ns", ingress, LinkOrder::first()), ("enters_ns", egress, LinkOrder::last())],
            Self::Uplink => {
                [("leaves_uplink", egress, LinkOrder::last()), ("enters_uplink", ingress, LinkOrder::first())]
            }
            Self::UplinkL3 => {
                [("leaves_uplink_l3", egress, LinkOrder::last()), ("enters_uplink_l3", ingress, LinkOrder::first())]
            }
        }
    }
}

/// What the measuring costs, as [`Probes::cost`] finds out: both ends of one way together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Of a packet that is looked at and not chosen, nanoseconds.
    pub passed_ns: f64,
    /// Of a packet that is measured, nanoseconds.
    pub measured_ns: f64,
    /// What is shown of a way that takes no time: the part of the measuring that lies between its clocks, nanoseconds.
    pub zero_ns: f64,
}

impl Cost {
    /// Cost of a packet when one of `sample` is measured, nanoseconds.
    #[must_use]
    pub fn of_packet(&self, sample: u32) -> f64 {
        self.passed_ns + (self.measured_ns - self.passed_ns).max(0.0) / f64::from(sample.max(1))
    }
}

/// Packets that passed the four places, chosen or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Left a namespace.
    pub left_ns: u64,
    /// Left the uplink, of whomever.
    pub left_uplink: u64,
    /// Came in by the uplink, for whomever.
    pub entered_uplink: u64,
    /// Came into a namespace, from wherever.
    pub entered_ns: u64,
}

/// The programs and their maps.
pub struct Probes {
    ebpf: Ebpf,
    paths: u32,
    /// Path of addresses that were not given.
    other: u32,
    /// Round trips of TCP are measured, too.
    round_trips: bool,
}

impl Probes {
    /// Loads the programs for so many paths; round trips of TCP are measured if they are asked for.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn load(paths: u32, round_trips: bool) -> Result<Self> {
        let kept = |most: usize| if round_trips { most as u32 } else { UNUSED };
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("TALLIES", paths * 2)
            .map_max_entries("TIMES_SENT", kept(TIMES))
            .map_max_entries("ROUND_TRIPS", kept(CONVERSATIONS))
            .load(OBJECT)
            .doing("load", "the measuring programs")?;
        for (name, program) in ebpf.programs_mut() {
            let name = format!("program {name}");
            let program: &mut SchedClassifier = program.try_into().doing("open", &*name)?;
            program.load().doing("load", name)?;
        }
        // Of a single path it does not matter whose the addresses are.
        let other = if paths == 1 { 0 } else { NO_PATH };
        Ok(Self { ebpf, paths, other, round_trips })
    }

    /// Finds out what the measuring costs, by test runs on one CPU. Before anything is attached: it leaves nothing counted.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn cost(&mut self) -> Result<Cost> {
        cpu::on_one(|| {
            self.settings(LatencySettings { threshold: 0, weight: 1, other: 0, round_trips: 0 })?;
            let (empty, passed) = (self.run("empty")?, self.run("both_ends")?);
            self.settings(LatencySettings { threshold: u32::MAX, weight: 1, other: 0, round_trips: 0 })?;
            let measured = self.run("both_ends")?;
            let [out, _] = self.tallies(0)?;
            self.clear()?;
            let zero_ns = out.sum_ns as f64 / (out.packets.max(1)) as f64;
            Ok(Cost { passed_ns: (passed - empty).max(0.0), measured_ns: (measured - empty).max(0.0), zero_ns })
        })
    }

    /// The mean time of a run, nanoseconds; the quickest of a few times.
    fn run(&mut self, name: &str) -> Result<f64> {
        let (datagram, mut best) = (datagram(), Duration::MAX);
        for _ in 0..5 {
            let options = TestRunOptions { data_in: Some(&datagram), repeat: REPEAT / 5, ..TestRunOptions::default() };
            best = best.min(self.program(name)?.test_run(options).doing("run", format!("program {name}"))?.duration);
        }
        Ok(best.as_nanos() as f64)
    }

    /// Measures one packet of `sample` from now on.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn sample(&mut self, sample: u32) -> Result<()> {
        let weight = sample.max(1);
        let round_trips = self.round_trips.into();
        self.settings(LatencySettings { threshold: u32::MAX / weight, weight, other: self.other, round_trips })
    }

    /// Tells to which path an address inside belongs, and which network needs no uplink.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn add_address(&mut self, path: u32, address: IpNet) -> Result<()> {
        let mut paths: HashMap<&mut MapData, [u32; 4], LatencyPath> = self.map("PATHS")?;
        let record = LatencyPath { index: path, network: words(address.network()), mask: words(address.netmask()) };
        paths.insert(&words(address.addr()), &record, 0).doing("write", "map PATHS")
    }

    /// Attaches at an interface of the calling thread's namespace.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] without TCX; the kernel refuses.
    pub fn attach(&mut self, point: Point, ifindex: u32, ifname: &str) -> Result<()> {
        for (name, attach_type, order) in point.programs() {
            let attach = TcAttach::Tcx { attach_type, order };
            match self.program(name)?.attach(ifindex, attach) {
                Ok(_) => {}
                Err(ProgramError::SyscallError(error)) if error.io_error.raw_os_error() == Some(nix::libc::EINVAL) => {
                    let why = format!("{}, without which the programs could be left behind", TCX.absence());
                    let error = Error::new(Kind::Unsupported, "measure at", format!("interface {ifname}"), why);
                    return Err(error.remedy("upgrade the kernel"));
                }
                Err(error) => return Err(error).doing("measure at", format!("interface {ifname}")),
            }
        }
        Ok(())
    }

    /// Both ways of a path, out and in, since the beginning.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn tallies(&self, path: u32) -> Result<[LatencyTally; 2]> {
        let tallies = self.ebpf.map("TALLIES").ok_or_else(|| missing("TALLIES"))?;
        let tallies: Array<_, LatencyTally> = tallies.try_into().doing("open", "map TALLIES")?;
        let get = |index| tallies.get(&index, 0).doing("read", "map TALLIES");
        Ok([get(path * 2)?, get(path * 2 + 1)?])
    }

    /// TCP conversations and their round trips since the beginning, in no order; one may come twice.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn round_trips(&self) -> Result<Vec<(LatencyConversation, LatencyRoundTrips)>> {
        let map = self.ebpf.map("ROUND_TRIPS").ok_or_else(|| missing("ROUND_TRIPS"))?;
        let map: HashMap<_, LatencyConversation, LatencyRoundTrips> =
            map.try_into().doing("open", "map ROUND_TRIPS")?;
        // Where one makes room for another, the kernel begins anew: some may come twice, and not without end.
        let found = map.iter().take(2 * CONVERSATIONS).filter_map(|entry| match entry {
            Err(MapError::KeyNotFound) => None,
            entry => Some(entry.doing("read", "map ROUND_TRIPS")),
        });
        found.collect()
    }

    /// Packets that passed so far.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn passed(&self) -> Result<Passed> {
        let passed = self.ebpf.map("PASSED").ok_or_else(|| missing("PASSED"))?;
        let passed: PerCpuArray<_, u64> = passed.try_into().doing("open", "map PASSED")?;
        let get = |index| Ok::<_, Error>(passed.get(&index, 0).doing("read", "map PASSED")?.iter().sum());
        Ok(Passed { left_ns: get(0)?, left_uplink: get(1)?, entered_uplink: get(2)?, entered_ns: get(3)? })
    }

    fn clear(&mut self) -> Result<()> {
        let mut tallies: Array<&mut MapData, LatencyTally> = self.map("TALLIES")?;
        tallies.set(0, &LatencyTally::EMPTY, 0).doing("write", "map TALLIES")?;
        let mut passed: PerCpuArray<&mut MapData, u64> = self.map("PASSED")?;
        for place in 0..4 {
            let cpus = aya::util::nr_cpus().map_err(|(_, error)| error).doing("count", "the CPUs")?;
            let zero = aya::maps::PerCpuValues::try_from(vec![0; cpus.get() as usize]).doing("write", "map PASSED")?;
            passed.set(place, zero, 0).doing("write", "map PASSED")?;
        }
        Ok(())
    }

    fn settings(&mut self, settings: LatencySettings) -> Result<()> {
        let mut map: Array<&mut MapData, LatencySettings> = self.map("SETTINGS")?;
        map.set(0, &settings, 0).doing("write", "map SETTINGS")
    }

    fn program(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        self.ebpf.program_mut(name).ok_or_else(|| missing(name))?.try_into().doing("open", format!("program {name}"))
    }

    fn map<'a, M>(&'a mut self, name: &str) -> Result<M>
    where
        M: TryFrom<&'a mut aya::maps::Map, Error = aya::maps::MapError>,
    {
        M::try_from(self.ebpf.map_mut(name).ok_or_else(|| missing(name))?).doing("open", format!("map {name}"))
    }

    /// Number of paths.
    #[must_use]
    pub fn paths(&self) -> u32 {
        self.paths
    }
}

/// An address, or a mask, as the programs have it: see [`LatencyPath`].
fn words(addr: IpAddr) -> [u32; 4] {
    ipv6::words(address(addr))
}

fn missing(name: &str) -> Error {
    Error::new(Kind::Failed, "find", name, "the object that was built into this program does not have it")
}
