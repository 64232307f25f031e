//! The kinds of load: what is sent, and who waits for what.

pub(super) mod connect;
pub(super) mod cycle;
pub(super) mod flood;
pub(super) mod flows;
pub(super) mod ping;
pub(super) mod stream;

/// Connections or flows that are made at once where that is timed: few enough for every queue on the way, and so many that reading the
/// clock costs nothing.
const ROW: usize = 64;
