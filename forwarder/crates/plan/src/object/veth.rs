//! The pair of an endpoint: veth, or netkit.

use std::fmt;

use super::{super::shell, Acts, Handling, Managed};
use crate::{Actual, TargetRef};
use fwd_base::text::mac;
use fwd_kernel::netlink::PairSpec;

/// A pair, its other end directly inside the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veth {
    /// The pair.
    pub spec: PairSpec,
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
            let kind = spec.kind.ip_words();
            format!("mtu {mtu} type {kind} name {} netns {ns} address {mac} mtu {mtu}", spec.ns_if)
        })
    }
}

impl fmt::Display for Veth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec: PairSpec { kind, host_if, ns_if, .. }, ns } = self;
        write!(f, "{} pair {host_if} – {ns_if} in {ns}", kind.name())
    }
}
