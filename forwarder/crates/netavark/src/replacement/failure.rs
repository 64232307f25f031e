//! What podman is told of a failure: one text, in netavark's words where scripts and people know these.

use std::{fmt::Display, io};

use serde_json::{Value, json};

use crate::input::NetworkOptions;
use fwd_base::{Cause, Error};
use fwd_plugin::Panic;

/// How the kernel says that there is such an interface.
const TAKEN: &str = ": Netlink error: File exists (os error 17)";

/// Result of a call.
pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) String);

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// While something was being done that the file system has refused.
    pub(super) fn io(doing: impl Display, error: &io::Error) -> Self {
        Self(format!("{doing}: IO error: {error}"))
    }

    /// While something was being done.
    pub(super) fn while_doing(self, doing: impl Display) -> Self {
        Self(format!("{doing}: {}", self.0))
    }

    /// Of several, each was met although the others were.
    pub(super) fn all(failures: Vec<Self>) -> Result<()> {
        if failures.is_empty() {
            return Ok(());
        }
        Err(Self(failures.into_iter().map(|failure| failure.0).collect::<Vec<_>>().join("; ")))
    }

    /// The document.
    pub(super) fn document(&self) -> Value {
        json!({ "error": self.0 })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(crate::said(&error))
    }
}

impl From<Panic> for Failure {
    fn from(panic: Panic) -> Self {
        Error::from(panic).into()
    }
}

/// The failure of attaching an interface: that there is one of its name already is said as netavark says it.
pub(super) fn attaching(error: Error, options: &NetworkOptions) -> Failure {
    let inside =
        format!("create veth pair: interface {} already exists on container namespace", options.interface_name);
    let host = options.options.get("host_interface_name").map(|name| format!(" or {name} exists on host namespace"));
    match error.cause {
        Some(Cause::InterfaceTaken) => Failure(format!("{inside}{TAKEN}")),
        Some(Cause::HostInterfaceTaken) => Failure(format!("{inside}{}{TAKEN}", host.unwrap_or_default())),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use fwd_base::Kind;

    use super::*;

    #[test]
    fn failures_are_one_text_with_what_to_do() {
        let error = || Error::new(Kind::Failed, "attach", "eth0", "no").remedy("try again");
        assert_eq!(Failure::from(error()).document(), json!({ "error": "cannot attach eth0: no; try again" }));
        let called = [("host_interface_name".to_owned(), "vweb".to_owned())];
        let options =
            NetworkOptions { interface_name: "eth0".into(), options: called.into(), ..NetworkOptions::default() };
        let taken = |cause| attaching(error().because(cause), &options).0;
        let inside = "create veth pair: interface eth0 already exists on container namespace";
        assert_eq!(taken(Cause::InterfaceTaken), format!("{inside}: Netlink error: File exists (os error 17)"));
        let host = taken(Cause::HostInterfaceTaken);
        assert!(host.starts_with(&format!("{inside} or vweb exists on host namespace")), "{host}");
        assert_eq!(Failure::all(Vec::new()), Ok(()));
        let both = Failure::all(vec![Failure::new("one"), Failure::new("two").while_doing("at it")]);
        assert_eq!(both, Err(Failure::new("one; at it: two")));
    }
}
