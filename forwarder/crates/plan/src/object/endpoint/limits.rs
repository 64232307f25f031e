//! What an endpoint may send and get in a second, and the queues that keep to it.

use std::fmt;

use super::{super::super::shell, index_of};
use crate::{
    Actual, Limits, TargetRef,
    object::{Acts, Handling, Managed},
};
use fwd_base::text::word;

/// An endpoint may send and get something else in a second than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Name of the host-side veth.
    pub host_if: String,
    /// The namespace.
    pub ns: TargetRef,
    /// The interface inside.
    pub ns_if: String,
    /// Its MTU, bytes.
    pub mtu: u32,
    /// What it might.
    pub from: Limits,
    /// What it may.
    pub to: Limits,
}

impl Managed for EndpointLimits {
    fn handling(&self) -> Handling {
        Handling::new("change", "revert", Acts::OnPins)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let index = index_of(actual, &self.host_if, None);
        let mut endpoints = actual.records.endpoints.iter();
        endpoints.any(|endpoint| Some(endpoint.index) == index && endpoint.limits == self.to)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let limits = if make { self.to } else { self.from };
        let mut lines = vec![shell::record("LIMITS", &self.host_if, true, pins)];
        lines.extend(limits.options().into_iter().map(|option| format!("# {option}")));
        lines.extend(queues(limits, &self.host_if, (&self.ns, &self.ns_if), self.mtu));
        lines
    }
}

impl fmt::Display for EndpointLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { outbound, inbound } = self.to;
        write!(f, "limits of {}: {} out, {} in", self.host_if, outbound.text(), inbound.text())
    }
}

/// The queues that keep to limits: inside for what leaves, at the host-side veth for what is delivered.
pub(super) fn queues(limits: Limits, host_if: &str, (ns, ns_if): (&TargetRef, &str), mtu: u32) -> [String; 2] {
    let inside = format!("nsenter --net={} tc", shell::netns_path(ns));
    [("tc", host_if, limits.inbound), (&inside, ns_if, limits.outbound)].map(|(tc, name, limit)| {
        match limit.shaper(mtu) {
            Some(shaper) => format!("{tc} qdisc replace dev {} root {}", word(name), shaper.words()),
            None => format!("{tc} qdisc del dev {} root", word(name)),
        }
    })
}
