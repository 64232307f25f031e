//! The veth pair of an endpoint.

use std::fmt;

use super::{super::shell, Acts, Handling, Managed};
use crate::{Actual, TargetRef};
use fwd_base::text::mac;
use fwd_kernel::netlink::VethSpec;

/// A veth pair, its other end directly inside the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veth {
    /// The pair.
    pub spec: VethSpec,
    /// The namespace.
    pub ns: TargetRef,
}

impl Managed for Veth {
    fn handling(&self) -> Handling {
        Handling::new("create", "delete", Acts::OnHost).notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.net.link(&self.spec.host_if).is_some_and(|link| actual.host.owner.has_veth(link))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let Self { spec, ns } = self;
        shell::link(&spec.host_if, &spec.alias, make, || {
            let (mtu, mac, ns) = (spec.mtu, mac(spec.ns_mac), shell::netns(ns));
            format!("mtu {mtu} type veth peer name {} netns {ns} address {mac} mtu {mtu}", spec.ns_if)
        })
    }
}

impl fmt::Display for Veth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "veth pair {} – {} in {}", self.spec.host_if, self.spec.ns_if, self.ns)
    }
}
