//! For measurements of packets (`./x packets`): a flow that translates to itself, a program that does nothing, and the
//! sizes of the programs.

use std::net::SocketAddrV6;

use aya::{
    Ebpf, EbpfLoader,
    maps::HashMap,
    programs::{LinkOrder, SchedClassifier, TcAttach, TcAttachType, TestRun as _, TestRunOptions},
};
use forwarder_common::{
    abi::{FlowEnds, Tuple, ZONE_MAIN},
    types::direction::Direction,
};
use serde::Serialize;

use crate::{
    Dataplane,
    measure::{run_statistics::RunTime, stores},
    object::{maps, programs},
};
use fwd_base::{Context as _, Error, Kind, Result};

/// What a program became in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramSize {
    /// `from_ns`, `from_uplink` or `to_uplink`.
    pub program: &'static str,
    /// Instructions that the verifier walked through.
    pub verified: u32,
    /// BPF instructions, bytes.
    pub translated: u32,
    /// Machine code, bytes.
    pub jitted: u32,
}

/// A program that returns at once: what a run costs by itself.
pub struct EmptyProgram(Ebpf);

impl EmptyProgram {
    /// Loads it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn load() -> Result<Self> {
        let mut this = Self(EbpfLoader::new().load(stores::OBJECT).doing("load", "the empty program")?);
        this.program()?.load().doing("load", "the empty program")?;
        Ok(this)
    }

    fn program(&mut self) -> Result<&mut SchedClassifier> {
        let program = self.0.program_mut("empty");
        let missing = || Error::new(Kind::Failed, "find", "program empty", "the built-in object does not have it");
        program.ok_or_else(missing)?.try_into().doing("open", "program empty")
    }

    /// Attaches it at both sides of an interface, where it stays until this value is dropped.
    ///
    /// # Errors
    /// The kernel refuses, or has no TCX.
    pub fn attach(&mut self, ifindex: u32) -> Result<()> {
        for attach_type in [TcAttachType::Egress, TcAttachType::Ingress] {
            let attach = TcAttach::Tcx { attach_type, order: LinkOrder::first() };
            self.program()?.attach(ifindex, attach).doing("attach", "the empty program")?;
        }
        Ok(())
    }

    /// What was counted of it so far: see [`RunStatistics`](crate::RunStatistics).
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn run_time(&mut self) -> Result<RunTime> {
        Ok(RunTime::of(&self.program()?.info().doing("look at", "the empty program")?))
    }

    /// Mean time of a run over `packet`, nanoseconds.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn run(&mut self, packet: &[u8], repeat: u32) -> Result<f64> {
        let options = TestRunOptions { data_in: Some(packet), repeat, ..TestRunOptions::default() };
        let result = self.program()?.test_run(options).doing("run", "the empty program")?;
        Ok(result.duration.as_nanos() as f64)
    }
}

impl Dataplane {
    /// Makes the flow with `tuple` translate, in `direction`, to what is in the packet already, and its route fresh: a
    /// repeated run, which sees the packet as the run before left it, then takes the established path each time.
    ///
    /// # Errors
    /// There is no such flow, or the maps cannot be written.
    pub fn translate_to_itself(&self, tuple: &Tuple, direction: Direction) -> Result<()> {
        let number = self.hash(maps::FLOW_INDEX)?.get(tuple, 0).doing("find", format!("flow {tuple:?}"))?;
        let mut slots = self.array(maps::FLOW_SLOTS)?;
        let mut slot = slots.get(&number, 0).doing("read", maps::FLOW_SLOTS)?;
        (match direction {
            Direction::Outbound => (slot.outbound.addr, slot.outbound.port) = (tuple.saddr, tuple.sport),
            Direction::Inbound => (slot.inbound.addr, slot.inbound.port) = (tuple.daddr, tuple.dport),
        });
        slot.shared.route_checked = self.clock()?.now;
        slots.set(number, &slot, 0).doing("write", maps::FLOW_SLOTS)
    }

    /// The same of the flow of IPv6 whose packets of the protocol `proto` go from the first socket to the second one in `direction`.
    ///
    /// # Errors
    /// There is no such flow, or the maps cannot be read or written.
    pub fn translate_to_itself_v6(
        &self,
        proto: u8,
        (from, to): (SocketAddrV6, SocketAddrV6),
        direction: Direction,
    ) -> Result<()> {
        let ports = (from.port().to_be_bytes(), to.port().to_be_bytes());
        let is_meant = |tuple: &Tuple| {
            let inbound = tuple.ifindex == ZONE_MAIN;
            (tuple.family != 0 && tuple.proto == proto && inbound == direction.is_inbound())
                && (tuple.sport, tuple.dport) == ports
        };
        let index: HashMap<_, Tuple, u32> = self.hash(maps::FLOW_INDEX)?;
        let found = index.keys().filter_map(std::result::Result::ok).find(is_meant);
        let tuple =
            found.ok_or_else(|| Error::new(Kind::Failed, "find", format!("flow {from} {to}"), "there is none"))?;
        self.translate_to_itself(&tuple, direction)?;
        let number = index.get(&tuple, 0).doing("find", format!("flow {tuple:?}"))?;
        let mut all = self.array(maps::FLOW_ENDS)?;
        let FlowEnds { internal, remote, external, .. } = all.get(&number, 0).doing("read", maps::FLOW_ENDS)?;
        let one = if direction.is_inbound() { external } else { internal };
        all.set(number, &FlowEnds::new(one, remote, one), 0).doing("write", maps::FLOW_ENDS)
    }

    /// The sizes of the programs that every packet meets.
    ///
    /// # Errors
    /// A program cannot be read.
    pub fn program_sizes(&self) -> Result<Vec<ProgramSize>> {
        let size = |program: &'static str| {
            let info = self.program(program)?.info().doing("look at", program)?;
            Ok(ProgramSize {
                program,
                verified: info.verified_instruction_count().unwrap_or_default(),
                translated: info.size_translated().unwrap_or_default(),
                jitted: info.size_jitted(),
            })
        };
        let is_loaded = |name: &&str| self.program_pin(name).exists();
        let of_ipv6 = programs::of(programs::Role::Ipv6).filter(is_loaded);
        programs::of(programs::Role::Hook).chain(of_ipv6).map(size).collect()
    }
}
