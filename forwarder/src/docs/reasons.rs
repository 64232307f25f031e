//! docs/reasons.md: why packets are left to the kernel or dropped.

use forwarder_common::types::verdict::{DropReason, PuntReason};

use super::markdown::{code, table};

const TITLES: [&str; 3] = ["reason", "meaning", "what to do"];

/// Why packets are left to the kernel.
pub(super) fn punts() -> String {
    table(TITLES, PuntReason::ALL.iter().map(|reason| row(reason.name(), reason.meaning(), reason.advice())))
}

/// Why packets are dropped.
pub(super) fn drops() -> String {
    table(TITLES, DropReason::ALL.iter().map(|reason| row(reason.name(), reason.meaning(), reason.advice())))
}

fn row(name: &str, meaning: &str, advice: &str) -> [String; 3] {
    [code(name), meaning.trim().into(), advice.into()]
}
