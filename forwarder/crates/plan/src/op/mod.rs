//! The steps of a plan, and what one would type to do the same by hand.

mod effect;
pub(crate) mod shell;

use std::fmt;

use self::shell::{on_host, runs_by_hand};
use super::{Acts, Object, SysctlRecord, Undo, object};
use fwd_base::text::word;

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Whether the object comes or goes.
    pub action: Action,
    /// What it is done to.
    pub object: Object,
}

/// Whether an object comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Make,
    /// It is removed.
    Remove,
}

impl Op {
    /// Makes `object`.
    #[must_use]
    pub const fn make(object: Object) -> Self {
        Self { action: Action::Make, object }
    }

    /// Removes `object`.
    #[must_use]
    pub const fn remove(object: Object) -> Self {
        Self { action: Action::Remove, object }
    }

    /// Whether this step would forget what is needed to try again, after `failed` could not be removed.
    #[must_use]
    pub fn forgets(&self, failed: &[Object]) -> bool {
        match self {
            Self { action: Action::Remove, object: Object::Undo(entry) } => {
                failed.iter().any(|object| entry.is_for(object))
            }
            _ => false,
        }
    }

    /// The step that undoes this one.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let action = match self.action {
            Action::Make => Action::Remove,
            Action::Remove => Action::Make,
        };
        Self { action, object: self.object.clone() }
    }
}

impl Op {
    /// Command lines that do the same: what `--dry-run` teaches. `pins` is the directory of the pins, `host` the name (or path)
    /// of the namespace that plays the host, where it is not the caller's.
    #[must_use]
    pub fn equivalent(&self, pins: &str, host: Option<&str>) -> Vec<String> {
        let lines = self.object.equivalent(self.action == Action::Make, &word(pins)).into_iter();
        let here = |line: String| host.map_or(line.clone(), |host| on_host(line, host));
        match self.object.acts() {
            Acts::Inside => lines.collect(),
            Acts::OnHost => lines.map(here).collect(),
            Acts::OnPins => {
                let note = |line: String| if runs_by_hand(&line) { here(line) } else { format!("# {}", here(line)) };
                lines.map(note).collect()
            }
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (make, remove) = self.object.verbs();
        let verb = match self.action {
            Action::Make => make,
            Action::Remove => remove,
        };
        match &self.object {
            Object::Sysctl(SysctlRecord { path, original, ours, .. }) => {
                let value = if self.action == Action::Make { ours } else { original };
                write!(f, "{verb} {path} to {value}")
            }
            object => write!(f, "{verb} {object}"),
        }
    }
}

impl Undo {
    /// Whether removing `object` is what the entry is there for.
    #[must_use]
    pub fn is_for(&self, object: &Object) -> bool {
        match (self, object) {
            (Self::Netns { name, .. }, Object::Netns(object::NamedNetns { name: other })) => name == other,
            // What was only looked at tells whether to restore the others: it is needed as long as they are.
            (Self::Sysctl(record), Object::Sysctl(other)) => {
                let same = record.interface == other.interface
                    && if record.interface.is_some() { record.is_alike(other) } else { record.path == other.path };
                same || record.original == record.ours
            }
            (
                Self::Masquerade { network },
                Object::Masquerade(object::Masquerade { network: other, .. })
                | Object::Isolation(object::Isolation { network: other, .. }),
            ) => network == other,
            (Self::Rules6 { network }, Object::Rules6(object::Rules6 { network: other, .. })) => network == other,
            (Self::ResolvConf { ns }, Object::ResolvConf(object::ResolvConf { ns: other, .. })) => ns == other,
            (Self::Loopback { ns, .. }, Object::Loopback(object::Loopback { ns: other })) => ns == other,
            _ => false,
        }
    }
}
