//! Makes of a host what is desired, at once; and says what there is in the same way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    HostContext, Observer, Unobserved, collect, gather,
    gathered::{Gathered, planned},
    outcome::{AppliedWhole, PlannedWhole},
    run::{Runner, Undone},
    taken::Taken,
};
use fwd_base::{Error, Result};
use fwd_dataplane::EndpointId;
use fwd_kernel::netns::Netns;
use fwd_plan::{Change, ChangeKind, Desired, Endpoint, EndpointOptions, Group, Plan, Scope, plan};

/// Makes of what is in `scope` (the whole host, or what files declare) what is desired: what is not goes, what is there stays as it is,
/// changes while it stays, or is made anew. Everything is read once, planned once, and done under one lock.
///
/// An endpoint of which something fails is left out of it: what was made of it is removed again, and what was there before is made once
/// more, where that is possible. The changes tell of it.
///
/// # Errors
/// What [`plan`] refuses, before anything is changed; or an operation for what others rest on, after what was made before it was undone. What
/// was removed before it is not made again: to apply the same once more completes it.
pub fn apply(
    context: &HostContext,
    desired: &Desired,
    scope: &Scope,
    observer: &mut dyn Observer,
) -> Result<AppliedWhole> {
    let cookie = Netns::current()?.cookie()?;
    collect::in_passing(context, cookie);
    let taken = Taken::for_whole(context, desired)?;
    let _lock = context.lock(cookie)?;
    let gathered = gather::whole::for_whole(context, desired)?.knowing(&taken);
    let plan = plan(desired, &gathered.actual, scope)?;
    let before = fwd_plan::export(&gathered.actual);
    let (undone, mut warnings) = run(context, gathered, &plan, observer)?;
    let Plan { ops, warnings: planned, mut changes, .. } = plan;
    let mut left: Vec<String> = undone.left.iter().map(ToString::to_string).collect();
    if !undone.failed.is_empty() {
        let again = Again::of(desired, &before, &undone.failed, &changes);
        left.extend(again.complete(context, scope, undone.failed, &mut changes).err().map(|error| error.to_string()));
    }
    warnings.splice(0..0, planned);
    Ok(AppliedWhole { changed: !ops.is_empty(), changes, left, warnings })
}

/// Runs a plan, and tells whoever follows what there is then. What failed, and what the user ought to know.
fn run(
    context: &HostContext,
    gathered: Gathered,
    plan: &Plan,
    observer: &mut dyn Observer,
) -> Result<(Undone, Vec<String>)> {
    let mut runner = Runner::new(context, gathered);
    observer.planned(&plan.ops);
    let undone = runner.run_whole(plan, observer)?;
    runner.follow_routes();
    runner.follow_names();
    Ok((undone, runner.warnings))
}

/// What there is to be once endpoints have failed: these as they were before, where they were there, and all others as they are desired.
struct Again {
    desired: Desired,
    /// Those that were there.
    former: BTreeSet<EndpointId>,
}

impl Again {
    fn of(desired: &Desired, before: &Desired, failed: &[(Group, Error)], changes: &[Change]) -> Self {
        let mut again = desired.clone();
        let is =
            |it: &Endpoint, group: &Group| it.netns.as_ref() == Some(&group.target) && it.id.ifname == group.id.ifname;
        again.endpoints.retain(|it| !failed.iter().any(|(group, _)| is(it, group)));
        let were = before.endpoints.iter().filter(|it| failed.iter().any(|(group, _)| group.id == it.id));
        // Into another network than it was in, it would not fit.
        let is_anew = |it: &Change| it.endpoint.is_none() && it.kind != ChangeKind::Change;
        let stays = |name: &String| {
            desired.networks.contains_key(name) && !changes.iter().any(|it| is_anew(it) && it.network == *name)
        };
        let former = were.filter(|it| stays(&it.network)).map(|it| {
            let group = failed.iter().find(|(group, _)| group.id == it.id).map(|(group, _)| group);
            let wanted = desired.endpoints.iter().find(|wanted| group.is_some_and(|group| is(wanted, group)));
            wanted.map_or_else(|| it.clone(), |wanted| restrained(it, wanted))
        });
        let former: Vec<Endpoint> = former.collect();
        let ids = former.iter().map(|it| it.id.clone()).collect();
        again.endpoints.extend(former);
        Self { desired: again, former: ids }
    }

    /// Makes that, in view of what there is by now, and notes in `changes` what failed and what became of it.
    ///
    /// # Errors
    /// As [`apply`].
    fn complete(
        &self,
        context: &HostContext,
        scope: &Scope,
        failed: Vec<(Group, Error)>,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let restored = gather::whole::for_whole(context, &self.desired).and_then(|gathered| {
            let plan = plan(&self.desired, &gathered.actual, scope)?;
            let (undone, _) = run(context, gathered, &plan, &mut Unobserved)?;
            Ok((plan, undone))
        });
        let mut refused = BTreeMap::new();
        if let Ok((plan, undone)) = &restored {
            refused.extend(undone.failed.iter().map(|(group, error)| (group.target.label(), error.to_string())));
            let left_out = plan.changes.iter().filter(|change| change.kind == ChangeKind::Refuse);
            refused
                .extend(left_out.filter_map(|it| Some((it.endpoint.clone()?.0, it.why.clone().unwrap_or_default()))));
        }
        for (Group { id, target, network, .. }, error) in failed {
            let endpoint = Some((target.label(), id.ifname.clone()));
            changes.retain(|change| change.endpoint != endpoint);
            let not_back = |why: &dyn fmt::Display| format!("what it had before could not be brought back: {why}");
            let state = match (&restored, refused.get(&target.label())) {
                _ if !self.former.contains(&id) => "nothing of it is left".into(),
                (Err(error), _) => not_back(error),
                (Ok(_), Some(why)) => not_back(why),
                (Ok(_), None) => "it is as it was before, but for its rules and for ports that are withdrawn".into(),
            };
            let (why, what) = (error.to_string(), error.remedy.into_iter().chain([state]).collect());
            changes.push(Change { kind: ChangeKind::Fail, network, endpoint, why: Some(why), what });
        }
        restored.map(drop)
    }
}

/// An endpoint as it was, but for what it is to do no more: its rules are the new ones, and ports that are withdrawn stay so.
fn restrained(former: &Endpoint, wanted: &Endpoint) -> Endpoint {
    let mut options = EndpointOptions { policy: wanted.options.policy.clone(), ..former.options.clone() };
    options.publish.retain(|ports| wanted.options.publish.contains(ports));
    Endpoint { options, ..former.clone() }
}

/// What [`apply`] would do. Takes no lock and changes nothing.
///
/// # Errors
/// As [`apply`] refuses.
pub fn dry_apply(context: &HostContext, desired: &Desired, scope: &Scope) -> Result<PlannedWhole> {
    let gathered = gather::whole::for_whole(context, desired)?.knowing(&Taken::for_whole(context, desired)?);
    let Plan { ops, warnings, changes, .. } = plan(desired, &gathered.actual, scope)?;
    Ok(PlannedWhole { changes, planned: planned(context, &gathered, &ops, warnings) })
}

/// What is there, as what is desired: to apply it changes nothing.
///
/// # Errors
/// The kernel refuses.
pub fn export(context: &HostContext) -> Result<Desired> {
    gather::recorded(context).map(|actual| fwd_plan::export(&actual))
}
