//! Where files say what there is to be, so that whatever is refused is found there.

use std::collections::BTreeMap;

use super::{Endpoint, TargetRef};

/// Where endpoints were said, such as `network.toml:12:1`, by namespace and interface. The same is desired wherever it is said, so all are equal.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<(TargetRef, String), String>);

impl Places {
    /// Notes where an endpoint was said.
    pub fn note(&mut self, target: TargetRef, ifname: String, place: String) {
        self.0.insert((target, ifname), place);
    }

    /// Where it was, if by a file.
    #[must_use]
    pub fn of(&self, target: &TargetRef, ifname: &str) -> Option<&str> {
        self.0.get(&(target.clone(), ifname.to_owned())).map(String::as_str)
    }

    /// The same in words, for an error: `namespace a (network.toml:12:1)`.
    pub(crate) fn told(&self, endpoint: &Endpoint) -> String {
        let Some(target) = &endpoint.netns else { return endpoint.id.to_string() };
        match self.of(target, &endpoint.id.ifname) {
            Some(place) => format!("{target} ({place})"),
            None => target.to_string(),
        }
    }
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Places {}
