//! What was refused while something was looked at, and is told later.

use fwd_base::Error;

/// Why something cannot be, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was being done, to what, and why it cannot be.
    pub message: String,
    /// What the user can do about it.
    pub remedy: Option<String>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { message: error.to_string(), remedy: error.remedy }
    }
}
