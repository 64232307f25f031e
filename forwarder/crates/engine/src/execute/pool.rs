//! The pool: endpoints that are made before anybody asks for them.

use std::collections::BTreeSet;

use super::{DownResult, HostContext, Observer, UpResult, down, dry_up, gather, taking, undo::UndoLog, up};
use fwd_base::{Error, Kind, Result};
use fwd_kernel::netns::{self, Name};
use fwd_plan::{
    Actual, DownRequest, EndpointRecord, Network, TableRequest, TargetRef, Undo, UpRequest, reference, why_changed,
};

/// What there is to be in the pool of a network.
#[derive(Clone, Debug)]
pub struct PoolRequest {
    /// What each is to be; its target does not matter.
    pub up: UpRequest,
    /// How many.
    pub size: usize,
    /// Whether only missing ones are made, and only where the network is there.
    pub refill: bool,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// The network.
    pub network: String,
    /// How many there are now.
    pub size: usize,
    /// How many were made.
    pub made: usize,
    /// How many were removed.
    pub removed: usize,
    /// Whether the network is there.
    pub is_up: bool,
    /// What the user ought to know.
    pub warnings: Vec<String>,
}

/// One of the pool.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// Its record.
    pub record: EndpointRecord,
    /// Why nobody is going to be given it; none if it is as it was left.
    pub changed: Option<String>,
}

/// What is in the pool, network by network.
///
/// # Errors
/// The maps or the kernel cannot be read.
pub fn pool(context: &HostContext) -> Result<Vec<Pooled>> {
    let actual = gather::recorded(context)?;
    let mut pooled: Vec<&EndpointRecord> = actual.records.endpoints.iter().filter(|it| it.marks.pooled).collect();
    pooled.sort_by_key(|it| (&it.network, it.main_address()));
    looked_at(&actual, pooled)
}

fn looked_at(actual: &Actual, pooled: Vec<&EndpointRecord>) -> Result<Vec<Pooled>> {
    if pooled.is_empty() {
        return Ok(Vec::new());
    }
    let inhabited = netns::inhabited()?;
    let look =
        |record: &EndpointRecord| Ok(Pooled { record: record.clone(), changed: changed(actual, record, &inhabited)? });
    pooled.into_iter().map(look).collect()
}

/// Why one is not going to be taken.
fn changed(actual: &Actual, record: &EndpointRecord, inhabited: &BTreeSet<u64>) -> Result<Option<String>> {
    let Some(ns) = taking::open(record) else { return Ok(Some("its namespace is gone".into())) };
    if !actual.records.devices.contains(&record.index) {
        return Ok(Some(format!("{} is gone", record.host_if)));
    }
    // A command that looks into namespaces is in them for microseconds.
    let inode = ns.inode()?;
    if inhabited.contains(&inode) && netns::inhabited()?.contains(&inode) {
        return Ok(Some("a process is in it".into()));
    }
    Ok(why_changed(record, &gather::inside(&ns)?))
}

/// Sees to it that so many are there, as they were left: each is a command of its own, so that others have their turn in between.
///
/// # Errors
/// As [`up`] and [`down`]; what was made before stays.
pub fn fill(context: &HostContext, request: &PoolRequest, observer: &mut dyn Observer) -> Result<Pool> {
    let mut done = Pool { network: taking::network(&request.up).into(), ..Pool::default() };
    let actual = gather::recorded(context)?;
    let found = looked_at(&actual, of_network(&actual, &done.network).collect())?;
    refuse_what_cannot_be_had(context, request, &found)?;
    let attach = request.up.endpoint.attach;
    let is_useful = |it: &Pooled| it.changed.is_none() && attach.is_none_or(|attach| it.record.attach == attach);
    let (useful, useless): (Vec<_>, Vec<_>) =
        found.into_iter().map(|it| (is_useful(&it), it.record)).partition(|it| it.0);
    let useless: Vec<EndpointRecord> = useless.into_iter().map(|(_, record)| record).collect();
    let mut gone = Vec::new();
    // Their addresses are free for others. A network goes with the last that is in it: where nothing else keeps it, they go last.
    if !useful.is_empty() || is_kept(&actual, &done.network) {
        gone.extend(useless.iter().map(|it| it.cookie));
        done.warnings.append(&mut remove(context, useless.iter(), observer)?.warnings);
    }
    let useless = useless.iter().map(|it| it.cookie).collect();
    make_missing(context, request, &useless, &mut done, observer)?;
    let actual = gather::recorded(context)?;
    let own = of_network(&actual, &done.network);
    let (mut surplus, mut useful): (Vec<_>, Vec<_>) = own.partition(|it| useless.contains(&it.cookie));
    useful.sort_by_key(|it| it.index);
    let kept = if request.refill { useful.len() } else { request.size };
    surplus.extend(useful.into_iter().skip(kept));
    gone.extend(surplus.iter().map(|it| it.cookie));
    done.warnings.append(&mut remove(context, surplus.into_iter(), observer)?.warnings);
    let actual = gather::recorded(context)?;
    let is_left = |cookie: &u64| actual.records.endpoints.iter().any(|it| it.cookie == *cookie);
    done.removed = gone.iter().collect::<BTreeSet<_>>().into_iter().filter(|it| !is_left(it)).count();
    done.size = of_network(&actual, &done.network).count();
    done.is_up = actual.records.networks.iter().any(|it| it.name == done.network);
    done.warnings.dedup();
    Ok(done)
}

/// Refuses what is asked for and those that are there cannot have, as it is refused for one more.
fn refuse_what_cannot_be_had(context: &HostContext, request: &PoolRequest, found: &[Pooled]) -> Result<()> {
    let UpRequest { endpoint, options, table, .. } = &request.up;
    if endpoint.attach.is_none() && *options == Network::default() && *table == TableRequest::default() {
        return Ok(());
    }
    let Some(one) = found.iter().find(|it| it.changed.is_none() && request.size > 0) else { return Ok(()) };
    let asked = UpRequest { target: reference(&one.record), ..request.up.clone() }.with_endpoint(|it| it.pooled = true);
    dry_up(context, &asked).map(drop)
}

/// Whether a network stays without its pool.
fn is_kept(actual: &Actual, network: &str) -> bool {
    actual.records.networks.iter().any(|it| it.kept && it.name == network)
        || actual.records.endpoints.iter().any(|it| !it.marks.pooled && it.network == network)
}

/// Makes what is missing besides `useless` ones (cookies), which nobody would be given.
fn make_missing(
    context: &HostContext,
    request: &PoolRequest,
    useless: &BTreeSet<u64>,
    done: &mut Pool,
    observer: &mut dyn Observer,
) -> Result<()> {
    // Others may take, make and remove some meanwhile.
    for _ in 0..request.size.saturating_mul(2) {
        let actual = gather::recorded(context)?;
        let is_up = actual.records.networks.iter().any(|it| it.name == done.network);
        let useful = of_network(&actual, &done.network).filter(|it| !useless.contains(&it.cookie)).count();
        if useful >= request.size || (request.refill && !is_up) {
            break;
        }
        let mut result = make_one(context, &request.up, observer)?;
        done.made += usize::from(result.changed);
        done.warnings.append(&mut result.warnings);
    }
    Ok(())
}

/// Makes one, by another name where somebody takes that which was free.
fn make_one(context: &HostContext, request: &UpRequest, observer: &mut dyn Observer) -> Result<UpResult> {
    let mut name = free_name(context, &gather::recorded(context)?)?;
    loop {
        let target = TargetRef::Named(name.clone());
        let request = UpRequest { target, ..request.clone() }.with_endpoint(|it| it.pooled = true);
        match up(context, &request, observer) {
            Err(error) if error.kind == Kind::Conflict => {
                let free = free_name(context, &gather::recorded(context)?)?;
                if free == name {
                    return Err(error);
                }
                name = free;
            }
            result => return result,
        }
    }
}

/// Removes all that is in a pool.
///
/// # Errors
/// As [`down`]; what was removed before stays so.
pub fn remove_pool(context: &HostContext, observer: &mut dyn Observer) -> Result<DownResult> {
    let actual = gather::recorded(context)?;
    remove(context, actual.records.endpoints.iter().filter(|it| it.marks.pooled), observer)
}

/// The pool of a network.
fn of_network<'a>(actual: &'a Actual, network: &'a str) -> impl Iterator<Item = &'a EndpointRecord> {
    actual.records.endpoints.iter().filter(move |it| it.marks.pooled && it.network == network)
}

/// Removes those that are nobody's still: others may take them meanwhile.
fn remove<'a>(
    context: &HostContext,
    pooled: impl Iterator<Item = &'a EndpointRecord>,
    observer: &mut dyn Observer,
) -> Result<DownResult> {
    let mut all = DownResult { changed: false, removed: Vec::new(), nearest: None, warnings: Vec::new() };
    for record in pooled {
        let (target, pooled) = (Some(reference(record)), Some(record.cookie));
        let request = DownRequest { target, pooled, ..DownRequest::default() };
        let DownResult { changed, removed, nearest: _, warnings } = down(context, &request, observer)?;
        all.changed |= changed;
        all.removed.extend(removed);
        all.warnings.extend(warnings);
    }
    Ok(all)
}

/// A name that no namespace has, or one that a killed command has left: what is there is completed. All hosts of a machine have their names in
/// one place, so it begins with that of a host that was named.
fn free_name(context: &HostContext, actual: &Actual) -> Result<Name> {
    let host = context.host.as_deref().filter(|host| !host.contains('/')).unwrap_or("fwd");
    let (taken, noted) = (netns::named()?, UndoLog::of(context, actual.host.cookie)?.read(|_| true)?);
    // What somebody has taken has its former name until that is completed, too.
    let is_nobodys = |cookie: &u64| actual.records.endpoints.iter().all(|it| it.cookie != *cookie);
    let is_left = |name: &Name| {
        let is_it = |entry: &Undo| matches!(entry, Undo::Netns { name: its, cookie } if its == name && cookie.iter().all(is_nobodys));
        noted.iter().any(is_it)
    };
    let recorded = |name: &Name| actual.records.endpoints.iter().any(|it| it.ns.as_deref() == Some(name.as_str()));
    let names = (1..=u32::MAX).map_while(|number| Name::try_from(format!("{host}-pool-{number}").as_str()).ok());
    let mut free = names.filter(|name| !recorded(name) && (is_left(name) || !taken.contains(name)));
    free.next().ok_or_else(|| Error::new(Kind::Failed, "find", "a name for a namespace of the pool", "none is free"))
}
