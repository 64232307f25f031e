//! Why a call is not done.

use fwd_base::Error;

/// Result of this crate's calls.
pub(crate) type Answered<T> = std::result::Result<T, Refusal>;

/// Why a call is not done.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// What was sent is no such call: status 400, with the reason.
    Undecodable(String),
    /// It cannot be done: `{"Err": …}`.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What docker shows its user of an error: what was being done, why it failed, and what to do.
pub(crate) fn told(error: &Error) -> String {
    match &error.remedy {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    }
}
