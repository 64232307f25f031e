//! One error type: what was being done, to which object, why it failed, what to do.

use std::{error::Error as StdError, fmt};

/// Result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Class of an error, and the exit code of `fwd` for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something went wrong.
    Failed = 1,
    /// The command line asks for something that makes no sense.
    Usage = 2,
    /// A named object does not exist.
    NotFound = 3,
    /// What exists differs from what is asked for.
    Conflict = 4,
    /// This kernel, host or user cannot do it.
    Unsupported = 5,
    /// A part of what is asked for cannot be done; everything else is.
    Partly = 6,
}

impl Kind {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::Failed, Self::Usage, Self::NotFound, Self::Conflict, Self::Unsupported, Self::Partly];

    /// Exit code of the process.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        self as u8
    }

    /// What it means to who calls `fwd`, as the help and the README have it.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "the command line makes no sense",
            Self::NotFound => "something named does not exist",
            Self::Conflict => "what exists differs from what is asked for",
            Self::Unsupported => "this kernel, host or user cannot do it",
            Self::Partly => "a part of what files say cannot be; everything else is done",
        }
    }

    /// Name in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Unsupported => "unsupported",
            Self::Partly => "partly",
        }
    }
}

/// What in particular is in the way, for callers who give each a number of its own (CNI).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Another command is at the host.
    Locked,
    /// The namespace has an interface of that name.
    InterfaceTaken,
    /// The host has an interface of the name that the host-side veth is to have.
    HostInterfaceTaken,
    /// Somebody has the address.
    AddressTaken,
    /// Somebody has the port of the host.
    PortTaken,
    /// Something of the host is in the subnet.
    SubnetTaken,
    /// The network has no address left.
    NoAddressLeft,
    /// The namespace is the host's own.
    HostNamespace,
}

/// An error that names the operation, the object, the reason and the remedy.
///
/// Displayed as `cannot <doing> <object>: <why>`; the remedy is rendered on a line of its own by the command line.
#[derive(Debug)]
pub struct Error {
    /// Class and exit code.
    pub kind: Kind,
    /// The operation as an infinitive: `create`, `attach the program from_ns to`.
    pub doing: String,
    /// What it was done to: `bridge fwd0`, `namespace mynet`.
    pub object: String,
    /// Why it failed, without the chain of sources.
    pub why: String,
    /// What the user can do about it.
    pub remedy: Option<String>,
    /// What in particular is in the way, if it is one of those that callers tell apart.
    pub cause: Option<Cause>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` while `doing` something to `object`.
    pub fn new(kind: Kind, doing: impl Into<String>, object: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            kind,
            doing: doing.into(),
            object: object.into(),
            why: why.into(),
            remedy: None,
            cause: None,
            source: None,
        }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Says what in particular is in the way.
    #[must_use]
    pub fn because(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Adds lines of the text that is wrong, and marks below them: the command line shows them below the error.
    #[must_use]
    pub fn with_excerpt(self, lines: Vec<String>) -> Self {
        self.caused_by(Excerpt(lines))
    }

    /// These lines, if there are any.
    #[must_use]
    pub fn excerpt(&self) -> &[String] {
        let source = self.source.as_ref().and_then(|source| source.downcast_ref::<Excerpt>());
        source.map_or(&[], |excerpt| &excerpt.0)
    }

    /// Keeps the error underneath.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// Lines of a text that is wrong, for the error about them.
#[derive(Debug)]
struct Excerpt(Vec<String>);

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl StdError for Excerpt {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, self.object, self.why)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Gives a foreign error its operation and object.
pub trait Context<T> {
    /// `cannot <doing> <object>: <this error and its sources>`, [`Kind::Failed`].
    ///
    /// # Errors
    /// The error given, in context.
    fn doing(self, doing: impl Into<String>, object: impl Into<String>) -> Result<T>;
}

impl<T, E: StdError + Send + Sync + 'static> Context<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl Into<String>, object: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::new(Kind::Failed, doing, object, chain(&error)).caused_by(error))
    }
}

/// An error and its sources on one line, each said once.
#[must_use]
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}
