//! What has to be done: what is desired in a scope, less what there is.

mod arrivals;
pub(crate) mod change;
mod clearing;
pub(crate) mod down;
mod export;
mod identity;
mod ipv6;
mod left_out;
pub(crate) mod mend;
mod name_server;
pub(crate) mod networks;
pub(crate) mod orphans;
mod others;
mod pairs;
mod pool;
pub(crate) mod ports;
pub(crate) mod replace;
mod rules;
pub(crate) mod up;
pub(crate) mod uplinks;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

pub use self::export::export;
pub use self::{
    arrivals::plan_arrivals,
    change::{Change, ChangeKind},
    left_out::partly,
    networks::plan_network,
    pool::{fits, why_changed},
    ports::plan_ports,
    uplinks::plan_uplinks,
};
use self::{left_out::LeftOut, mend::Mended, others::Others, replace::Replaced};
use super::{
    Actual, Desired, DownRequest, Endpoint, NS_IF, Op, Scope, Target, TargetRef, UpRequest,
    desired::{Asked, AskedNetwork},
    network_name, refuse,
    refuse::refuse_others,
};
use fwd_base::Result;
use fwd_dataplane::EndpointId;

/// What is going to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order; empty when there is nothing to do.
    pub ops: Vec<Op>,
    /// So many of them come first and mend what others use: each rests on those before it, and they stay done if a later one fails.
    pub mends: usize,
    /// So many of them, with these, mend or remove: of what goes after that, each is removed whether others can be or not.
    pub gone: usize,
    /// Those that are about one endpoint alone come last, one endpoint after the other.
    pub groups: Vec<Group>,
    /// Where the endpoints in scope are then.
    pub attachments: Vec<Attachment>,
    /// What becomes of networks and endpoints, where all that is desired is in scope.
    pub changes: Vec<Change>,
    /// Of what is not up: the nearest name of something that is.
    pub nearest: Option<String>,
    /// What the user ought to know.
    pub warnings: Vec<String>,
}

/// Operations that are about one endpoint alone: if one of them fails, nobody else is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Their numbers.
    pub ops: Range<usize>,
    /// The endpoint.
    pub id: EndpointId,
    /// Its namespace.
    pub target: TargetRef,
    /// Its network.
    pub network: String,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The network joined.
    pub network: String,
    /// Name of the host-side veth.
    pub host_if: String,
    /// How many more namespaces the network has room for.
    pub room: usize,
}

/// Decides what has to be done so that in `scope` there is what is desired, and nothing else of ours. Everything that can be refused is
/// refused here, before anything is changed: of what files declare, an endpoint that cannot be by itself is left out, and told of.
///
/// Where nothing of one namespace is desired, whatever nothing uses any more goes with it.
///
/// # Errors
/// Each error names what is asked for and what there is.
pub fn plan(desired: &Desired, actual: &Actual, scope: &Scope) -> Result<Plan> {
    let mut left_out = LeftOut::of(desired, actual);
    let identified = if scope.is_whole() {
        identity::of_records(desired, actual, scope, &mut left_out)?
    } else {
        Cow::Borrowed(desired)
    };
    loop {
        // What is planned for the others depends on who is left out.
        let known = left_out.len();
        let plan = plan_without(&mut left_out, &identified, actual, scope)?;
        if left_out.len() == known {
            return Ok(plan);
        }
    }
}

/// A plan in which some are left out. Whoever cannot be, either, is added to them.
fn plan_without(left_out: &mut LeftOut, desired: &Desired, actual: &Actual, scope: &Scope) -> Result<Plan> {
    let whole = scope.is_whole();
    let coming = desired.endpoints_in(scope)?;
    let goes = whole || coming.is_empty();
    if goes {
        down::refuse(scope, actual)?;
    }
    if !scope.is_everything() || *desired != Desired::default() {
        refuse_others(&actual.records.others, if goes && !whole { "take down only a part of" } else { "add to" })?;
    }
    let Mended { ops, actual: mended, notes } = if !goes || down::keeps(desired, scope, actual) {
        mend::uplinks(actual, desired)
    } else {
        Mended { ops: Vec::new(), actual: Cow::Borrowed(actual), notes: Vec::new() }
    };
    let mends = ops.len();
    let mut planner = Planner { plan: Plan { ops, mends, gone: mends, ..Plan::default() }, actual: mended };
    let is_out = |asked: &Asked| left_out.has(&asked.id);
    let mut replaced = if whole { planner.replaced(desired, &coming, left_out)? } else { Replaced::default() };
    let settled = replaced.with_addresses(desired, actual);
    let coming = settled.as_ref().map(|settled| settled.endpoints_in(scope)).transpose()?.unwrap_or(coming);
    let (kept_out, mut coming): (Vec<_>, Vec<_>) = coming.into_iter().partition(is_out);
    hurry(&mut coming, actual);
    let desired = settled.as_ref().unwrap_or(desired);
    let displaced = left_out.displaced(desired, &replaced, actual);
    replaced.endpoints.extend(displaced.endpoints.clone());
    if goes {
        planner.go(desired, &replaced, scope);
    }
    if whole {
        planner.note_gone(&replaced, actual);
        planner.networks(desired, &replaced, actual)?;
        kept_out.iter().try_for_each(|asked| planner.restrain(asked))?;
    }
    planner.come(&coming, &replaced, actual, scope, left_out)?;
    planner.note_left_out(desired, left_out, &displaced, actual);
    planner.warn(notes);
    let others = scope.declared.filter(|declared| !declared.prune);
    planner.warn(others.and_then(|_| change::left_alone(actual, desired)));
    Ok(planner.plan)
}

/// So many endpoints come one by one, each by what is best for packets.
const FEW: usize = 64;

/// Of many that come at once, each is attached by what takes no time: the kernel waits for all CPUs whenever a program is attached by TCX, and
/// once more when its interface is deleted, with every other change of an interface behind it (`tcx_entry_sync` in include/net/tcx.h).
fn hurry(coming: &mut [Asked], actual: &Actual) {
    let known: BTreeSet<&EndpointId> = actual.records.endpoints.iter().map(|it| &it.id).collect();
    let fresh = coming.iter().filter(|asked| !known.contains(&asked.id)).count();
    coming.iter_mut().for_each(|asked| asked.hurries |= fresh > FEW);
}

/// A plan for one namespace to be attached.
///
/// # Errors
/// As [`plan`].
pub fn plan_up(request: &UpRequest, actual: &Actual) -> Result<Plan> {
    refuse_others(&actual.records.others, "add to")?;
    refuse::attached_for_caller(request, actual)?;
    let scope = Scope { target: Some(request.target.clone()), ..Scope::default() };
    plan(&request.desired(actual)?, actual, &scope)
}

/// A plan for one namespace, or everything, to be taken away.
///
/// # Errors
/// As [`plan`].
pub fn plan_down(request: &DownRequest, actual: &Actual) -> Result<Plan> {
    if request.pooled.is_some_and(|cookie| pool::is_given(cookie, actual)) {
        return Ok(Plan::default());
    }
    plan(&Desired::default(), actual, request)
}

impl UpRequest {
    /// The part of what is desired that it asks for.
    ///
    /// # Errors
    /// As [`network_name`].
    fn desired(&self, actual: &Actual) -> Result<Desired> {
        let name = network_name(self, actual)?;
        // Who is attached already keeps the name by which he was.
        let meant = actual.target.as_ref().and_then(|target| target.ifname.as_deref());
        let known = actual.attached().filter(|record| !record.marks.pooled || self.endpoint.pooled);
        let known = known.map(|record| record.id.clone());
        let called = self.caller.as_ref().map(|caller| caller.id.clone()).or(known);
        let endpoint = Endpoint {
            id: called.unwrap_or_else(|| self.target.id(meant.unwrap_or(NS_IF))),
            network: name.clone(),
            owner_network: self.caller.as_ref().map(|caller| caller.network.clone()),
            netns: Some(self.target.clone()),
            options: self.endpoint.clone(),
        };
        let (networks, endpoints) = ([(name, self.options.clone())].into(), vec![endpoint]);
        Ok(Desired { table: self.table.clone(), networks, endpoints, ..Desired::default() })
    }
}

/// What is planned so far, and what there is then.
struct Planner<'a> {
    plan: Plan,
    actual: Cow<'a, Actual>,
}

impl Planner<'_> {
    /// Adds what was not said yet: of a thousand endpoints many say the same.
    fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        for warning in warnings {
            if !self.plan.warnings.contains(&warning) {
                self.plan.warnings.push(warning);
            }
        }
    }

    /// Adds operations; `known` where others follow that depend on what they leave.
    fn run(&mut self, ops: Vec<Op>, known: bool) {
        if known && !ops.is_empty() {
            let actual = self.actual.to_mut();
            ops.iter().for_each(|op| actual.apply(op));
        }
        self.plan.ops.extend(ops);
    }

    fn go(&mut self, desired: &Desired, replaced: &Replaced, scope: &Scope) {
        let down::Going { ops, nearest, warnings } = down::going(desired, replaced, scope, &self.actual);
        self.plan.nearest = nearest;
        self.plan.warnings.extend(warnings);
        self.run(ops, scope.is_whole());
        self.plan.gone = self.plan.ops.len();
    }

    fn networks(&mut self, desired: &Desired, replaced: &Replaced, before: &Actual) -> Result<()> {
        // Those first that have said their addresses: nobody takes these for a free subnet.
        let (said, free): (Vec<_>, Vec<_>) =
            desired.networks.iter().partition(|(_, network)| network.subnet.is_some() || network.subnet6.is_some());
        for (name, network) in said.into_iter().chain(free) {
            let mut asked = AskedNetwork { exact: true, ..AskedNetwork::new(name, network) };
            let has_none = desired.endpoints.iter().all(|endpoint| endpoint.network != *name);
            asked.options.kept |= has_none && !pool::stays_in(name, &self.actual);
            let ops = up::network_alone(&asked, &desired.table, &self.actual)?;
            self.note_network(name, replaced, before, &ops);
            self.run(ops, true);
        }
        Ok(())
    }

    /// Plans for the endpoints that come, one after the other. Whoever cannot be is left out; `before` is what there was before the plan.
    fn come(
        &mut self,
        coming: &[Asked],
        replaced: &Replaced,
        before: &Actual,
        scope: &Scope,
        left_out: &mut LeftOut,
    ) -> Result<()> {
        let whole = scope.is_whole();
        let others = Others::of(&self.actual);
        let mut freed = if whole { self.free_ports(coming) } else { BTreeMap::new() };
        for asked in coming {
            if whole {
                self.turn_to(asked);
            }
            let up::Coming { ops, attachment, warnings } = match up::endpoint(asked, &self.actual, &others) {
                Ok(coming) => coming,
                Err(error) => {
                    left_out.add(&asked.id, error, scope)?;
                    continue;
                }
            };
            self.plan.attachments.push(attachment);
            self.warn(warnings);
            if whole {
                let mut told = freed.remove(&asked.id).unwrap_or_default();
                told.extend(ops.iter().cloned());
                self.note_endpoint(asked, replaced, before, &told);
                self.run_for(asked, ops);
            } else {
                self.run(ops, false);
            }
        }
        Ok(())
    }

    /// Withdraws what endpoints are to publish no more: ports that change hands are free before anybody takes them. Returns what is done so, by who gives them.
    fn free_ports(&mut self, coming: &[Asked]) -> BTreeMap<EndpointId, Vec<Op>> {
        let mut freed = BTreeMap::new();
        if self.actual.records.publications.is_empty() {
            return freed;
        }
        for asked in coming {
            self.turn_to(asked);
            let ops: Vec<Op> = ports::withdrawn(asked, &self.actual).into_iter().map(Op::remove).collect();
            self.run_for(asked, ops.clone());
            freed.extend((!ops.is_empty()).then(|| (asked.id.clone(), ops)));
        }
        freed
    }

    /// The endpoint that comes next: of a namespace with several, all that was planned before is there.
    fn turn_to(&mut self, asked: &Asked) {
        let actual = self.actual.to_mut();
        if let Some(target) = actual.target.take() {
            actual.targets.insert(target.reference.clone(), target);
        }
        let known = actual.targets.get(&asked.target).cloned();
        let target = known.unwrap_or_else(|| Target::missing(&asked.target));
        actual.target = Some(Target { ifname: Some(asked.id.ifname.clone()), ..target });
    }
}
