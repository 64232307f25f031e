//! Does what [`reconcile`](fwd_plan) decides: reads what there is, runs the operations, rolls back what fails.
//!
//! The calling thread must be in the namespace that plays the host: programs, sysctls, cookies and interface numbers follow
//! it. Whatever changes the host does so under the lock of that namespace.

mod announce;
mod arrivals;
mod collect;
mod counters;
mod failures;
mod gather;
mod gathered;
mod names;
mod namespaces;
mod networks;
mod numbers;
mod outcome;
mod pool;
mod record;
mod reload;
mod run;
mod scoped;
mod surroundings;
mod taken;
mod taking;
mod trace;
mod undo;
mod whole;

use std::{path::PathBuf, time::Duration};

pub use self::arrivals::follow_arrivals;
pub use self::collect::{Collected, KnownHost, detach_others, gc, hosts};
pub use self::gather::lost_rules;
pub use self::names::{gateways, name_server};
use self::{
    failures::all_of,
    gathered::{Gathered, planned},
    run::Runner,
    taken::Taken,
};
pub(crate) use self::{
    gather::recorded,
    names::names_of,
    record::{attach, limits, order_of, source, sources_of, table},
    surroundings::{are_bridged, effects, is_strict, lost_sources, not_forwarded},
};
pub use self::{
    namespaces::{open_target, remove_namespace},
    networks::{add_network, dry_network, free_subnets},
    outcome::{Applied, AppliedWhole, Arrivals, DownResult, Planned, PlannedWhole, Step, UpResult},
    pool::{Pool, PoolRequest, Pooled, fill, pool, remove_pool},
    reload::{reload, roll_back},
    surroundings::{listeners, problems},
    trace::{end_trace, trace},
    whole::{apply, dry_apply, export},
};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{Dataplane, Described, Lock, RunDir, sees_offloads};
use fwd_kernel::netns::Netns;
use fwd_plan::{
    Action, Attachment, DownRequest, Object, Op, Plan, PortRequest, Undo, UpRequest, UplinkRequest, plan_down,
    plan_ports, plan_up, plan_uplinks,
};

/// What is said where the programs do not see what a sender has left to a device.
const BLIND: &str = "this kernel does not show programs what a sender has left to the network card (`fwd features` tells which Linux does): behind \
    an uplink that finishes no checksums, a namespace with CAP_NET_RAW can have one written over its port; let the card do it: ethtool -K \
    UPLINK tx on";

/// How long a command waits for another one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a command acts.
#[derive(Clone, Debug)]
pub struct HostContext {
    /// Pins and locks.
    pub run_dir: RunDir,
    /// The name (or path) by which the user gave the namespace that plays the host: for what is named after it.
    pub host: Option<String>,
    /// The cgroup whose processes are to reach published ports by the host's own addresses; without it, the root.
    pub cgroup: Option<PathBuf>,
    /// How long to wait for another command on the same host.
    pub patience: Duration,
    /// The program that becomes the name server when it is run with `dns serve`.
    pub program: PathBuf,
}

impl HostContext {
    /// The host of the calling thread, with everything else as usual.
    #[must_use]
    pub fn new(run_dir: RunDir) -> Self {
        let program = "/proc/self/exe".into();
        Self { run_dir, host: None, cgroup: None, patience: PATIENCE, program }
    }

    /// Lets this command alone change the host with `cookie`. What an interrupted change of versions has left is put right before anybody looks.
    fn lock(&self, cookie: u64) -> Result<Lock> {
        let (lock, settled) = self.lock_and_settle(cookie)?;
        settled.map(|()| lock).map_err(|error| {
            if error.remedy.is_some() {
                error
            } else {
                error.remedy("`fwd down --all` takes down what any version brought up")
            }
        })
    }

    /// The same for who takes everything down, which needs nothing put right: whether that was.
    fn lock_and_settle(&self, cookie: u64) -> Result<(Lock, Result<()>)> {
        let lock = Lock::acquire(&self.run_dir, cookie, self.patience)?;
        Ok((lock, Dataplane::settle_versions(&self.run_dir, cookie)))
    }
}

/// Sees each operation before and after it is run: tests end the process there.
pub trait Observer {
    /// These operations are about to run.
    fn planned(&mut self, operations: &[Op]) {
        let _ = operations;
    }

    /// The operation `op`, the plan's number `index` from 0, is about to run.
    fn before(&mut self, index: usize, op: &Op) {
        let _ = (index, op);
    }

    /// It has succeeded.
    fn after(&mut self, index: usize, op: &Op) {
        let _ = (index, op);
    }
}

/// Sees nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Attaches a namespace, making what is missing. Does nothing if it is attached as asked.
///
/// # Errors
/// What [`plan_up`] refuses, before anything is changed; or the operation that failed, after those before it were undone.
pub fn up(context: &HostContext, request: &UpRequest, observer: &mut dyn Observer) -> Result<UpResult> {
    up_and_look(context, request, observer, |_, _| Ok(())).map(|(result, ())| result)
}

/// As [`up`], and looks at what was done before anybody else can change it, by the data path as it is: nothing has to be opened beforehand to be
/// there to the end.
///
/// # Errors
/// As [`up`]; what `look` returns.
pub fn up_and_look<T>(
    context: &HostContext,
    request: &UpRequest,
    observer: &mut dyn Observer,
    look: impl FnOnce(&UpResult, Dataplane) -> Result<T>,
) -> Result<(UpResult, T)> {
    let cookie = Netns::current()?.cookie()?;
    collect::in_passing(context, cookie);
    let taken = Taken::for_up(context, request)?;
    let _lock = context.lock(cookie)?;
    let (gathered, plan) = settle_up(context, request, &taken)?;
    let mut runner = Runner::new(context, gathered);
    runner.run_or_undo(&plan.ops, plan.mends, observer)?;
    runner.follow_routes();
    runner.follow_names();
    let attachment = plan.attachments.first();
    let endpoint = attachment.map(|attachment| attached(&runner, request, attachment)).transpose()?;
    let endpoint = endpoint.flatten().ok_or_else(|| removed(request))?;
    let room = attachment.map_or(0, |attachment| attachment.room);
    let taken = plan.ops.iter().find_map(|op| match op {
        Op { action: Action::Make, object: Object::EndpointTaken(taken) } => Some(taken.from.to_string()),
        _ => None,
    });
    let loaded = plan.ops.iter().any(|op| matches!(op, Op { action: Action::Make, object: Object::Dataplane(_) }));
    let blind = (loaded && !sees_offloads()).then(|| BLIND.to_owned());
    let warnings = plan.warnings.into_iter().chain(std::mem::take(&mut runner.warnings)).chain(blind).collect();
    let result = UpResult { endpoint, changed: !plan.ops.is_empty(), loaded, taken, room, warnings };
    let seen = look(&result, runner.into_plane()?)?;
    Ok((result, seen))
}

/// Reads and plans: what concerns the target alone, if that is enough. Whatever is refused is refused in view of everything.
fn settle_up(context: &HostContext, request: &UpRequest, taken: &Taken) -> Result<(Gathered, Plan)> {
    let mut notes = Vec::new();
    let scoped = scoped::for_up(context, request, &mut notes);
    if let Ok(Some(gathered)) = scoped.map(|found| found.map(|gathered| gathered.knowing(taken)))
        && let Ok(mut plan) = plan_up(request, &gathered.actual)
        && !scoped::exceeds_scope(&gathered, &plan.ops)?
    {
        plan.warnings.append(&mut notes);
        return Ok((gathered, plan));
    }
    tracing::debug!("reading everything");
    let gathered = gather::for_up(context, request, &mut notes)?.knowing(taken);
    let mut plan = plan_up(request, &gathered.actual)?;
    plan.warnings.append(&mut notes);
    Ok((gathered, plan))
}

/// As [`settle_up`].
fn settle_down(context: &HostContext, request: &DownRequest) -> Result<(Gathered, Plan)> {
    if let Ok(Some(gathered)) = scoped::for_down(context, request)
        && let Ok(plan) = plan_down(request, &gathered.actual)
        // Others on the host may need what was changed for all; and of an interface that was not read nobody knows what there is to put back.
        && !plan.ops.iter().any(|op| matches!(op.object, Object::Sysctl(_) | Object::Undo(Undo::Sysctl(_))))
    {
        return Ok((gathered, plan));
    }
    tracing::debug!("reading everything");
    let gathered = gather::for_down(context, request)?;
    let plan = plan_down(request, &gathered.actual)?;
    Ok((gathered, plan))
}

/// The record of the endpoint that `up` made sure of.
fn attached(runner: &Runner<'_>, request: &UpRequest, attachment: &Attachment) -> Result<Option<(u32, Described)>> {
    let cookie = runner.namespace(&request.target)?.cookie()?;
    let index = runner.number(&attachment.host_if)?;
    let plane = runner.plane()?;
    let endpoint = plane.endpoint(index)?.map(|record| plane.describe(index, record)).transpose()?;
    let is_it = |endpoint: &Described| {
        endpoint.record.netns_cookie == cookie && endpoint.metadata.network == attachment.network
    };
    Ok(endpoint.filter(is_it).map(|endpoint| (index, endpoint)))
}

fn removed(request: &UpRequest) -> Error {
    Error::new(Kind::Failed, "find", request.target.to_string(), "its endpoint was removed at the same moment")
}

/// What [`up`] would do. Takes no lock and changes nothing.
///
/// # Errors
/// As [`up`] refuses.
pub fn dry_up(context: &HostContext, request: &UpRequest) -> Result<Planned> {
    let (gathered, plan) = settle_up(context, request, &Taken::for_up(context, request)?)?;
    Ok(planned(context, &gathered, &plan.ops, plan.warnings))
}

/// Takes away an endpoint, or everything, with whatever nothing uses any more.
///
/// # Errors
/// What could not be removed; the rest is removed all the same.
pub fn down(context: &HostContext, request: &DownRequest, observer: &mut dyn Observer) -> Result<DownResult> {
    let cookie = Netns::current()?.cookie()?;
    collect::in_passing(context, cookie);
    let _lock = if request.is_everything() { context.lock_and_settle(cookie)?.0 } else { context.lock(cookie)? };
    let (gathered, plan) = settle_down(context, request)?;
    let mut runner = Runner::new(context, gathered);
    all_of(runner.run_all(&plan.ops, plan.mends, observer))?;
    runner.follow_routes();
    runner.follow_names();
    if request.is_everything() {
        Dataplane::tidy(&context.run_dir, cookie)?;
    }
    let mut result = DownResult::of(&plan);
    result.warnings.append(&mut runner.warnings);
    Ok(result)
}

/// Publishes and withdraws ports of an endpoint that is up.
///
/// # Errors
/// What [`plan_ports`] refuses, before anything is changed; or the operation that failed, after what was made before it was undone.
pub fn change_ports(context: &HostContext, request: &PortRequest, observer: &mut dyn Observer) -> Result<Applied> {
    let cookie = Netns::current()?.cookie()?;
    collect::in_passing(context, cookie);
    let _lock = context.lock(cookie)?;
    let gathered = gather::for_ports(context, request)?;
    let Plan { ops, mends, mut warnings, .. } = plan_ports(request, &gathered.actual)?;
    let mut runner = Runner::new(context, gathered);
    runner.run_or_undo(&ops, mends, observer)?;
    runner.follow_routes();
    runner.follow_addresses();
    warnings.append(&mut runner.warnings);
    Ok(Applied { changed: !ops.is_empty(), warnings })
}

/// What [`change_ports`] would do. Takes no lock and changes nothing.
///
/// # Errors
/// As [`change_ports`] refuses.
pub fn dry_ports(context: &HostContext, request: &PortRequest) -> Result<Planned> {
    let gathered = gather::for_ports(context, request)?;
    let Plan { ops, warnings, .. } = plan_ports(request, &gathered.actual)?;
    Ok(planned(context, &gathered, &ops, warnings))
}

/// Makes interfaces of the host uplinks, or none any more.
///
/// # Errors
/// What [`plan_uplinks`] refuses, before anything is changed; or the operation that failed, after what was made before it was undone.
pub fn change_uplinks(context: &HostContext, request: &UplinkRequest, observer: &mut dyn Observer) -> Result<Applied> {
    let cookie = Netns::current()?.cookie()?;
    collect::in_passing(context, cookie);
    let _lock = context.lock(cookie)?;
    let gathered = gather::for_uplinks(context)?;
    let Plan { ops, mends, warnings, .. } = plan_uplinks(request, &gathered.actual)?;
    let mut runner = Runner::new(context, gathered);
    runner.run_or_undo(&ops, mends, observer)?;
    runner.follow_routes();
    Ok(Applied { changed: !ops.is_empty(), warnings })
}

/// What [`change_uplinks`] would do. Takes no lock and changes nothing.
///
/// # Errors
/// As [`change_uplinks`] refuses.
pub fn dry_uplinks(context: &HostContext, request: &UplinkRequest) -> Result<Planned> {
    let gathered = gather::for_uplinks(context)?;
    let Plan { ops, warnings, .. } = plan_uplinks(request, &gathered.actual)?;
    Ok(planned(context, &gathered, &ops, warnings))
}

/// What [`down`] would do. Takes no lock and changes nothing.
///
/// # Errors
/// As [`down`] refuses.
pub fn dry_down(context: &HostContext, request: &DownRequest) -> Result<Planned> {
    let (gathered, plan) = settle_down(context, request)?;
    Ok(planned(context, &gathered, &plan.ops, plan.warnings))
}
