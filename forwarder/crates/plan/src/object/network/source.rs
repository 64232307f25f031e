//! The addresses of the host behind which the endpoints of a network appear.

use std::fmt;

use super::super::{super::shell, Acts, Handling, Managed};
use crate::{Actual, Sources};

/// Behind which addresses of the host endpoints of a network appear that come from now on, and ask for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSource {
    /// Name of the network.
    pub network: String,
    /// Those before.
    pub from: Sources,
    /// Those from now on.
    pub to: Sources,
}

impl Managed for NetworkSource {
    fn handling(&self) -> Handling {
        Handling::new("change", "revert", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let record = actual.records.networks.iter().find(|network| network.name == self.network);
        record.map_or(Sources::default(), |network| network.source) == self.to
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let sources = if make { self.to } else { self.from };
        let options = sources.options().map(|(option, source)| format!("# {option} {source}"));
        [shell::record("METADATA", &self.network, true, pins)].into_iter().chain(options).collect()
    }
}

impl fmt::Display for NetworkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<String> = self.to.options().map(|(_, source)| source).collect();
        let said = if options.is_empty() { "as the host chooses".into() } else { options.join(", ") };
        write!(f, "source of network {}: {said}", self.network)
    }
}
