//! The two programs of the path `veth-floor` of `fwd bench`, which redirect and do nothing else.

use std::net::Ipv4Addr;

use aya::{
    Ebpf, EbpfLoader,
    programs::{LinkOrder, SchedClassifier, TcAttach, TcAttachType},
};

use fwd_base::{Context as _, Error, Kind, Result};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fwd-baseline"));

/// Programs that carry IPv4 between one veth and an uplink; they stay attached until this value is dropped.
pub struct RedirectBaseline {
    _programs: Ebpf,
}

impl RedirectBaseline {
    /// Loads and attaches them: from the veth's end `host_veth` to `next_hop` behind `uplink`, and from there all that comes in
    /// into the namespace.
    ///
    /// # Errors
    /// The kernel refuses, or has no TCX. The calling thread must be in the namespace of the interfaces.
    pub fn attach(host_veth: u32, uplink: u32, next_hop: Ipv4Addr) -> Result<Self> {
        let hop = u32::from_ne_bytes(next_hop.octets());
        let mut programs = EbpfLoader::new()
            .override_global("UPLINK", &uplink, true)
            .override_global("NEXT_HOP", &hop, true)
            .override_global("HOST_VETH", &host_veth, true)
            .load(OBJECT)
            .doing("load", "the programs that only redirect")?;
        for (name, ifindex) in [("outward", host_veth), ("inward", uplink)] {
            let missing = || Error::new(Kind::Failed, "find", name, "the built-in object does not have it");
            let program = programs.program_mut(name).ok_or_else(missing)?;
            let program: &mut SchedClassifier = program.try_into().doing("open", format!("program {name}"))?;
            program.load().doing("load", format!("program {name}"))?;
            let attach = TcAttach::Tcx { attach_type: TcAttachType::Ingress, order: LinkOrder::first() };
            program
                .attach(ifindex, attach)
                .doing(format!("attach program {name} to"), format!("interface {ifindex}"))?;
        }
        Ok(Self { _programs: programs })
    }
}
