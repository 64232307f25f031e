//! The names by which an endpoint is found: in every view of one.

use std::net::IpAddr;

use serde::Serialize;

/// Names by which an endpoint is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NamesView {
    /// Where they are asked for: the gateway, if a name server answers there.
    pub name_server: Option<IpAddr>,
    /// That of the namespace, if it can be asked for, and others.
    pub names: Vec<String>,
}

impl NamesView {
    /// The names, and whom they are asked of.
    pub(super) fn text(&self) -> Option<(String, String)> {
        let server = self.name_server?;
        let names = if self.names.is_empty() { "none".into() } else { self.names.join(", ") };
        Some((names, format!("asked for at {server}")))
    }
}
