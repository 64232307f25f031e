//! Hosts whose namespace is gone: what they left pinned is removed by the next command of any host, and all of it by `fwd gc`.

mod other_version;

use std::collections::BTreeSet;

pub use self::other_version::detach_others;
use super::{HostContext, undo::UndoLog};
use fwd_base::{Kind, Result};
use fwd_dataplane::{Dataplane, HostPins, Lock};
use fwd_kernel::{
    netlink::Netlink,
    netns::{self, Netns, resolv},
};
use fwd_plan::Undo;

/// What was removed of a host that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Cookie of its namespace.
    pub cookie: u64,
    /// In words.
    pub removed: Vec<String>,
    /// What was left as it is, in words.
    pub left: Vec<String>,
}

/// Removes what hosts have left whose namespace is gone: their pins, and what `up` had made for them elsewhere, unless somebody uses it.
///
/// # Errors
/// Something cannot be read or removed.
pub fn gc(context: &HostContext) -> Result<Vec<Collected>> {
    let own = Netns::current()?.cookie()?;
    let found = netns::cookies()?;
    let mut hosts = HostPins::all(&context.run_dir)?;
    for cookie in UndoLog::hosts(context)? {
        if hosts.iter().all(|host| host.cookie != cookie) {
            hosts.push(HostPins { cookie, versions: Vec::new(), exists: None });
        }
    }
    // Of those that pins do not tell about, nothing but an open file could still hold the namespace; and there is nothing in them.
    let is_gone = |host: &HostPins| !host.exists.unwrap_or_else(|| found.contains(&host.cookie));
    let mut collected = Vec::new();
    for host in hosts.iter().filter(|host| host.cookie != own && is_gone(host)) {
        // Whoever is at it is alive.
        let Some(_lock) = lock(context, host.cookie) else { continue };
        let mut result = Collected { cookie: host.cookie, removed: Vec::new(), left: Vec::new() };
        remove_pins(context, host)?;
        result.removed.extend(host.versions.iter().map(|version| format!("programs and maps of version {version}")));
        undo(context, &mut result)?;
        collected.push(result);
    }
    UndoLog::forget_former(context)?;
    Ok(collected)
}

/// As [`gc`], as far as nobody could miss it: the pins of hosts that are gone for certain. Failures are left to `gc`.
pub(super) fn in_passing(context: &HostContext, own: u64) {
    let attempt = || {
        for host in HostPins::all(&context.run_dir)? {
            if host.cookie == own || host.exists != Some(false) {
                continue;
            }
            let Some(_lock) = lock(context, host.cookie) else { continue };
            remove_pins(context, &host)?;
            tracing::info!("removed what the host with cookie {} left, whose namespace is gone", host.cookie);
            let log = UndoLog::of(context, host.cookie)?;
            let of_the_host =
                |entry: &&Undo| matches!(entry, Undo::Sysctl(_) | Undo::Masquerade { .. } | Undo::Rules6 { .. });
            log.read(|_| true)?.iter().filter(of_the_host).try_for_each(|entry| log.remove(entry))?;
        }
        UndoLog::forget_former(context)
    };
    if let Err(error) = attempt() {
        tracing::debug!("{error}");
    }
}

fn lock(context: &HostContext, cookie: u64) -> Option<Lock> {
    Lock::acquire(&context.run_dir, cookie, std::time::Duration::ZERO).ok()
}

fn remove_pins(context: &HostContext, host: &HostPins) -> Result<()> {
    // A host may have come back since: a cookie does not, but its pins may be new.
    let now = HostPins::of(&context.run_dir, host.cookie)?;
    if now.exists == Some(true) {
        return Ok(());
    }
    // A name server keeps its namespace: it has ended before.
    fwd_dns::forget(&context.run_dir.name_server(host.cookie))?;
    now.versions.iter().try_for_each(|version| Dataplane::remove_version(&context.run_dir, host.cookie, version))
}

/// Undoes what was done elsewhere than in the host's namespace.
fn undo(context: &HostContext, result: &mut Collected) -> Result<()> {
    let log = UndoLog::of(context, result.cookie)?;
    for entry in log.read(|_| true)? {
        match &entry {
            Undo::Netns { name, cookie: Some(cookie) } => match Netns::open_named(name) {
                Ok(ns) if ns.cookie()? != *cookie => {}
                Ok(ns) if is_empty(&ns)? => {
                    Netns::delete_named(name)?;
                    result.removed.push(format!("namespace {name}"));
                }
                Ok(_) => result.left.push(format!("namespace {name}, which has interfaces of others")),
                Err(error) if error.kind == Kind::Conflict => {
                    Netns::delete_named(name)?;
                    result.removed.push(format!("the leftover of namespace {name}"));
                }
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => return Err(error),
            },
            Undo::ResolvConf { ns } => {
                if resolv::remove(&resolv::Roots::default(), ns)? {
                    result.removed.push(format!("/etc/netns/{ns}/resolv.conf"));
                }
            }
            // They went with the host, or belong to somebody who goes on.
            Undo::Netns { cookie: None, .. }
            | Undo::Sysctl(_)
            | Undo::Masquerade { .. }
            | Undo::Rules6 { .. }
            | Undo::Loopback { .. } => {}
        }
        log.remove(&entry)?;
    }
    log.tidy();
    Ok(())
}

/// Whether nothing is in a namespace but `lo`.
fn is_empty(ns: &Netns) -> Result<bool> {
    Ok(Netlink::open(ns)?.links()?.iter().all(|link| link.loopback))
}

/// A host of a run directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHost {
    /// Cookie of its namespace.
    pub cookie: u64,
    /// Whether its namespace exists; none if that cannot be told.
    pub exists: Option<bool>,
    /// The versions of `fwd` that have something pinned for it.
    pub versions: Vec<String>,
    /// Networks and endpoints, as far as this version can read them.
    pub networks: Option<usize>,
    /// See above.
    pub endpoints: Option<usize>,
    /// Memory of its flow table, bytes.
    pub memory: Option<u64>,
}

/// All hosts of the run directory.
///
/// # Errors
/// The pins cannot be read.
pub fn hosts(context: &HostContext) -> Result<Vec<KnownHost>> {
    let mut known = Vec::new();
    let pinned = HostPins::all(&context.run_dir)?;
    let cookies: BTreeSet<u64> = pinned.iter().map(|host| host.cookie).chain(UndoLog::hosts(context)?).collect();
    for cookie in cookies {
        let pins = pinned.iter().find(|host| host.cookie == cookie);
        let plane = Dataplane::view(&context.run_dir, cookie)?;
        known.push(KnownHost {
            cookie,
            exists: pins.and_then(|host| host.exists),
            versions: pins.map(|host| host.versions.clone()).unwrap_or_default(),
            networks: plane.as_ref().map(|plane| Ok(plane.networks()?.len())).transpose()?,
            endpoints: plane.as_ref().map(|plane| Ok(plane.endpoints()?.len())).transpose()?,
            memory: plane.as_ref().filter(|plane| plane.is_loaded()).map(Dataplane::memory).transpose()?,
        });
    }
    Ok(known)
}
