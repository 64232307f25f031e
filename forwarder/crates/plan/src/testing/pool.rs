//! The pool, as `execute` takes from it: what is to be made is there already, under another name.

use super::{Actual, Plan, Result, Target, UpRequest, World, interface, name, named, plan_up};

impl World {
    /// What is read for an `up` that takes the namespace of the pool with this name.
    fn read_taking(&self, request: &UpRequest, from: &str) -> Actual {
        let mut actual = self.read();
        let ns = self.target(&named(from)).ns;
        let ifname = interface(request, &self.records, ns.as_ref().map(|inside| inside.cookie));
        actual.target = Some(Target { ns, ifname: Some(ifname), ..self.target(&request.target) });
        actual
    }

    pub(crate) fn plan_taking(&self, request: &UpRequest, from: &str) -> Result<Plan> {
        plan_up(request, &self.read_taking(request, from))
    }

    #[track_caller]
    pub(crate) fn take_from_pool(&mut self, request: &UpRequest, from: &str) -> Plan {
        let plan = self.plan_taking(request, from).unwrap_or_else(|error| panic!("{error}"));
        self.run(&plan.ops, usize::MAX);
        plan
    }

    /// Prepares one.
    #[track_caller]
    pub(crate) fn prepare(&mut self, from: &str) {
        self.up(&UpRequest::new(named(from)).with_endpoint(|it| it.pooled = true));
        assert!(self.namespaces.contains_key(&name(from)));
    }
}
