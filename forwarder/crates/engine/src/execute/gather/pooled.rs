//! What an `up` takes from the pool where everything is read.

use super::inside;
use crate::execute::taking::{find, why_left_alone};
use fwd_base::Result;
use fwd_kernel::netns::Netns;
use fwd_plan::{Records, UpRequest};

/// The namespace of what an `up` takes, if it is as it was left; else `notes` tells.
///
/// # Errors
/// As [`find`]; the kernel refuses.
pub(super) fn as_left(request: &UpRequest, records: &Records, notes: &mut Vec<String>) -> Result<Option<Netns>> {
    let Some((ns, record)) = find(request, records)? else { return Ok(None) };
    let Some(note) = why_left_alone(&record, &inside(&ns)?) else { return Ok(Some(ns)) };
    if !notes.contains(&note) {
        notes.push(note);
    }
    Ok(None)
}
