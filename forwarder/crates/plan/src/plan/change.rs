//! What a plan changes, by whom it is about: what is shown before and after.

use std::collections::BTreeSet;

use fwd_base::text::word;

use super::{Planner, replace::Replaced};
use crate::{Actual, EndpointRecord, NetworkRecord, Object, Op, desired::Asked};

/// What becomes of a network or an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is done.
    pub kind: ChangeKind,
    /// The network.
    pub network: String,
    /// The endpoint in it: what its namespace is called, and its interface inside. None: the network itself.
    pub endpoint: Option<(String, String)>,
    /// Why it cannot stay, of what is replaced; why it cannot be, of what is refused or has failed.
    pub why: Option<String>,
    /// What is different then, in words, of what is changed in place; what to do about what is refused, and how it is meanwhile.
    pub what: Vec<String>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is removed.
    Remove,
    /// It is removed and made again: its flows end.
    Replace,
    /// It is made.
    Make,
    /// It is changed while it stays: its flows go on.
    Change,
    /// It cannot be what it is to be: it is left out, and everything else is done.
    Refuse,
    /// What was begun has failed, and was undone.
    Fail,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Remove, Self::Replace, Self::Make, Self::Change, Self::Refuse, Self::Fail];

    /// `remove`, `replace`, `make`, `change`, `refuse` or `fail`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Replace => "replace",
            Self::Make => "make",
            Self::Change => "change",
            Self::Refuse => "refuse",
            Self::Fail => "fail",
        }
    }
}

/// What is done about something that is desired, by whether it is there and has to go, and by what is done.
fn coming(is_there: bool, why: Option<&String>, ops: &[Op]) -> Option<(ChangeKind, Option<String>, Vec<String>)> {
    // What is only noted is no difference to anybody.
    let told = ops.iter().filter(|op| !matches!(op.object, Object::Undo(_) | Object::NetworkKept(_)));
    match (is_there, why) {
        (_, Some(why)) => Some((ChangeKind::Replace, Some(why.clone()), Vec::new())),
        (false, None) => Some((ChangeKind::Make, None, Vec::new())),
        (true, None) => {
            let what: Vec<String> = told.map(ToString::to_string).collect();
            (!what.is_empty()).then_some((ChangeKind::Change, None, what))
        }
    }
}

impl Planner<'_> {
    /// Notes what becomes of an endpoint that is desired. `before` is what there was before the plan.
    pub(super) fn note_endpoint(&mut self, asked: &Asked, replaced: &Replaced, before: &Actual, ops: &[Op]) {
        let is_there = before.records.endpoints.iter().any(|it| it.id == asked.id);
        let Some((kind, why, what)) = coming(is_there, replaced.endpoints.get(&asked.id), ops) else { return };
        let endpoint = Some((asked.target.label(), asked.id.ifname.clone()));
        self.plan.changes.push(Change { kind, network: asked.network.name.clone(), endpoint, why, what });
    }

    /// The same of a network.
    pub(super) fn note_network(&mut self, name: &str, replaced: &Replaced, before: &Actual, ops: &[Op]) {
        let is_there = before.records.networks.iter().any(|it| it.name == *name);
        let Some((kind, why, what)) = coming(is_there, replaced.networks.get(name), ops) else { return };
        self.plan.changes.push(Change { kind, network: name.into(), endpoint: None, why, what });
    }

    /// Notes what has gone by now, and is not replaced.
    pub(super) fn note_gone(&mut self, replaced: &Replaced, before: &Actual) {
        let records = &self.actual.records;
        let rest: BTreeSet<u32> = records.endpoints.iter().map(|rest| rest.index).collect();
        let endpoint_gone =
            |it: &&EndpointRecord| !replaced.endpoints.contains_key(&it.id) && !rest.contains(&it.index);
        let network_gone = |it: &&NetworkRecord| {
            !replaced.networks.contains_key(&it.name) && records.networks.iter().all(|rest| rest.name != it.name)
        };
        let removed = |network: &str, endpoint| Change {
            kind: ChangeKind::Remove,
            network: network.into(),
            endpoint,
            why: None,
            what: Vec::new(),
        };
        let endpoints = before.records.endpoints.iter().filter(endpoint_gone);
        let endpoints = endpoints.map(|it| removed(&it.network, Some((it.label(), it.id.ifname.clone()))));
        let networks = before.records.networks.iter().filter(network_gone).map(|it| removed(&it.name, None));
        let changes: Vec<Change> = endpoints.chain(networks).collect();
        self.plan.changes.extend(changes);
    }
}

/// What files leave alone, in words: networks that commands have made and no file names.
pub(super) fn left_alone(before: &Actual, desired: &crate::Desired) -> Option<String> {
    let unnamed = before.records.networks.iter().filter(|it| !desired.networks.contains_key(&it.name));
    let names: Vec<String> = unnamed.map(|it| word(&it.name)).collect();
    (!names.is_empty())
        .then(|| format!("in no file, and left alone: network {}; --prune removes such", names.join(", ")))
}
