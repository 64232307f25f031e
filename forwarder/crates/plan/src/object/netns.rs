//! Namespaces, what is noted of them, and files for what runs inside.

use std::fmt;

use super::{Acts, Handling, Managed};
use crate::{Actual, Undo, actual};
use fwd_base::text::word;
use fwd_kernel::netns::Name;

impl Managed for Undo {
    fn handling(&self) -> Handling {
        Handling::new("remember", "forget", Acts::Inside)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.undo.iter().any(|known| known.is_about_same(self))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        vec![format!("# {} the undo log: {self}", if make { "into" } else { "out of" })]
    }
}

/// A namespace with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedNetns {
    /// Its name.
    pub name: Name,
}

impl Managed for NamedNetns {
    fn handling(&self) -> Handling {
        Handling::new("create", "delete", Acts::Inside).notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.named.contains(&self.name)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        vec![format!("ip netns {} {}", super::super::shell::add(make), word(self.name.as_str()))]
    }
}

impl fmt::Display for NamedNetns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "namespace {}", self.name)
    }
}

/// /etc/netns/NAME/resolv.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// The namespace.
    pub ns: Name,
    /// What it says.
    pub contents: String,
}

impl Managed for ResolvConf {
    fn handling(&self) -> Handling {
        Handling::new("write", "remove", Acts::Inside).notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        !matches!(actual.resolv_conf(), actual::ResolvConf::Write(_))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let directory = word(&format!("/etc/netns/{}", self.ns));
        match make {
            true => vec![
                format!("mkdir -p {directory}"),
                format!("printf %s {} >{directory}/resolv.conf", word(&self.contents)),
            ],
            false => vec![format!("rm {directory}/resolv.conf"), format!("rmdir {directory}")],
        }
    }
}

impl fmt::Display for ResolvConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/etc/netns/{}/resolv.conf", self.ns)
    }
}
