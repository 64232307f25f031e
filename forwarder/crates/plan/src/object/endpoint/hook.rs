//! The programs at a host-side veth.

use std::fmt;

use super::{super::super::shell, index_of, is_among};
use crate::{
    Actual,
    object::{Acts, Handling, Managed},
};
use fwd_base::text::word;
use fwd_dataplane::Backend;

/// The program at a host-side veth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHook {
    /// Name of the host-side veth.
    pub host_if: String,
    /// Its ifindex, where it has or had one.
    pub index: Option<u32>,
    /// How it is attached.
    pub attach: Backend,
}

impl Managed for EndpointHook {
    fn handling(&self) -> Handling {
        Handling::new("attach", "detach", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let attached = Backend::ALL.map(|backend| actual.records.attached_by(backend));
        attached.into_iter().any(|host_veths| is_among(actual, host_veths, &self.host_if, self.index))
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        match (self.index, self.attach) {
            // By its pin: the interface has gone before.
            (Some(index), Backend::Tcx) if !make => vec![format!("rm {pins}/links/from_ns-{index}")],
            (Some(index), Backend::Clsact) if !make => vec![format!("rm -r {pins}/links/clsact-from_ns-{index}")],
            (Some(index), Backend::Netkit) if !make => vec![format!("rm {pins}/links/from_netkit-{index}")],
            _ => hook_by(self.attach, &self.host_if, make, pins),
        }
    }
}

impl fmt::Display for EndpointHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attach {
            Backend::Tcx => write!(f, "program from_ns at {}", self.host_if),
            Backend::Clsact => write!(f, "program from_ns at {} by clsact", self.host_if),
            Backend::Netkit => write!(f, "program from_netkit at the peer of {}", self.host_if),
        }
    }
}

/// The program at a host-side veth is attached in another way than before, and its record says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointAttach {
    /// Name of the host-side veth.
    pub host_if: String,
    /// How it was attached.
    pub from: Backend,
    /// How it should be.
    pub to: Backend,
}

impl Managed for EndpointAttach {
    fn handling(&self) -> Handling {
        Handling::new("change", "revert", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let records = &actual.records;
        let mut others = Backend::ALL.into_iter().filter(|backend| *backend != self.to);
        let index = index_of(actual, &self.host_if, None);
        let mut endpoints = records.endpoints.iter();
        endpoints.any(|endpoint| Some(endpoint.index) == index && endpoint.attach == self.to)
            && !others.any(|other| is_among(actual, records.attached_by(other), &self.host_if, None))
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let (old, new) = if make { (self.from, self.to) } else { (self.to, self.from) };
        [hook_by(new, &self.host_if, true, pins), hook_by(old, &self.host_if, false, pins)].concat()
    }
}

impl fmt::Display for EndpointAttach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program from_ns at {} from {} to {}", self.host_if, self.from.name(), self.to.name())
    }
}

/// The XDP program at a host-side veth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointXdp {
    /// Name of the host-side veth.
    pub host_if: String,
    /// Its ifindex, where it has or had one.
    pub index: Option<u32>,
    /// Name of the uplink.
    pub uplink: String,
}

impl Managed for EndpointXdp {
    fn handling(&self) -> Handling {
        Handling::new("attach", "detach", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        is_among(actual, &actual.records.endpoint_xdp, &self.host_if, self.index)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        shell::xdp("xdp_from_ns", &self.host_if, make, pins)
    }
}

impl fmt::Display for EndpointXdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "XDP program xdp_from_ns at {}", self.host_if)
    }
}

fn hook_by(attach: Backend, host_if: &str, make: bool, pins: &str) -> Vec<String> {
    let host_if = word(host_if);
    match (attach, make) {
        (Backend::Tcx, true) => {
            vec![format!("bpftool net attach tcx_ingress pinned {pins}/progs/from_ns dev {host_if}")]
        }
        (Backend::Tcx, false) => vec![format!("bpftool net detach tcx_ingress dev {host_if}")],
        (Backend::Clsact, true) => vec![
            format!("tc qdisc add dev {host_if} clsact"),
            format!("tc filter add dev {host_if} ingress bpf direct-action object-pinned {pins}/progs/from_ns"),
        ],
        (Backend::Clsact, false) => vec![format!("tc qdisc del dev {host_if} clsact")],
        // Neither ip nor bpftool knows how.
        (Backend::Netkit, _) => vec![format!("# {pins}/progs/from_netkit at the peer of {host_if} (BPF_NETKIT_PEER)")],
    }
}
