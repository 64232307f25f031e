//! Namespaces that runtimes make after their endpoints.

use super::{Plan, TargetNetns, TargetRef, World, name};
use crate::{EndpointRecord, plan_arrivals};
use fwd_base::Result;
use fwd_kernel::netlink::Link;

impl World {
    /// A namespace that is awaited at a path: what is inside is so far a part of the host's, of which nothing else is told here.
    pub(crate) fn add_awaited(&mut self, path: &str) -> TargetRef {
        let waiting = name("waiting");
        let inside = TargetNetns { cookie: self.host.cookie, ..TargetNetns::default() };
        self.namespaces.entry(waiting.clone()).or_insert(inside);
        self.nameless.insert(waiting.clone());
        let awaited = TargetRef::Awaited(path.into());
        self.ways.insert(awaited.clone(), waiting);
        awaited
    }

    /// A runtime makes the namespace that is awaited, and moves what waits under this name into it, as eth0.
    pub(crate) fn make_awaited(&mut self, path: &str, ns: &str, waits: &str) {
        self.add_namespace(ns);
        self.nameless.insert(name(ns));
        self.ways.insert(TargetRef::Path(path.into()), name(ns));
        let links = &mut self.inside("waiting").net.links;
        let at = links.iter().position(|link| link.name == waits).expect("it waits");
        let link = Link { name: "eth0".into(), up: true, ..links.remove(at) };
        self.inside(ns).net.links.push(link);
    }

    /// A plan for what has arrived.
    pub(crate) fn plan_arrivals(&self) -> Result<Plan> {
        let mut actual = self.read();
        let awaited = self.records.endpoints.iter().filter_map(EndpointRecord::awaits);
        actual.namespaces.extend(awaited.filter_map(|ns| self.known(&ns)));
        plan_arrivals(&actual)
    }
}
