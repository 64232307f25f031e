//! What a command has done, or would do.

use fwd_dataplane::Described;
use fwd_plan::{Action, Change, Plan};

/// What `up` has done.
#[derive(Clone, Debug)]
pub struct UpResult {
    /// ifindex of the host-side veth, and the endpoint.
    pub endpoint: (u32, Described),
    /// Whether anything had to be done.
    pub changed: bool,
    /// Whether programs and flow table had to be loaded.
    pub loaded: bool,
    /// What the namespace was called in the pool, where it was taken from there.
    pub taken: Option<String>,
    /// How many more namespaces the network has room for.
    pub room: usize,
    /// What the user ought to know.
    pub warnings: Vec<String>,
}

/// What was done to the whole, or to what files declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedWhole {
    /// Whether anything had to be done.
    pub changed: bool,
    /// What became of networks and endpoints.
    pub changes: Vec<Change>,
    /// What else could not be done, in words: what was to go and is still there.
    pub left: Vec<String>,
    /// What the user ought to know.
    pub warnings: Vec<String>,
}

/// What would be done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedWhole {
    /// What would become of networks and endpoints.
    pub changes: Vec<Change>,
    /// The operations.
    pub planned: Planned,
}

/// What was done about a network, ports or uplinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Whether anything had to be done.
    pub changed: bool,
    /// What the user ought to know.
    pub warnings: Vec<String>,
}

/// What `down` has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownResult {
    /// Whether anything had to be done.
    pub changed: bool,
    /// What was removed, in words, in the order of removal.
    pub removed: Vec<String>,
    /// Of what is not up: the nearest name of something that is.
    pub nearest: Option<String>,
    /// What the user ought to know.
    pub warnings: Vec<String>,
}

impl DownResult {
    pub(super) fn of(plan: &Plan) -> Self {
        let removed = plan
            .ops
            .iter()
            .filter(|op| op.action == Action::Remove && op.object.is_notable())
            .map(|op| op.object.to_string())
            .collect();
        let (nearest, warnings) = (plan.nearest.clone(), plan.warnings.clone());
        Self { changed: !plan.ops.is_empty(), removed, nearest, warnings }
    }
}

/// What a command would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// In this order; empty when there is nothing to do.
    pub steps: Vec<Step>,
    /// What the user ought to know.
    pub warnings: Vec<String>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// In words.
    pub operation: String,
    /// Command lines that do the same by hand.
    pub commands: Vec<String>,
}

/// What has been learned of namespaces that endpoints await.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrivals {
    /// How many endpoints still await theirs.
    pub awaited: usize,
    /// What the user ought to know.
    pub warnings: Vec<String>,
}
