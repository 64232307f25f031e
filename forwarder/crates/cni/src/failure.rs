//! What a runtime is told when something fails: a number, a line, and what to do (CNI specification, section "Error").

use std::fmt;

use serde_json::{Value, json};

use fwd_base::{Cause, Error, Kind};
use fwd_plugin::Panic;

/// Result of this crate.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Numbers of errors: those of the specification, and from 100 on our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// This version of CNI is not spoken here.
    IncompatibleVersion = 1,
    /// A key, or a value of it, asks for what is not made.
    UnsupportedField = 2,
    /// There is no such container, and nothing was made that would have to be cleaned up.
    UnknownContainer = 3,
    /// The environment lacks something, or has what cannot be.
    InvalidEnvironment = 4,
    /// Something cannot be read or written.
    Io = 5,
    /// The configuration is no JSON, or has values of other types.
    Decode = 6,
    /// The configuration contradicts itself, or what there is.
    InvalidConfig = 7,
    /// The namespace is the host's own (`ErrInvalidNetNS` of libcni).
    InvalidNetns = 8,
    /// Another command is at the host: the same call may succeed later.
    TryAgain = 11,
    /// Nothing can be attached now.
    NotAvailable = 50,
    /// Nor do containers that are attached get through.
    LimitedConnectivity = 51,
    /// The namespace has an interface of that name.
    InterfaceTaken = 100,
    /// Somebody has the address.
    AddressTaken = 101,
    /// Somebody has the port of the host.
    PortTaken = 102,
    /// Something of the host is in the subnet.
    SubnetTaken = 103,
    /// The network has no address left.
    NoAddressLeft = 104,
    /// Anything else.
    Other = 999,
}

/// A failure, as it is told.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Its number.
    pub(crate) code: u32,
    /// One line.
    pub(crate) msg: String,
    /// Why, and what to do.
    pub(crate) details: String,
}

impl Failure {
    /// A failure with its number, a line, and why or what to do.
    pub(crate) fn new(code: Code, msg: impl Into<String>, details: impl Into<String>) -> Self {
        Self { code: code as u32, msg: one_line(&msg.into()), details: details.into() }
    }

    /// A key whose value asks for what is not made.
    pub(crate) fn unsupported(key: &str, value: impl fmt::Display, remedy: &str) -> Self {
        Self::new(Code::UnsupportedField, format!("{key}: {value} is not supported"), remedy)
    }

    /// A key whose value cannot be.
    pub(crate) fn invalid(key: &str, value: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::new(Code::InvalidConfig, format!("{key}: {value}: {why}"), format!("correct {key} in the configuration"))
    }

    /// The document.
    pub(crate) fn document(&self, version: &str) -> Value {
        let Self { code, msg, details } = self;
        json!({ "cniVersion": version, "code": code, "msg": msg, "details": details })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match (error.cause, error.kind) {
            (Some(Cause::Locked), _) => Code::TryAgain,
            (Some(Cause::InterfaceTaken), _) => Code::InterfaceTaken,
            (Some(Cause::AddressTaken), _) => Code::AddressTaken,
            (Some(Cause::PortTaken), _) => Code::PortTaken,
            (Some(Cause::SubnetTaken), _) => Code::SubnetTaken,
            (Some(Cause::NoAddressLeft), _) => Code::NoAddressLeft,
            (None | Some(Cause::HostNamespace | Cause::HostInterfaceTaken), kind) => match kind {
                Kind::Usage | Kind::Conflict | Kind::NotFound | Kind::Unsupported => Code::InvalidConfig,
                Kind::Failed | Kind::Partly => Code::Other,
            },
        };
        let details = error.remedy.clone().unwrap_or_default();
        Self::new(code, error.to_string(), details)
    }
}

/// A mistake of ours, told as every other failure.
impl From<Panic> for Failure {
    fn from(Panic(text): Panic) -> Self {
        Self::new(Code::Other, "fwd has panicked", text)
    }
}

/// Text on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_have_numbers_of_their_own_and_messages_one_line() {
        let error = Error::new(Kind::Conflict, "use", "address 10.0.0.2", "somebody\nhas it").remedy("choose another");
        let failure = Failure::from(error.because(Cause::AddressTaken));
        let document = failure.document("1.0.0");
        assert_eq!(document["code"], 101);
        assert_eq!(document["msg"], "cannot use address 10.0.0.2: somebody has it");
        assert_eq!((&document["details"], &document["cniVersion"]), (&json!("choose another"), &json!("1.0.0")));
        assert_eq!(Failure::from(Error::new(Kind::Conflict, "use", "x", "y")).code, 7);
        assert_eq!(Failure::from(Error::new(Kind::Failed, "use", "x", "y")).code, 999);
        assert_eq!(Failure::from(Error::new(Kind::Failed, "lock", "x", "y").because(Cause::Locked)).code, 11);
    }
}
