//! Endpoints that cannot be what files say: each is left out, and told of, so that no namespace keeps the others from what they are to be.
//!
//! One that is up stays as it is, but for what does not depend on what its namespace looks like inside: its rules, and ports that it is to
//! publish no more. It goes where it cannot stay: its network is made anew, or another is to have its address.

use std::collections::BTreeMap;

use super::{ChangeKind, Group, Plan, Planner, change::Change, ports, replace::Replaced};
use crate::{
    Actual, Desired, Endpoint, EndpointRecord, Object, Op, Refusal, Scope,
    desired::{Asked, policy},
    object,
};
use fwd_base::{Cause, Error, Kind, Result};
use fwd_dataplane::EndpointId;

/// The endpoints that are left out so far.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<EndpointId, Refusal>);

impl LeftOut {
    /// Those whose namespaces could not be opened.
    pub(super) fn of(desired: &Desired, actual: &Actual) -> Self {
        let unopened = |it: &Endpoint| {
            let refusal = actual.unopened.get(it.netns.as_ref()?)?;
            Some((it.id.clone(), refusal.clone()))
        };
        Self(desired.endpoints.iter().filter_map(unopened).collect())
    }

    /// Leaves an endpoint out for such an error.
    ///
    /// # Errors
    /// The error, where it is not that endpoint alone that cannot be: what is asked for makes no sense, or the host cannot do it. Or all that is
    /// desired is no file's.
    pub(super) fn add(&mut self, id: &EndpointId, error: Error, scope: &Scope) -> Result<()> {
        // What a process or a path leads to is no mistake of the file's.
        let is_its_own =
            matches!(error.kind, Kind::Conflict | Kind::NotFound) || error.cause == Some(Cause::HostNamespace);
        if scope.declared.is_none() || !is_its_own {
            return Err(error);
        }
        self.0.insert(id.clone(), error.into());
        Ok(())
    }

    /// Whether it is left out.
    pub(super) fn has(&self, id: &EndpointId) -> bool {
        self.0.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Why those that are up cannot stay meanwhile.
    pub(super) fn displaced(&self, desired: &Desired, replaced: &Replaced, actual: &Actual) -> Replaced {
        if self.0.is_empty() {
            return Replaced::default();
        }
        let is_promised = |record: &EndpointRecord| {
            let mut others = desired.endpoints.iter().filter(|it| it.id != record.id && it.network == record.network);
            others.any(|it| record.addresses().any(|address| it.options.addresses().any(|own| own == address)))
        };
        let wanted = |record: &EndpointRecord| desired.endpoints.iter().find(|it| it.id == record.id);
        let why = |record: &EndpointRecord| match wanted(record) {
            _ if replaced.networks.contains_key(&record.network) => Some("its network is made anew"),
            Some(wanted) if wanted.network != record.network => Some("it is to be in another network"),
            Some(wanted) if record.allow_spoof && !wanted.options.allow_spoof => {
                Some("it is to send from its own addresses alone")
            }
            Some(wanted) if wanted.options.limits.lower(record.limits) => Some("it is to have lower limits"),
            _ => is_promised(record).then_some("its address is another's"),
        };
        let up = actual.records.endpoints.iter().filter(|record| self.has(&record.id));
        let endpoints = up.filter_map(|record| Some((record.id.clone(), why(record)?.to_owned())));
        Replaced { endpoints: endpoints.collect(), networks: BTreeMap::new() }
    }
}

impl Planner<'_> {
    /// What is done about one that is left out, and is up: what it may not do any more.
    pub(super) fn restrain(&mut self, asked: &Asked) -> Result<()> {
        self.turn_to(asked);
        // By what it is called: its namespace may not be there to be asked, and what its name leads to may be another's.
        let is_it = |record: &&EndpointRecord| record.id == asked.id && self.actual.is_live(record);
        let Some(record) = self.actual.records.endpoints.iter().find(is_it) else { return Ok(()) };
        let mut ops: Vec<Op> = ports::unwanted(asked, record, &self.actual).into_iter().map(Op::remove).collect();
        if let Some(network) = self.actual.network_of(record) {
            let to =
                policy::rules(&asked.options.policy, &record.policy, network.datapath, self.actual.no_bridge_filter)?;
            let host_if = self.actual.host.net.name_of(record.index);
            let by_kernel =
                object::KernelPolicy::of(record, host_if.clone(), network, to.clone()).map(Object::KernelPolicy);
            let rules = Object::EndpointPolicy(object::EndpointPolicy { host_if, from: record.policy.clone(), to });
            let changed = by_kernel.into_iter().chain([rules]).filter(|rules| !self.actual.has(rules));
            ops.extend(changed.map(Op::make));
        }
        self.run_for(asked, ops);
        Ok(())
    }

    /// Tells of those that are left out.
    pub(super) fn note_left_out(
        &mut self,
        desired: &Desired,
        left_out: &LeftOut,
        displaced: &Replaced,
        before: &Actual,
    ) {
        for endpoint in desired.endpoints.iter().filter(|it| left_out.has(&it.id)) {
            let (Some(refusal), Some(target)) = (left_out.0.get(&endpoint.id), &endpoint.netns) else { continue };
            let is_up = before.records.endpoints.iter().any(|it| it.id == endpoint.id && before.is_live(it));
            let state = match displaced.endpoints.get(&endpoint.id) {
                Some(why) => format!("it is taken down meanwhile: {why}"),
                None if is_up => "it stays as it is, but for its rules and for ports that are withdrawn".into(),
                None => "it is not up".into(),
            };
            let place = desired.places.of(target, &endpoint.id.ifname).map(|place| format!("{place}: "));
            self.plan.changes.push(Change {
                kind: ChangeKind::Refuse,
                network: endpoint.network.clone(),
                endpoint: Some((target.label(), endpoint.id.ifname.clone())),
                why: Some(format!("{}{}", place.unwrap_or_default(), refusal.message)),
                what: refusal.remedy.clone().into_iter().chain([state]).collect(),
            });
        }
    }

    /// Adds the operations of one endpoint: if one of them fails, nobody else is concerned.
    pub(super) fn run_for(&mut self, asked: &Asked, ops: Vec<Op>) {
        let start = self.plan.ops.len();
        self.run(ops, true);
        if self.plan.ops.len() > start {
            let (target, id) = (asked.target.clone(), asked.id.clone());
            self.plan.groups.push(Group {
                ops: start..self.plan.ops.len(),
                id,
                target,
                network: asked.network.name.clone(),
            });
        }
    }
}

/// The error about what was refused or has failed of `changes`, and `others` that nothing of them is about; none where all is done.
#[must_use]
pub fn partly(doing: &str, changes: &[Change], others: &[String]) -> Option<Error> {
    let is_undone = |change: &&Change| matches!(change.kind, ChangeKind::Refuse | ChangeKind::Fail);
    let undone = changes.iter().filter(is_undone).map(|change| {
        let why = change.why.clone().unwrap_or_default();
        match (&change.kind, &change.endpoint) {
            // A refusal names it.
            (ChangeKind::Fail, Some((ns, ifname))) => format!("{ifname} of {ns}: {why}"),
            _ => why,
        }
    });
    let all: Vec<String> = undone.chain(others.iter().cloned()).collect();
    let told = all.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; then: ");
    let more = all.len().saturating_sub(TOLD);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let object =
        if all.len() == 1 { "one part of what is said".into() } else { format!("{} parts of what is said", all.len()) };
    let error = Error::new(Kind::Partly, doing, object, format!("{told}{more}"));
    (!all.is_empty())
        .then(|| error.remedy("mend what is named, and `fwd apply` the same again: nothing else waits for it"))
}

/// So many reasons are told at once.
const TOLD: usize = 5;

/// Operations of a plan that are about one endpoint alone.
impl Plan {
    /// Where the operations about single endpoints begin.
    #[must_use]
    pub fn before_groups(&self) -> usize {
        self.groups.first().map_or(self.ops.len(), |group| group.ops.start)
    }
}
