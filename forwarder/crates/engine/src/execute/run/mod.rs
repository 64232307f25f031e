//! Runs the operations of a plan.

mod bridge;
mod endpoint;
mod follow;
mod inside;
mod loaded;
mod netns;
mod network;
mod nftables;
mod port;
mod publish;
mod sysctl;
mod uplink;
mod veth;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Range,
};

use super::{
    HostContext, Observer,
    counters::FreeCounters,
    failures::{Failures, run_each, with_leftovers},
    gathered::Gathered,
    numbers::Numbers,
    undo::UndoLog,
};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::Dataplane;
use fwd_kernel::{
    netlink::{Link, Netlink},
    netns::{Ahead, Netns},
};
use fwd_plan::{Action, Group, Object, Op, Owner, Plan, TargetRef, Undo, object};

/// Veth pairs that are deleted in one go: meanwhile nobody else can change an interface of the machine.
const TOGETHER: usize = 64;

/// What operations work with.
pub(super) struct Runner<'a> {
    context: &'a HostContext,
    /// Cookie of the host's namespace.
    cookie: u64,
    owner: Owner,
    netlink: Netlink,
    plane: Option<Dataplane>,
    namespaces: BTreeMap<TargetRef, Netns>,
    /// Connections into namespaces, opened when they are needed.
    inside: BTreeMap<TargetRef, Netlink>,
    /// The numbers of interfaces that were made.
    numbers: Numbers,
    /// Those of interfaces in namespaces, which are asked for once.
    numbers_inside: BTreeMap<TargetRef, Numbers>,
    /// Blocks of counters for what is recorded next.
    counters: FreeCounters,
    /// What could not be done, and is no failure.
    pub(super) warnings: Vec<String>,
    /// Host-side veths whose other ends were set up, and of whose carrier nobody has asked yet.
    connected: BTreeSet<String>,
    /// Addresses that have come to be announced at an uplink, and of which its link has not been told.
    announced: BTreeMap<u32, BTreeSet<IpAddr>>,
    log: UndoLog,
    /// A namespace that was made and has no name of its own yet, and what the undo log says of it.
    draft: Option<(Netns, Undo)>,
    /// Makes namespaces, where a plan has many.
    ahead: Option<Ahead>,
}

/// What of a plan for the whole failed.
#[derive(Debug, Default)]
pub(super) struct Undone {
    /// Endpoints, of which nothing that was made is left.
    pub(super) failed: Vec<(Group, Error)>,
    /// What could not be removed.
    pub(super) left: Vec<Error>,
}

/// What the kernel is told of an object.
trait Execute {
    /// Makes it.
    fn make(&self, runner: &mut Runner<'_>) -> Result<()>;

    /// Removes it.
    fn remove(&self, runner: &mut Runner<'_>) -> Result<()>;
}

fn of(object: &Object) -> &dyn Execute {
    match object {
        Object::Records(it) => it,
        Object::OtherVersion(it) => it,
        Object::Dataplane(it) => it,
        Object::Undo(it) => it,
        Object::Netns(it) => it,
        Object::Sysctl(it) => it,
        Object::Uplink(it) => it,
        Object::UplinkAddress(it) => it,
        Object::UplinkName(it) => it,
        Object::UplinkAsked(it) => it,
        Object::UplinkOrder(it) => it,
        Object::NetworkUplink(it) => it,
        Object::UplinkHooks(it) => it,
        Object::UplinkXdp(it) => it,
        Object::Bridge(it) => it,
        Object::GatewayAddress(it) => it,
        Object::LinkUp(it) => it,
        Object::Network(it) => it,
        Object::NetworkBridge(it) => it,
        Object::NetworkKept(it) => it,
        Object::NetworkAllows(it) => it,
        Object::NetworkSource(it) => it,
        Object::NetworkHook(it) => it,
        Object::Isolation(it) => it,
        Object::KernelRate(it) => it,
        Object::NetworkPair(it) => it,
        Object::Masquerade(it) => it,
        Object::SourceNat(it) => it,
        Object::KernelPolicy(it) => it,
        Object::Rules6(it) => it,
        Object::Veth(it) => it,
        Object::Endpoint(it) => it,
        Object::EndpointBridge(it) => it,
        Object::EndpointHook(it) => it,
        Object::EndpointAttach(it) => it,
        Object::EndpointLimits(it) => it,
        Object::EndpointNames(it) => it,
        Object::EndpointNetns(it) => it,
        Object::EndpointTaken(it) => it,
        Object::EndpointPolicy(it) => it,
        Object::EndpointXdp(it) => it,
        Object::HostAccess(it) => it,
        Object::Published(it) => it,
        Object::Port(it) => it,
        Object::HostSide(it) => it,
        Object::Fdb(it) => it,
        Object::Neighbour(it) => it,
        Object::ProxyNeighbour(it) => it,
        Object::Loopback(it) => it,
        Object::NsIpv6(it) => it,
        Object::NsAddress(it) => it,
        Object::NsLinkUp(it) => it,
        Object::NsOffloads(it) => it,
        Object::NsDefaultRoute(it) => it,
        Object::NsRoute(it) => it,
        Object::NsNeighbour(it) => it,
        Object::NameServer(it) => it,
        Object::ResolvConf(it) => it,
    }
}

impl<'a> Runner<'a> {
    pub(super) fn new(context: &'a HostContext, gathered: Gathered) -> Self {
        let Gathered { actual, netlink, plane, namespaces, inside, log, .. } = gathered;
        let (cookie, owner) = (actual.host.cookie, actual.host.owner);
        let (numbers, numbers_inside) = Default::default();
        let (warnings, connected, announced, counters, draft, ahead) = Default::default();
        Self {
            context,
            cookie,
            owner,
            netlink,
            plane,
            namespaces,
            inside,
            numbers,
            numbers_inside,
            counters,
            warnings,
            connected,
            announced,
            log,
            draft,
            ahead,
        }
    }

    /// Runs `ops` in order. If one fails, what was made is removed again, the last first, but for the first `lasting` ones.
    pub(super) fn run_or_undo(&mut self, ops: &[Op], lasting: usize, observer: &mut dyn Observer) -> Result<()> {
        self.run_part(ops, 0..ops.len(), lasting, observer)
    }

    /// The same of a part of `ops`.
    fn run_part(&mut self, ops: &[Op], part: Range<usize>, lasting: usize, observer: &mut dyn Observer) -> Result<()> {
        let start = part.start;
        for (index, op) in ops.iter().enumerate().take(part.end).skip(start) {
            observer.before(index, op);
            if let Err(error) = self.run(op) {
                let done = ops.get(start.max(lasting)..index).unwrap_or_default();
                let left = if index < lasting { Vec::new() } else { self.undo(op, done) };
                return Err(with_leftovers(error, &left));
            }
            observer.after(index, op);
        }
        self.await_carriers();
        Ok(())
    }

    /// Runs a plan for the whole: what goes, whatever fails; then networks; and then each endpoint by itself. What failed is returned; of an
    /// endpoint for which something did, what was made of it is removed again, and the others are not concerned.
    ///
    /// # Errors
    /// What mends others, or a network, failed: nothing of what comes is there then.
    pub(super) fn run_whole(&mut self, plan: &Plan, observer: &mut dyn Observer) -> Result<Undone> {
        let Plan { ops, mends, gone, groups, .. } = plan;
        self.make_ahead(ops)?;
        self.run_part(ops, 0..*mends, *mends, observer)?;
        let gone_ops = ops.get(..*gone).unwrap_or_default();
        let left = self.run_each_from(gone_ops, *mends, *mends, observer);
        let networks = self.run_part(ops, *gone..plan.before_groups(), *gone, observer);
        networks.map_err(|error| with_leftovers(error, &left))?;
        let failed = groups.iter().filter_map(|group| {
            let result = self.run_part(ops, group.ops.clone(), group.ops.start, observer);
            result.err().map(|error| (group.clone(), error))
        });
        Ok(Undone { failed: failed.collect(), left })
    }

    /// Undoes `done`, and `failed` as far as it got. Goes on after failures and returns them.
    fn undo(&mut self, failed: &Op, done: &[Op]) -> Vec<Error> {
        let is_half_done = failed.action == Action::Make && failed.object.is_made_in_steps();
        let half_done = is_half_done.then_some(failed);
        // What a plan of `up` removes is an orphan: it is not brought back.
        let made = done.iter().filter(|op| op.action == Action::Make);
        let mut failures = Failures::default();
        for op in made.chain(half_done).rev().map(Op::inverse) {
            if !failures.forbid(&op)
                && let Err(error) = self.run(&op)
            {
                failures.add(&op, error);
            }
        }
        failures.errors
    }

    /// Runs `ops` in order, whatever fails, and returns the failures: see [`run_each`].
    pub(super) fn run_all(&mut self, ops: &[Op], mends: usize, observer: &mut dyn Observer) -> Vec<Error> {
        self.run_each_from(ops, 0, mends, observer)
    }

    /// The same from the operation of number `start` on.
    fn run_each_from(&mut self, ops: &[Op], start: usize, mends: usize, observer: &mut dyn Observer) -> Vec<Error> {
        run_each(ops, start, mends, |index, op| {
            let together = self.delete_together(ops, index, observer);
            if together > 0 {
                return Ok(together);
            }
            observer.before(index, op);
            self.run(op)?;
            observer.after(index, op);
            Ok(1)
        })
    }

    /// Deletes the veth pairs that come next in one go. How many operations that were; 0 if there is at most one, or if they
    /// could not be deleted: then one by one, which tells why.
    fn delete_together(&mut self, ops: &[Op], next: usize, observer: &mut dyn Observer) -> usize {
        let pairs = ops.iter().enumerate().skip(next).take(TOGETHER).map_while(|(index, op)| match op {
            Op { action: Action::Remove, object: Object::Veth(object::Veth { spec, .. }) } => {
                Some((index, op, spec.host_if.as_str()))
            }
            _ => None,
        });
        let pairs: Vec<_> = pairs.collect();
        if pairs.len() < 2 {
            return 0;
        }
        pairs.iter().for_each(|(index, op, _)| observer.before(*index, op));
        let names: Vec<&str> = pairs.iter().map(|(_, _, name)| *name).collect();
        tracing::debug!("delete {} veth pairs", names.len());
        self.forget_numbers();
        if let Err(error) = self.netlink.delete_links(&names) {
            tracing::debug!("{error}");
            return 0;
        }
        pairs.iter().for_each(|(index, op, _)| observer.after(*index, op));
        pairs.len()
    }

    fn run(&mut self, op: &Op) -> Result<()> {
        tracing::debug!("{op}");
        let done = match op.action {
            Action::Make => match of(&op.object).make(self) {
                Err(error) if error.kind == Kind::NotFound && self.is_about_gone(&op.object) => Ok(()),
                result => result,
            },
            // Gone already: somebody else removed it, or it went with another object.
            Action::Remove => match of(&op.object).remove(self) {
                Err(error) if error.kind == Kind::NotFound => Ok(()),
                result => result,
            },
        };
        if matches!(op, Op { action: Action::Remove, object: Object::Veth(_) | Object::Bridge(_) }) {
            self.forget_numbers();
        }
        done
    }

    /// Whether an object would mend an endpoint of another namespace that has gone since it was looked at: the kernel takes a
    /// deleted namespace apart in its own time. Of the command's own endpoint the operations inside the namespace fail.
    fn is_about_gone(&self, object: &Object) -> bool {
        match object {
            Object::Port(object::Port { host_if, .. })
            | Object::HostSide(object::HostSide { host_if, .. })
            | Object::Fdb(object::Fdb { host_if, .. })
            | Object::EndpointBridge(object::EndpointBridge { host_if, .. }) => {
                matches!(self.link(host_if), Err(error) if error.kind == Kind::NotFound)
            }
            _ => false,
        }
    }

    /// The data path.
    ///
    /// # Errors
    /// It is not loaded: the plan loads it first.
    pub(super) fn plane(&self) -> Result<&Dataplane> {
        self.plane.as_ref().ok_or_else(not_loaded)
    }

    /// The data path, for whoever looks at it after all operations.
    ///
    /// # Errors
    /// As [`plane`](Self::plane).
    pub(super) fn into_plane(self) -> Result<Dataplane> {
        self.plane.ok_or_else(not_loaded)
    }

    /// Blocks of counters for what is going to be recorded next.
    ///
    /// # Errors
    /// There are not so many, or a map cannot be read.
    fn take_counters<const N: usize>(&mut self) -> Result<[u32; N]> {
        let plane = self.plane.as_ref().ok_or_else(not_loaded)?;
        self.counters.take(plane)
    }

    /// A namespace that was opened or made before.
    ///
    /// # Errors
    /// It was not.
    pub(super) fn namespace(&self, reference: &TargetRef) -> Result<&Netns> {
        self.namespaces.get(reference).ok_or_else(|| not_opened(reference))
    }

    /// The number of an interface: of the record, which may be all that is left of it, or by its name.
    fn index(&self, recorded: Option<u32>, name: &str) -> Result<u32> {
        recorded.map_or_else(|| self.number(name), Ok)
    }

    /// The number of an interface of the host. One that this command has made stays that one, whatever it is called by now.
    pub(super) fn number(&self, name: &str) -> Result<u32> {
        self.numbers.known(name).map_or_else(|| self.link(name).map(|link| link.index), Ok)
    }

    /// Forgets all numbers, because interfaces go, and others may come that are called so.
    fn forget_numbers(&mut self) {
        self.numbers = Numbers::default();
        self.numbers_inside.clear();
    }

    /// An interface of the host.
    pub(super) fn link(&self, name: &str) -> Result<Link> {
        self.netlink.link(name)?.ok_or_else(|| {
            Error::new(Kind::NotFound, "find", format!("interface {name}"), "there is no such interface")
        })
    }
}

fn not_loaded() -> Error {
    Error::new(Kind::NotFound, "use", "the data path", "it is not loaded")
}

fn not_opened(reference: &TargetRef) -> Error {
    Error::new(Kind::NotFound, "enter", reference.to_string(), "it was not opened")
}

fn unrecorded(object: String) -> Error {
    Error::new(Kind::NotFound, "correct", object, "it has no record")
}
